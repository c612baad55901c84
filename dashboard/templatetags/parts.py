"""The small words every template may use (they are built in, see ``config.settings``).

``{% icon "key" %}`` draws from the one sprite; ``{% part "card" title="…" %}…{% endpart %}`` puts a body into
``templates/components/card.html``; ``{{ field|control }}`` draws a form field with our classes; ``{% moment at %}``
says a time in the reader's own zone with UTC in the tooltip.
"""

import zoneinfo
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django import forms, template
from django.template.base import FilterExpression, NodeList, Parser, Token, token_kwargs
from django.template.context import Context
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.access import Seat
from accounts.models import ApiKey
from accounts.models.bounds import RATE_LIMITS, SPEND_CAPS, RateLimits
from accounts.roles import Permission
from billing import money
from dashboard import sold
from dashboard.guides.painting import painted
from dashboard.guides.recipes import RECIPES

register = template.Library()

TICKS = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)


@register.simple_tag(takes_context=True)
def model_to_try(context: Context) -> str:
    """A model that a first call can name; a placeholder while nothing is sold."""
    return sold.model_to_try(context.get("storefront"))


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """One icon, invisible to screen readers: the words beside it say the same."""
    return _drawn(name, extra)


@lru_cache(maxsize=512)  # a page of fifty rows draws a hundred of a few
def _drawn(name: str, extra: str) -> SafeString:
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        extra,
        static("vendor/icons.svg"),
        name,
    )


@register.inclusion_tag("components/recipe.html", takes_context=True)
def recipe(context: Context, slug: str, name: str = "") -> dict[str, Any]:
    """A piece of code of the guides, filled in for this shop (``words``), with a button that copies it."""
    found = RECIPES[slug]
    text = found.text(context["words"])
    return {
        "id": f"code-{slug.replace('_', '-')}",
        "name": name or found.title,
        "install": found.install,
        "code": painted(text, found.language),
    }


@register.filter
def control(field: forms.BoundField) -> SafeString:
    """A form field's input, dressed for its kind and for its errors."""
    widget = field.field.widget
    if isinstance(widget, TICKS):
        dress = "form-check-input"
    elif isinstance(widget, forms.Select):
        dress = "form-select"
    else:
        dress = "form-control"
    given = widget.attrs.get("class", "")
    if field.errors:
        dress += " is-invalid"
    attrs: dict[str, str | bool] = {"class": f"{dress} {given}".strip()}
    if "placeholder" in widget.attrs:
        attrs["placeholder"] = ""  # allauth's repeat the label
    return field.as_widget(attrs=attrs)


@register.filter
def ticked(sentence: str) -> SafeString:
    """A sentence in which `words between ticks` are code."""
    pieces = sentence.split("`")
    return format_html_join(
        "",
        "{}",
        ((format_html("<code>{}</code>", piece) if place % 2 else piece,) for place, piece in enumerate(pieces)),
    )


@register.filter
def ticks(field: forms.BoundField) -> bool:
    """Whether the label stands after the input."""
    return isinstance(field.field.widget, forms.CheckboxInput)


@register.simple_tag(takes_context=True)
def moment(context: Context, at: datetime | None, show: str = "full", never: str = "never") -> SafeString | str:
    """A time in the reader's zone; the tooltip says it in UTC."""
    if at is None:
        return never
    zone = zone_named(getattr(context.get("user"), "time_zone", ""))
    theirs, utc = at.astimezone(zone), at.astimezone(UTC)
    form = {"full": "%b %Y, %H:%M", "day": "%b %Y", "seconds": "%b, %H:%M:%S"}
    shown = f"{theirs:%H:%M}" if show == "time" else f"{theirs.day} {theirs:{form[show]}}"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(timespec="seconds"),
        f"{utc.day} {utc:%b %Y, %H:%M:%S}",
        shown,
    )


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    """A zone by name; UTC when the name is not one."""
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")


@register.tag
def part(parser: Parser, token: Token) -> "PartNode":
    """``{% part "card" title=title %}body{% endpart %}``."""
    _, name, *rest = token.split_contents()
    values = token_kwargs(rest, parser)
    if rest:
        message = f"part takes a name and name=value pairs, not {rest}"
        raise template.TemplateSyntaxError(message)
    body = parser.parse(("endpart",))
    parser.delete_first_token()
    return PartNode(parser.compile_filter(name), values, body)


class PartNode(template.Node):
    """A component with a body."""

    def __init__(self, name: FilterExpression, values: dict[str, FilterExpression], body: NodeList) -> None:
        self.name = name
        self.values = values
        self.body = body

    def render(self, context: Context) -> SafeString:
        """Draw the component around its body."""
        assert context.template is not None
        component = context.template.engine.get_template(f"components/{self.name.resolve(context)}.html")
        given: dict[str, Any] = {name: value.resolve(context) for name, value in self.values.items()}
        with context.push(body=self.body.render(context), **given):
            return component.render(context)


@register.filter
def may(seat: Seat | None, permission: str) -> bool:
    """``{% if seat|may:"see_keys" %}``; a misspelt permission is an error, not a no."""
    return seat is not None and seat.may(Permission(permission))


@register.filter
def usd(nano: int) -> str:
    """Nano-dollars as dollars, to the digits they have."""
    return money.dollars(nano)


@register.filter
def rate_limited(row: RateLimits) -> bool:
    """Whether any of the windows is bounded here."""
    return any(getattr(row, name) is not None for name in (*RATE_LIMITS, "concurrent_requests"))


@register.filter
def bounded(key: ApiKey) -> bool:
    """Whether a key has any bound of its own."""
    capped = any(getattr(key, name) is not None for name in SPEND_CAPS)
    return capped or rate_limited(key) or bool(key.allowed_models or key.allowed_networks)
