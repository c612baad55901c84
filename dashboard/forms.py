"""What people may enter, and the sentence for what they may not.

Promise: text is text (no control characters, no hidden direction marks), amounts of dollars become whole nano-dollars
exactly or not at all, and lists come out the way ``accounts`` keeps them.
"""

import datetime as dt
import ipaddress
import re
import unicodedata
import zoneinfo
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import ApiKey
from accounts.models.bounds import LARGEST_NANO, RATE_LIMITS, SPEND_CAPS
from accounts.models.keys import KeyKind

NANO = 10**9
MOST_ENTRIES = 50
MODEL_PATTERN = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:/@*-]{0,127}\Z")
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
OVERLAPS = {
    "0": "Now: the old key stops at once",
    "3600": "In one hour",
    "86400": "In one day",
    "604800": "In seven days",
}
ZONES = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith("Etc/"))
ZONE_CHOICES = [("UTC", "UTC"), *((zone, zone.replace("_", " ")) for zone in ZONES)]


def plain(text: str) -> None:
    """Refuse what cannot be seen: control characters, direction marks, lone surrogates."""
    if any(unicodedata.category(letter) in INVISIBLE for letter in text):
        message = "This holds characters that cannot be seen. Type it again instead of pasting it."
        raise ValidationError(message, code="invisible")


class TextField(forms.CharField):
    """One line of visible text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validators = [*self.validators, plain]


class LinesField(forms.CharField):
    """Several entries, one per line (commas will do), as a list without repeats."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> Any:
        """Split, strip, drop what is empty or repeated."""
        entries = re.split(r"[\n\r,]+", super().to_python(value) or "")
        return list(dict.fromkeys(entry.strip() for entry in entries if entry.strip()))

    def prepare_value(self, value: Any) -> Any:
        """A list, as lines."""
        return "\n".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare lists with lists."""
        return bool(self.to_python(data) != (initial or []))

    def validate(self, value: Any) -> None:
        """Refuse too many."""
        super().validate(value)
        if len(value) > MOST_ENTRIES:
            message = f"At most {MOST_ENTRIES} entries."
            raise ValidationError(message, code="too_many")

    def run_validators(self, value: Any) -> None:
        """Check each entry instead of the list."""
        for entry in value:
            super().run_validators(entry)


def model_pattern(entry: str) -> None:
    """A model's name, where ``*`` stands for anything."""
    if not MODEL_PATTERN.match(entry):
        message = "“%(entry)s” is not a model's name or pattern. Write them like gpt-4o or claude-*, one per line."
        raise ValidationError(message, params={"entry": entry[:80]}, code="pattern")


def network(entry: str) -> None:
    """An address or a network."""
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        message = (
            "“%(entry)s” is not an address or network. Write them like 203.0.113.7 or 2001:db8::/32, one per line."
        )
        raise ValidationError(message, params={"entry": entry[:80]}, code="network") from error


class UsdField(forms.DecimalField):
    """Dollars on the page, whole nano-dollars inside; never a float."""

    widget = forms.TextInput  # a number input would round to its step

    def __init__(self, **options: Any) -> None:
        super().__init__(
            min_value=Decimal("0.000000001"), max_value=Decimal(LARGEST_NANO) / NANO, decimal_places=9, **options
        )

    def clean(self, value: Any) -> Any:
        """Turn dollars into nano-dollars; nine places always come out whole."""
        dollars = super().clean(value)
        return None if dollars is None else nano_of(dollars)

    def prepare_value(self, value: Any) -> Any:
        """Turn nano-dollars into dollars."""
        return usd_of(value) if isinstance(value, int) else value

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """A number pad on phones."""
        return {"inputmode": "decimal", "autocomplete": "off"}


def nano_of(dollars: Decimal) -> int:
    """Exact dollars as nano-dollars; more than nine places is an error of the caller."""
    scaled = dollars.scaleb(9)
    if scaled != scaled.to_integral_value():
        message = f"{dollars} is finer than a nano-dollar"
        raise ValueError(message)
    return int(scaled)


def usd_of(nano: int) -> str:
    """Nano-dollars as dollars: at least two places, at most the nine there are."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"


class NameForm(forms.Form):
    """Name an organization."""

    name = TextField(
        label="Name",
        max_length=80,
        help_text="A company, a team or a project. You can change it later.",
        widget=forms.TextInput(attrs={"autocomplete": "organization", "autofocus": True}),
    )


class OrganizationForm(forms.Form):
    """An organization's name and zone."""

    name = TextField(label="Name", max_length=80)
    time_zone = forms.ChoiceField(
        label="Time zone",
        choices=ZONE_CHOICES,
        help_text="Days in reports begin at midnight here. Limits and caps count in UTC.",
    )


class ProfileForm(forms.Form):
    """A person's own name and zone."""

    name = TextField(
        label="Name", max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    time_zone = forms.ChoiceField(
        label="Time zone", choices=ZONE_CHOICES, help_text="Times on your pages are shown in it."
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
        max_length=128,
        validators=[model_pattern],
        help_text="One per line; * stands for anything, as in claude-*. Empty: all of them.",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )
    allowed_networks = LinesField(
        label="Allowed addresses",
        required=False,
        max_length=64,
        validators=[network],
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

    def clean_allowed_networks(self) -> list[str]:
        """Write each network the one proper way."""
        networks = [str(ipaddress.ip_network(entry, strict=False)) for entry in self.cleaned_data["allowed_networks"]]
        return list(dict.fromkeys(networks))

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
