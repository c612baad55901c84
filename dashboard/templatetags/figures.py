"""How figures are said on pages: ``{% load figures %}``.

Promise: an amount keeps three digits that count ($0.00116 and never $0.00), with the exact one in its tooltip; what is
not known is a dash and never a zero.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from django import template
from django.template.context import Context
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from billing import money
from billing.models.ledger import NANO_USD
from billing.pricing import Bucket
from billing.statements import Grant
from dashboard import payment_words
from dashboard.catalogue import words
from dashboard.naming import Names, key_name

register = template.Library()

DASH = "\N{EN DASH}"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
DIGITS = 3
CENT_NANO = 10_000_000


@register.filter
def needed(nano: int) -> str:
    """Dollars to the cent, or below a dollar to three digits that count."""
    size = abs(nano)
    step = CENT_NANO if size >= money.NANO_PER_USD else 10 ** max(0, len(str(size)) - DIGITS)
    step = max(1, step)
    rounded = (size + step // 2) // step * step
    return money.dollars(-rounded if nano < 0 else rounded)


@register.filter
def amount(nano: int | None) -> SafeString | str:
    """An amount for a page; the tooltip is exact."""
    if nano is None:
        return DASH
    exact, short = money.dollars(nano), needed(nano)
    if exact == short:
        return format_html('<span class="num">{}</span>', exact)
    return format_html('<span class="num" title="{} exactly">{}</span>', exact, short)


@register.filter
def about(nano: int | None) -> str:
    """An amount that is a guess."""
    return DASH if nano is None else f"≈ {needed(nano)}"


@register.filter
def million(nano_per_million: Fraction | None) -> str:
    """A price of a million units, exactly."""
    if nano_per_million is None:
        return DASH
    exact = money.exact_text(nano_per_million / money.NANO_PER_USD)
    whole, _, places = exact.partition(".")
    return f"${exact}" if "/" in exact else f"${int(whole):,}.{places.ljust(2, '0')}"


@register.filter
def whole(number: int | None) -> str:
    """1,234,567."""
    return DASH if number is None else f"{number:,}"


@register.filter
def short(number: int | None) -> SafeString | str:
    """1.2M, with all digits in the tooltip."""
    if number is None:
        return DASH
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if abs(number) >= size:
            text = f"{number / size:.1f}".removesuffix(".0")
            return format_html('<span class="num" title="{}">{}{}</span>', f"{number:,}", text, letter)
    return format_html('<span class="num">{}</span>', number)


@register.filter
def percent(share: Fraction | float | str | None, places: int = 1) -> str:
    """Three of four are 75 %; what is nearly all is not rounded up to all, nor what is nearly none down to none."""
    if share is None or isinstance(share, str):  # templates say "" for what is not there
        return DASH
    number = float(share) * 100
    text = f"{number:.{places}f}"
    if text == f"{100:.{places}f}" and share < 1:
        text = f"{100 - 10**-places:.{places}f}"
    if float(text) == 0 and share > 0:
        return f"< {10**-places:g} %"
    return f"{text.removesuffix('.0').removesuffix('.00')} %"


@register.filter
def duration(ms: float | None) -> str:
    """840 ms, 1.2 s, 2 min 5 s."""
    if ms is None:
        return DASH
    if ms < 1_000:
        return f"{round(ms)} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds} s"


@register.filter
def rate(speed: float | None) -> str:
    """Tokens a second."""
    return DASH if speed is None else f"{speed:.0f} tok/s"


@register.filter
def key_label(pk: int | None, names: Names) -> str:
    """What the key of a call is called."""
    return key_name(pk, names.keys)


@register.filter
def usage_words(line: Mapping[str, str]) -> str:
    """A kind of usage in words."""
    return words(Bucket(line["direction"], line["modality"], line["cache"], line["unit"]))


@register.simple_tag
def change(now: int, before: int) -> SafeString | str:
    """How much more or less than in the time before; nothing where there was nothing."""
    if not before:
        return "" if not now else format_html('<span class="delta">{}</span>', "new")
    difference = Fraction(now - before, before)
    sign = "+" if difference > 0 else MINUS if difference < 0 else "±"
    size = abs(float(difference)) * 100
    text = f"{sign}{size:.0f} %" if size < 1_000 else f"{TIMES}{now / before:.0f}"
    return format_html('<span class="delta">{}</span>', text)


@register.simple_tag(takes_context=True)
def with_query(context: Context, **changed: Any) -> str:
    """The query of this page with some values changed; ``None`` takes one out."""
    query = context["request"].GET.copy()
    for name, value in changed.items():
        query.pop(name, None)
        if value is not None and value != "":
            query[name] = str(value)
    kept = [(name, value) for name, values in query.lists() for value in values if value]
    return f"?{urlencode(kept)}"


@register.filter
def times(number: int, factor: int) -> int:
    """A product, for places in a drawing."""
    return number * factor


@register.simple_tag(takes_context=True)
def model_url(context: Context, slug: str) -> str:
    """The page of a model: the organization's where there is one, else the public one."""
    seat = context.get("seat")
    if seat is None:
        return reverse("model", args=[slug])
    return reverse("dashboard:model", args=[seat.organization.slug, slug])


@register.filter
def unit_words(unit: str) -> str:
    """What a grant is counted in, in words."""
    return payment_words.unit(unit)


@register.filter
def heap_name(heap: Grant) -> str:
    """What a heap of credit is called."""
    kind = payment_words.KINDS[heap.kind]
    return f"{kind}: {heap.label}" if heap.label and heap.label != kind else kind


@register.filter
def heap_left(heap: Grant) -> SafeString | str:
    """What is left of it, in its own unit."""
    return amount(heap.available) if heap.unit == NANO_USD else f"{heap.available:,}"


@register.filter
def heap_held(heap: Grant) -> SafeString | str:
    """What of it is held by calls under way."""
    return amount(heap.held) if heap.unit == NANO_USD else f"{heap.held:,}"
