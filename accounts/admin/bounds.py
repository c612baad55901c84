"""Caps and limits on the desk: money is typed and read in US dollars and kept in whole nano-dollars, exactly."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.admin import display
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models.bounds import LARGEST_NANO, RATE_LIMITS, SPEND_CAPS

NANO = 1_000_000_000
LIMITS = (*RATE_LIMITS, "concurrent_requests")
CAP_COLUMNS = {"cap_day_nano": "cap_per_day", "cap_month_nano": "cap_per_month", "cap_total_nano": "cap_in_total"}
CAP_LABELS = {
    "cap_day_nano": "Cap per day (USD)",
    "cap_month_nano": "Cap per month (USD)",
    "cap_total_nano": "Cap in total (USD)",
}


def usd(amount_nano: int | None) -> str:
    """Nano-dollars as people write dollars: at least two digits of cents, and no more than are there."""
    if amount_nano is None:
        return "no cap"
    whole, rest = divmod(abs(amount_nano), NANO)
    cents = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount_nano < 0 else ''}${whole:,}.{cents}"


class UsdField(forms.DecimalField):
    """Dollars in the form, whole nano-dollars in Python."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{
                "min_value": 0,
                "max_value": Decimal(LARGEST_NANO) / NANO,
                "decimal_places": 9,
                "max_digits": 19,
                "required": False,
                "widget": UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "no cap"}),
                **options,
            }
        )

    def prepare_value(self, value: Any) -> Any:
        """Show stored nano-dollars as dollars; show what was typed as it was typed."""
        return usd(value).removeprefix("$").replace(",", "") if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        """Whole nano-dollars, exactly; nine digits after the point are all there are."""
        amount = super().clean(value)
        return None if amount is None else int(amount * NANO)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare amounts, not spellings."""
        return super().has_changed(None if initial is None else self.prepare_value(initial), data)


class BoundsMixin:
    """Caps in dollars for tables whose rows have them."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **options: Any) -> Any:
        """Ask for dollars where nano-dollars are kept."""
        if db_field.name in SPEND_CAPS:
            return UsdField(label=CAP_LABELS[db_field.name])
        return super().formfield_for_dbfield(db_field, request, **options)  # type: ignore[misc]

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        """Whoever may only look reads dollars too."""
        fieldsets = super().get_fieldsets(request, obj)  # type: ignore[misc]
        if obj is not None and self.has_change_permission(request, obj):  # type: ignore[attr-defined]
            return fieldsets
        return [
            (name, {**options, "fields": tuple(CAP_COLUMNS.get(field, field) for field in options["fields"])})
            for name, options in fieldsets
        ]

    @display(description="Cap per day")
    def cap_per_day(self, row: Any) -> str:
        """Dollars per UTC day."""
        return usd(row.cap_day_nano)

    @display(description="Cap per month")
    def cap_per_month(self, row: Any) -> str:
        """Dollars per UTC month."""
        return usd(row.cap_month_nano)

    @display(description="Cap in total")
    def cap_in_total(self, row: Any) -> str:
        """Dollars ever."""
        return usd(row.cap_total_nano)
