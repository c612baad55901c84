"""Who belongs to an organization: inviting, roles, leaving, handing over. ``accounts.members`` decides."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts import members as room
from accounts import roles, trail
from accounts.access import Seat
from accounts.models import Invitation, Membership, Role
from accounts.models.bounds import SPEND_CAPS
from accounts.requests import TenantRequest
from accounts.roles import Permission
from dashboard import forms, purse_forms, spending
from dashboard.doors import Told, ToldAbove, needs


@require_GET
@needs(Permission.SEE)
def member_list(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Members, their roles, and letters that wait for an answer."""
    return _page(request, forms.InviteForm(grantable=_grantable(request.seat)))


def _page(request: TenantRequest, form: forms.InviteForm, status: int = 200) -> HttpResponse:
    seat = request.seat
    members = Membership.objects.of(seat.organization).select_related("user")
    letters = Invitation.objects.of(seat.organization).filter(accepted_at__isnull=True, revoked_at__isnull=True)
    manages = seat.may(Permission.MANAGE_MEMBERS)
    now = timezone.now()
    counted = spending.used(seat.organization, "member", now=now)
    month = spending.this_month(seat.organization, "user_id", now=now)
    context = {
        "rows": [
            _shown(member, seat)
            | {
                "bars": spending.bars(member, member.pk, counted, now=now),
                "month_nano": month.get(member.user_id, 0),
            }
            for member in members
        ],
        "sees_all": manages or seat.may(Permission.SEE_BILLING),
        "letters": letters.select_related("invited_by") if manages else [],
        "form": form,
        "now": now,
    }
    return render(request, "dashboard/members.html", context, status=status)


def _shown(member: Membership, seat: Seat) -> dict[str, Any]:
    role, mine = Role(member.role), member.user_id == seat.user.pk
    manages = seat.may(Permission.MANAGE_MEMBERS) and not mine and roles.may_touch(seat.role, role)
    return {
        "member": member,
        "mine": mine and seat.impersonation is None,
        "roles": [given for given in _grantable(seat) if given is not role] if manages else [],
        "removable": manages,
        "offerable": seat.may(Permission.TRANSFER_OWNERSHIP) and not mine,
        "capable": seat.may(Permission.MANAGE_MEMBERS) and roles.may_touch(seat.role, role),
    }


def _grantable(seat: Seat) -> list[Role]:
    return [role for role in roles.ORDER if roles.may_grant(seat.role, role)]


@require_POST
@needs(Permission.MANAGE_MEMBERS)
def invite(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Write a letter."""
    form = forms.InviteForm(request.POST, grantable=_grantable(request.seat))
    if form.is_valid():
        with Told(form):
            letter = room.invite(
                request.seat,
                email=form.cleaned_data["email"],
                role=Role(form.cleaned_data["role"]),
                source=trail.source_of(request),
                now=timezone.now(),
            )
            messages.success(request, f"A letter is on its way to {letter.email}. It is good for seven days.")
            return redirect("dashboard:members", organization_slug)
    return _page(request, form, status=400)


def _member(request: TenantRequest, member_id: str) -> Membership:
    members = Membership.objects.of(request.seat.organization).select_related("user")
    found: Membership | None = members.filter(public_id=member_id).first()
    if found is None:
        raise Http404
    return found


@require_POST
@needs(Permission.MANAGE_MEMBERS)
def change_role(request: TenantRequest, organization_slug: str, member_id: str) -> HttpResponse:
    """Give a member another role."""
    member = _member(request, member_id)
    wanted = request.POST.get("role", "")
    if wanted not in Role.values:
        messages.error(request, "Choose one of the roles.")
        return redirect("dashboard:members", organization_slug)
    with ToldAbove(request):
        room.change_role(request.seat, member, role=Role(wanted), source=trail.source_of(request))
        messages.success(request, f"{member.user.get_short_name()} is {Role(wanted).label.lower()} now.")
    return redirect("dashboard:members", organization_slug)


@needs(Permission.MANAGE_MEMBERS)
def caps(request: TenantRequest, organization_slug: str, member_id: str) -> HttpResponse:
    """What the keys of one member may spend: shown with what is spent, changed on POST."""
    member, now = _member(request, member_id), timezone.now()
    initial = {name: getattr(member, name) for name in SPEND_CAPS}
    form = purse_forms.MemberCapsForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        with Told(form):
            room.set_caps(request.seat, member, source=trail.source_of(request), **form.cleaned_data)
            messages.success(request, f"The caps of {member.user.get_short_name()} hold from the next call on.")
            return redirect("dashboard:members", organization_slug)
    counted = spending.used(request.seat.organization, "member", now=now)
    context = {
        "member": member,
        "form": form,
        "bars": spending.bars(member, member.pk, counted, now=now),
        "may_change": roles.may_touch(request.seat.role, Role(member.role)),
    }
    return render(request, "dashboard/member_caps.html", context, status=400 if form.errors else 200)


@needs(Permission.SEE)
def remove(request: TenantRequest, organization_slug: str, member_id: str) -> HttpResponse:
    """End a membership, or leave: asked on GET, done on POST."""
    member = _member(request, member_id)
    leaving = member.user_id == request.seat.user.pk
    if request.method != "POST":
        return render(request, "dashboard/member_remove.html", {"member": member, "leaving": leaving})
    with ToldAbove(request):
        room.remove(request.seat, member, source=trail.source_of(request), now=timezone.now())
        if leaving:
            messages.success(request, f"You left {request.seat.organization.name}.")
            return redirect("dashboard:start")
        messages.success(request, f"{member.user.get_short_name()} is no longer a member; their keys have ended.")
    return redirect("dashboard:members", organization_slug)


@needs(Permission.TRANSFER_OWNERSHIP)
def offer(request: TenantRequest, organization_slug: str, member_id: str) -> HttpResponse:
    """Ask a member to become the owner: asked on GET, written on POST."""
    member = _member(request, member_id)
    if request.method != "POST":
        return render(request, "dashboard/member_offer.html", {"member": member})
    with ToldAbove(request):
        room.offer_ownership(request.seat, member, source=trail.source_of(request), now=timezone.now())
        messages.success(request, f"A letter is on its way to {member.user.email}. You stay owner until they accept.")
    return redirect("dashboard:members", organization_slug)


def _letter(request: TenantRequest, invitation_id: str) -> Invitation:
    found: Invitation | None = Invitation.objects.of(request.seat.organization).filter(public_id=invitation_id).first()
    if found is None:
        raise Http404
    return found


@require_POST
@needs(Permission.MANAGE_MEMBERS)
def resend(request: TenantRequest, organization_slug: str, invitation_id: str) -> HttpResponse:
    """Send a fresh letter; the old link stops working."""
    letter = _letter(request, invitation_id)
    with ToldAbove(request):
        room.resend(request.seat, letter, source=trail.source_of(request), now=timezone.now())
        messages.success(request, f"A fresh letter is on its way to {letter.email}.")
    return redirect("dashboard:members", organization_slug)


@require_POST
@needs(Permission.MANAGE_MEMBERS)
def revoke(request: TenantRequest, organization_slug: str, invitation_id: str) -> HttpResponse:
    """Take an invitation back."""
    letter = _letter(request, invitation_id)
    with ToldAbove(request):
        room.revoke_invitation(request.seat, letter, source=trail.source_of(request), now=timezone.now())
        messages.success(request, f"The invitation to {letter.email} is taken back.")
    return redirect("dashboard:members", organization_slug)
