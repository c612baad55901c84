"""A visit: begun with a reason by those who run the shop, bound to one organization, short, shown, harmless."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts import access, impersonation, roles
from accounts.models import AuditEvent, Impersonation, Organization, Storefront, User
from accounts.roles import Permission
from tests import factories
from tests.desk.conftest import REASON

Browse = Callable[..., Client]


def begin(client: Client, organization: Organization) -> Any:
    return client.post(reverse("admin:accounts_organization_deed", args=[organization.pk, "visit"]), {"reason": REASON})


def running(client: Client, operator: User) -> Impersonation | None:
    request = RequestFactory().get("/")
    request.session, request.user = client.session, operator
    return impersonation.current(request, now=timezone.now())


def test_a_visit_leads_to_the_customers_pages(browse: Browse, operator: User, ours: Organization) -> None:
    client = browse(operator)
    answer = begin(client, ours)
    assert (answer.status_code, answer["Location"]) == (302, f"/app/{ours.slug}/")
    visit = running(client, operator)
    assert visit is not None
    assert (visit.organization, visit.reason, visit.staff) == (ours, REASON, operator)
    assert visit.expires_at - visit.started_at == timedelta(minutes=30)
    event = AuditEvent.objects.filter(action="impersonation.started", actor=operator).latest("id")
    assert (event.organization, event.reason) == (ours, REASON)
    shown = client.get("/admin/")
    assert shown.context["impersonation"] == visit


def test_a_visitors_seat_shows_pages_and_never_keys_or_money(
    browse: Browse, operator: User, ours: Organization
) -> None:
    client = browse(operator)
    begin(client, ours)
    visit = running(client, operator)
    seat = access.organization_for(operator, ours.storefront, ours.slug, impersonation=visit)
    allowed = {permission for permission in Permission if seat.may(permission)}
    assert allowed == {Permission.SEE, Permission.SEE_BILLING} == set(roles.VISITOR)


def test_a_visit_is_bound_to_its_organization(
    browse: Browse, operator: User, ours: Organization, charlie: User
) -> None:
    client = browse(operator)
    begin(client, ours)
    visit = running(client, operator)
    other = factories.make_organization(storefront=ours.storefront, owner=operator, name="Operator's own")
    for slug in (other.slug, "charlie-ltd"):
        with pytest.raises(access.NotThere):
            access.organization_for(operator, ours.storefront, slug, impersonation=visit)


def test_a_visit_ends_when_its_visitor_says_so(browse: Browse, operator: User, ours: Organization) -> None:
    client = browse(operator)
    begin(client, ours)
    assert client.get(reverse("desk:end_visit")).status_code == 405
    answer = client.post(reverse("desk:end_visit"))
    assert answer["Location"] == reverse("admin:accounts_organization_change", args=[ours.pk])
    assert running(client, operator) is None
    visit = Impersonation.objects.get(staff=operator, reason=REASON)
    assert visit.ended_at is not None
    assert AuditEvent.objects.filter(action="impersonation.ended", target_id=visit.public_id).exists()
    assert client.post(reverse("desk:end_visit")).status_code == 404


def test_ending_needs_a_token(browse: Browse, operator: User, ours: Organization) -> None:
    client = browse(operator)
    begin(client, ours)
    strict = Client(HTTP_HOST="localhost", enforce_csrf_checks=True)
    strict.cookies = client.cookies
    assert strict.post(reverse("desk:end_visit")).status_code == 403
    assert running(client, operator) is not None


def test_strangers_and_customers_have_no_visit_to_end(browse: Browse, charlie: User, shop: Storefront) -> None:
    assert browse(None).post(reverse("desk:end_visit")).status_code == 302
    assert browse(charlie).post(reverse("desk:end_visit")).status_code == 404


def test_a_visit_ends_by_itself(browse: Browse, operator: User, ours: Organization) -> None:
    client = browse(operator)
    begin(client, ours)
    with time_machine.travel(timezone.now() + timedelta(minutes=31), tick=False):
        assert running(client, operator) is None


def test_a_visit_ends_with_the_job(browse: Browse, operator: User, ours: Organization) -> None:
    client = browse(operator)
    begin(client, ours)
    operator.storefront_jobs.update(can_change=False)
    assert running(client, operator) is None


def test_a_second_visit_ends_the_first(browse: Browse, operator: User, ours: Organization) -> None:
    client = browse(operator)
    begin(client, ours)
    other = factories.make_organization(storefront=ours.storefront, name="Second")
    begin(client, other)
    visit = running(client, operator)
    assert visit is not None
    assert visit.organization == other
    assert Impersonation.objects.filter(staff=operator, reason=REASON, ended_at__isnull=True).count() == 1


def test_the_platforms_staff_are_sent_to_the_shops_own_host(
    browse: Browse, staff: User, theirs: Organization, shop: Storefront
) -> None:
    answer = begin(browse(staff), theirs)
    assert answer.status_code == 409
    path = reverse("admin:accounts_organization_deed", args=[theirs.pk, "visit"])
    assert f"http://canary.test{path}" in answer.content.decode()
    assert not Impersonation.objects.filter(staff=staff).exists()
    there = Client(HTTP_HOST="canary.test")
    there.force_login(staff)
    assert begin(there, theirs)["Location"] == f"/app/{theirs.slug}/"


def test_the_room_itself_refuses_whoever_does_not_run_the_shop(
    ours: Organization, theirs: Organization, operator: User, onlooker: User, charlie: User
) -> None:
    request = RequestFactory().get("/")
    request.session = Client().session
    for person, organization in ((operator, theirs), (onlooker, ours), (charlie, ours)):
        request.user = person
        with pytest.raises(impersonation.VisitRefused, match="do not run"):
            impersonation.start(request, staff=person, organization=organization, reason=REASON, now=timezone.now())
    request.user = operator
    with pytest.raises(impersonation.VisitRefused, match="Say why"):
        impersonation.start(request, staff=operator, organization=ours, reason="  ", now=timezone.now())
    Organization.objects.filter(pk=ours.pk).update(standing="closed")
    ours.refresh_from_db()
    with pytest.raises(impersonation.VisitRefused, match="closed"):
        impersonation.start(request, staff=operator, organization=ours, reason=REASON, now=timezone.now())
