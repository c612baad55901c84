"""What people may enter, and the sentence for what they may not.

Promise: text is one visible line, amounts of dollars become whole nano-dollars exactly or not at all, and lists come
out the way ``accounts`` keeps them. The rules are the rooms' own; here they only get a field to speak through.
"""

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts import networks, patterns, roles
from accounts.models import ApiKey, Role
from accounts.models.bounds import LARGEST_NANO, RATE_LIMITS, SPEND_CAPS
from accounts.models.keys import KeyKind
from billing import money
from dashboard.models import AlertKind, AlertSettings, OnUnusual
from plumbing.text import NotOneLine, one_line

LONGEST_LINE = 200
LONGEST_LIST = 8000  # fifty of the longest entries
MAX_AMOUNT_LENGTH = 40
OVERLAPS = {
    "0": "Now: the old key stops at once",
    "3600": "In one hour",
    "86400": "In one day",
    "604800": "In seven days",
}
ZONES = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith("Etc/"))
ZONE_CHOICES = [("UTC", "UTC"), *((zone, zone.replace("_", " ")) for zone in ZONES)]


class LongSelect(forms.Select):
    """A choice of hundreds, written in one go: a template for each option takes a tenth of a second."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """The whole of it."""
        worn = self.build_attrs(self.attrs, {**(attrs or {}), "name": name})
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            ((key, " selected" if str(key) == str(value) else "", label) for key, label in self.choices),
        )
        return format_html("<select{}>{}</select>", flatatt(worn), options)


class TextField(forms.CharField):
    """One line of visible text, as ``plumbing.text`` knows it."""

    def to_python(self, value: Any) -> Any:
        """Clean it, or say what is wrong with it."""
        text = super().to_python(value)
        if not text:
            return ""
        try:
            return one_line(text, longest=self.max_length or LONGEST_LINE)
        except NotOneLine as error:
            raise ValidationError(str(error), code="not_one_line") from error


class LinesField(forms.CharField):
    """Several entries, one per line (commas will do); ``clean_entries`` is the room's own check of the whole list."""

    widget = forms.Textarea

    def __init__(self, *, clean_entries: Callable[[object], list[str]], **options: Any) -> None:
        super().__init__(max_length=LONGEST_LIST, **options)
        self.clean_entries = clean_entries

    def clean(self, value: Any) -> Any:
        """Split, drop what is empty, and let the room judge."""
        text = super().clean(value) or ""
        try:
            return self.clean_entries([entry.strip() for entry in re.split(r"[\n\r,]+", text) if entry.strip()])
        except ValidationError as error:
            raise ValidationError(error.messages, code="entry") from error

    def prepare_value(self, value: Any) -> Any:
        """A list, as lines."""
        return "\n".join(value) if isinstance(value, list) else value


class UsdField(forms.CharField):
    """Dollars on the page, whole nano-dollars inside; ``billing.money`` reads and writes them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_AMOUNT_LENGTH, **options)

    def clean(self, value: Any) -> Any:
        """Read dollars exactly, or say what is wrong."""
        text = super().clean(value)
        if not text:
            return None
        try:
            nano = money.parse_usd(text)
        except money.BadAmount as error:
            raise ValidationError(str(error), code="amount") from error
        if not 0 < nano <= LARGEST_NANO:
            message = "Write an amount above zero and below nine billion, or leave it empty for no cap."
            raise ValidationError(message, code="range")
        return nano

    def prepare_value(self, value: Any) -> Any:
        """Turn nano-dollars into dollars."""
        return money.usd_text(value) if isinstance(value, int) else value

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """A number pad on phones."""
        return {**super().widget_attrs(widget), "inputmode": "decimal", "autocomplete": "off"}


class NameForm(forms.Form):
    """Name an organization."""

    name = TextField(
        label="Name",
        max_length=80,
        help_text="A company, a team or a project. You can change it later.",
        widget=forms.TextInput(attrs={"autocomplete": "organization", "autofocus": True}),
    )


class FirstKeyForm(forms.Form):
    """The first key has a name and nothing else to decide."""

    label = TextField(label="Name of the key", max_length=80, widget=forms.TextInput(attrs={"autocomplete": "off"}))


class OrganizationForm(forms.Form):
    """An organization's name and zone."""

    name = TextField(label="Name", max_length=80)
    time_zone = forms.ChoiceField(
        label="Time zone",
        choices=ZONE_CHOICES,
        widget=LongSelect,
        help_text="Days in reports begin at midnight here. Limits and caps count in UTC.",
    )


class ProfileForm(forms.Form):
    """A person's own name and zone."""

    name = TextField(
        label="Name", max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    time_zone = forms.ChoiceField(
        label="Time zone", choices=ZONE_CHOICES, widget=LongSelect, help_text="Times on your pages are shown in it."
    )


class KeyForm(forms.Form):
    """A key's label and bounds; ``bounds()`` says them in the row's own words."""

    label = TextField(
        label="Name",
        max_length=80,
        help_text="Where it will be used, such as “production backend”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    expires_on = forms.DateField(
        label="Expires",
        required=False,
        help_text="The last day it works, in UTC. Empty: it never expires.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    cap_day_nano = UsdField(label="Most per day (USD)", required=False)
    cap_month_nano = UsdField(label="Most per month (USD)", required=False)
    cap_total_nano = UsdField(label="Most ever (USD)", required=False)
    allowed_models = LinesField(
        label="Allowed models",
        required=False,
        clean_entries=patterns.clean,
        help_text="One per line; * stands for anything, as in claude-*. Empty: all of them.",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )
    allowed_networks = LinesField(
        label="Allowed addresses",
        required=False,
        clean_entries=networks.clean,
        help_text="One per line, as in 203.0.113.7 or 10.0.0.0/8. Empty: from everywhere.",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )
    requests_per_minute = forms.IntegerField(label="Requests per minute", required=False)
    requests_per_hour = forms.IntegerField(label="Requests per hour", required=False)
    requests_per_day = forms.IntegerField(label="Requests per day", required=False)
    tokens_per_minute = forms.IntegerField(label="Tokens per minute", required=False)
    tokens_per_hour = forms.IntegerField(label="Tokens per hour", required=False)
    tokens_per_day = forms.IntegerField(label="Tokens per day", required=False)

    BASIC = ("label", "expires_on")
    CAPS = SPEND_CAPS
    PLACES = ("allowed_models", "allowed_networks")
    LIMITS = RATE_LIMITS

    def __init__(self, *arguments: Any, today: dt.date, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.today = today
        self.fields["expires_on"].widget.attrs["min"] = today.isoformat()
        for name in self.LIMITS:
            field = self.fields[name]
            assert isinstance(field, forms.IntegerField)
            field.min_value, field.max_value = 1, LARGEST_NANO
            field.validators += [
                forms.IntegerField(min_value=1, max_value=LARGEST_NANO).run_validators  # the field's own sentences
            ]
            field.widget.attrs |= {"min": 1, "inputmode": "numeric"}

    def clean_expires_on(self) -> dt.date | None:
        """Refuse a day that is over."""
        day: dt.date | None = self.cleaned_data["expires_on"]
        if day and "expires_on" in self.changed_data and day < self.today:
            message = "This day is over. Choose today or a later one."
            raise ValidationError(message, code="past")
        return day

    def bounds(self) -> dict[str, Any]:
        """Everything but the label, as fields of the row."""
        bounds = {name: self.cleaned_data[name] for name in (*self.CAPS, *self.PLACES, *self.LIMITS)}
        day = self.cleaned_data["expires_on"]
        return {**bounds, "expires_at": end_of(day) if day else None}

    @property
    def basic_fields(self) -> list[forms.BoundField]:
        """What everybody fills in."""
        return [self[name] for name in self.fields if name in (*self.BASIC, "kind")]

    @property
    def cap_fields(self) -> list[forms.BoundField]:
        """What it may spend."""
        return [self[name] for name in self.CAPS]

    @property
    def place_fields(self) -> list[forms.BoundField]:
        """Which models, from where."""
        return [self[name] for name in self.PLACES]

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """How fast."""
        return [self[name] for name in self.LIMITS]

    @property
    def advanced_open(self) -> bool:
        """Whether the advanced part holds something to look at."""
        names = (*self.PLACES, *self.LIMITS)
        return any(name in self.errors or self[name].value() for name in names)


class NewKeyForm(KeyForm):
    """A key that does not exist yet, and what it is for."""

    kind = forms.ChoiceField(
        label="What it is for", widget=forms.RadioSelect(attrs={"class": "form-check-input"}), initial=KeyKind.INFERENCE
    )
    field_order = ("label", "kind", "expires_on")

    def __init__(self, *arguments: Any, kinds: list[KeyKind], **options: Any) -> None:
        super().__init__(*arguments, **options)
        field = self.fields["kind"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(kind.value, KIND_WORDS[kind]) for kind in kinds]


KIND_WORDS = {
    KeyKind.INFERENCE: "Calls to models",
    KeyKind.MANAGEMENT: "Managing this organization through the API; it makes no calls",
}


class RotateForm(forms.Form):
    """When the old key stops."""

    overlap_s = forms.ChoiceField(label="The old key stops", choices=list(OVERLAPS.items()), initial="86400")

    def overlap(self) -> dt.timedelta:
        """The chosen time."""
        return dt.timedelta(seconds=int(self.cleaned_data["overlap_s"]))


def end_of(day: dt.date) -> dt.datetime:
    """The first moment after a day, in UTC."""
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time.min, dt.UTC)


def initial_of(key: ApiKey) -> dict[str, Any]:
    """A key's present bounds, for its form."""
    shown = {name: getattr(key, name) for name in ("label", *KeyForm.CAPS, *KeyForm.PLACES, *KeyForm.LIMITS)}
    last_moment = key.expires_at - dt.timedelta(microseconds=1) if key.expires_at else None
    return {**shown, "expires_on": last_moment.date() if last_moment else None}


class AlertForm(forms.Form):
    """What is worth a warning, and where it goes."""

    low_balance_nano = UsdField(
        label="Warn below (USD)", required=False, help_text="Empty: never warn of a low balance."
    )
    kinds = forms.MultipleChoiceField(
        label="Warn of",
        required=False,
        choices=AlertKind.choices,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )
    on_unusual = forms.ChoiceField(
        label="When a key spends ten times its norm",
        choices=OnUnusual.choices,
        help_text="The norm is the mean of the key's active days of the last two weeks.",
    )
    mail_roles = forms.MultipleChoiceField(
        label="Mail goes to",
        required=False,
        choices=[(role.value, f"{role.label}s" if role is not Role.BILLING else "Billing") for role in roles.ORDER],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )
    webhook_url = forms.CharField(
        label="Webhook",
        required=False,
        max_length=500,
        help_text="An https address of yours. Signed as Standard Webhooks; a new address gets a new secret.",
        widget=forms.URLInput(attrs={"placeholder": "", "autocomplete": "off", "spellcheck": "false"}),
    )

    def wishes(self) -> dict[str, Any]:
        """As fields of the row: what is not ticked is muted."""
        given = self.cleaned_data
        return {
            "low_balance_nano": given["low_balance_nano"] or 0,
            "muted": [kind for kind in AlertKind.values if kind not in given["kinds"]],
            "on_unusual": given["on_unusual"],
            "mail_roles": given["mail_roles"],
            "webhook_url": given["webhook_url"].strip(),
        }


def initial_of_alerts(row: AlertSettings) -> dict[str, Any]:
    """Present wishes, for the form."""
    return {
        "low_balance_nano": row.low_balance_nano or None,
        "kinds": [kind for kind in AlertKind.values if kind not in row.muted],
        "on_unusual": row.on_unusual,
        "mail_roles": row.mail_roles,
        "webhook_url": row.webhook_url,
    }


class InviteForm(forms.Form):
    """Whom to invite, as what."""

    email = forms.EmailField(label="Email", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(label="Role")

    def __init__(self, *arguments: Any, grantable: list[Role], **options: Any) -> None:
        super().__init__(*arguments, **options)
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(role.value, ROLE_WORDS[role]) for role in grantable]
        field.initial = Role.DEVELOPER.value


ROLE_WORDS = {
    Role.ADMIN: "Admin: everything but ownership",
    Role.DEVELOPER: "Developer: makes keys of their own",
    Role.BILLING: "Billing: sees and pays the bills",
    Role.VIEWER: "Viewer: looks, touches nothing",
}
