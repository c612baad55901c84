"""What happens when somebody new arrives: the storefront's policy, where they came from, and their first workspace.

Promise: a person signs up once for all storefronts; the account and its organization appear in one transaction; a shop
for invited people takes the invited mailbox alone, while its invitation is open; links
in mails lead to the storefront's own domain, never to what the Host header said; an outside identity joins an existing
account only from a signed-in session of that account.
"""

from email.utils import formataddr, parseaddr
from types import SimpleNamespace
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404
from django.shortcuts import render
from django.utils import timezone

from accounts import access, members, organizations, trail
from accounts.models import Invitation, SignUpPolicy, Storefront, User
from accounts.requests import TenantRequest
from accounts.signals import mailbox_proven

CAMPAIGN_FIELDS = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "ref")
LONGEST_MARK = 120
SESSION_KEY = "acquisition"
INVITATION_SESSION_KEY = "invitation"


def note_arrival(request: TenantRequest) -> None:
    """Keep campaign parameters and referrer of the first page somebody saw, until they sign up."""
    if SESSION_KEY in request.session or request.user.is_authenticated:
        return
    marks = {name: _clean(request.GET[name]) for name in CAMPAIGN_FIELDS if request.GET.get(name)}
    referrer = request.headers.get("Referer", "")
    if referrer and access.host_name(referrer.partition("//")[2].partition("/")[0]) != access.host_name(
        request.get_host()
    ):
        marks["referrer"] = _clean(referrer)
    if marks:
        request.session[SESSION_KEY] = {**marks, "landing": _clean(request.path)}


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:LONGEST_MARK]


class AccountAdapter(DefaultAccountAdapter):
    """allauth's questions, answered our way."""

    def is_open_for_signup(self, request: TenantRequest) -> bool:
        """The storefront's policy; an invitation opens a shop that takes only invited people."""
        if request.method == "GET":
            note_arrival(request)  # campaigns lead straight here, too
        if not request.storefront.is_open:
            return False
        policy = request.storefront.sign_up_policy
        return policy == SignUpPolicy.OPEN or (policy == SignUpPolicy.INVITED and arrived_with(request) is not None)

    def clean_email(self, email: str) -> str:
        """Where only invited people sign up, they do so with the mailbox that was invited."""
        email = super().clean_email(email)
        request: TenantRequest = self.request
        if request.user.is_authenticated or request.storefront.sign_up_policy != SignUpPolicy.INVITED:
            return email
        invitation = arrived_with(request)
        if invitation is None or invitation.email != email.lower():
            message = "Only invited people sign up here; use the mailbox the invitation went to."
            raise ValidationError(message)
        return email

    @transaction.atomic
    def save_user(self, request: TenantRequest, user: User, form: Any, commit: bool = True) -> User:  # noqa: FBT001, FBT002 - allauth's signature
        """Save the person, what brought them, and (unless they follow an invitation) a workspace of their own."""
        user = super().save_user(request, user, form, commit=False)
        user.acquisition = request.session.get(SESSION_KEY, {})
        user.terms_accepted_at = timezone.now()
        if commit:
            user.save()
            welcome(request, user)
        return user

    @transaction.atomic
    def confirm_email(self, request: TenantRequest, email_address: EmailAddress) -> bool:
        """Somebody has shown that they read this mailbox; other rooms hear of it."""
        confirmed = bool(super().confirm_email(request, email_address))
        if confirmed:
            _announce(request, email_address.user, email_address.email)
        return confirmed

    def get_client_ip(self, request: TenantRequest) -> str:
        """The address that trusted proxies vouch for; rates and the list of sessions go by it."""
        return request.client_ip

    def get_from_email(self) -> str:
        """Letters come from the storefront, by the installation's mailbox."""
        return formataddr((self.request.storefront.name, parseaddr(settings.DEFAULT_FROM_EMAIL)[1]))

    def format_email_subject(self, subject: str) -> str:
        """Begin with the storefront's name; allauth would write the Host header there."""
        return f"[{self.request.storefront.name}] {subject}"

    def get_email_confirmation_url(self, request: TenantRequest, emailconfirmation: Any) -> str:
        """Confirmation links on the storefront's own domain."""
        return _on_own_domain(request, super().get_email_confirmation_url(request, emailconfirmation))

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Reset links on the storefront's own domain."""
        return _on_own_domain(self.request, super().get_reset_password_from_key_url(key))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Mails speak for the storefront."""
        storefront: Storefront = self.request.storefront
        base = access.canonical_base(storefront)
        for name in ("activate_url", "password_reset_url", "signup_url"):
            if context.get(name):
                context[name] = base + _path_of(context[name])
        site = SimpleNamespace(name=storefront.name, domain=base.partition("//")[2])  # not what the Host header said
        words = {**context, "storefront": storefront, "base_url": base, "current_site": site}
        super().send_mail(template_prefix, email, words)


def _announce(request: TenantRequest, user: User, email: str) -> None:
    mailbox_proven.send(sender=User, user=user, email=email, storefront=request.storefront)


def _path_of(url: str) -> str:
    return "/" + url.partition("//")[2].partition("/")[2] if "//" in url else url


def _on_own_domain(request: TenantRequest, url: str) -> str:
    return access.canonical_base(request.storefront) + _path_of(url)


def arrived_with(request: TenantRequest) -> Invitation | None:
    """The invitation this visitor opened, if it can still be accepted."""
    public_id = request.session.get(INVITATION_SESSION_KEY)
    if not public_id:
        return None
    return members.open_invitation(public_id, storefront=request.storefront, now=timezone.now())


def welcome(request: TenantRequest, user: User) -> None:
    """Give a new person a workspace, unless an invitation brought them or nobody opens one here by themselves."""
    trail.record(
        "user.signed_up",
        source=trail.source_of(request),
        target=user,
        storefront=request.storefront,
    )
    invitation = arrived_with(request)
    invited = invitation is not None and invitation.email == user.email.lower()
    if not invited and organizations.may_open(request.storefront, user):
        organizations.create(
            storefront=request.storefront,
            owner=user,
            name=f"{user.get_short_name()[:60]}'s workspace",
            source=trail.source_of(request),
        )


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Outside identities: the same policy, the same welcome, and no unverified mailbox."""

    def is_open_for_signup(self, request: TenantRequest, sociallogin: Any) -> bool:
        """The storefront's policy; where only invited people sign up, one of the proven mailboxes was invited."""
        if request.storefront.sign_up_policy != SignUpPolicy.INVITED:
            return AccountAdapter(request).is_open_for_signup(request)
        if not request.storefront.is_open:
            return False
        invitation = arrived_with(request)
        proven = {address.email.lower() for address in sociallogin.email_addresses if address.verified}
        return invitation is not None and invitation.email in proven

    def get_provider(self, request: TenantRequest, provider: str, client_id: str | None = None) -> Any:
        """A way in that this installation has not configured does not exist."""
        try:
            return super().get_provider(request, provider, client_id=client_id)
        except SocialApp.DoesNotExist as error:
            raise Http404 from error

    def pre_social_login(self, request: TenantRequest, sociallogin: Any) -> None:
        """Refuse an identity whose mailbox the provider has not verified."""
        if sociallogin.is_existing or request.user.is_authenticated:
            return
        if not any(address.verified for address in sociallogin.email_addresses):
            raise ImmediateHttpResponse(render(request, "socialaccount/unverified.html", status=403))

    @transaction.atomic
    def save_user(self, request: TenantRequest, sociallogin: Any, form: Any = None) -> User:
        """Save the person, what brought them, and their workspace."""
        user: User = super().save_user(request, sociallogin, form)
        user.acquisition = request.session.get(SESSION_KEY, {})
        user.terms_accepted_at = timezone.now()
        user.save(update_fields=["acquisition", "terms_accepted_at"])
        welcome(request, user)
        for address in EmailAddress.objects.filter(user=user, verified=True).order_by("-primary", "id")[:1]:
            _announce(request, user, address.email)
        return user
