"""Deeds: what an operator does to a row other than edit it, always on a page of its own that asks why.

Promise: a deed happens by POST alone, to rows its doer may change, with a reason that ends up in the trail; it calls
one room, and a room's refusal is shown as a sentence beside the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminTextInputWidget

LONGEST_REASON = 200
# (request, row, reason): act through a room; an answer of its own replaces the return to the row.
Act = Callable[[HttpRequest, Any, str], HttpResponse | None]


@dataclass(frozen=True, slots=True)
class Deed:
    """One button: its words, what it does, and whom it is for."""

    slug: str
    title: str
    icon: str
    warning: str
    act: Act
    applies: Callable[[Any], bool] = lambda row: True
    platform_only: bool = False
    in_bulk: bool = True
    grave: bool = False


class ReasonField(forms.CharField):
    """Why something is done; the trail keeps it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{
                "label": "Reason",
                "max_length": LONGEST_REASON,
                "help_text": "Kept in the audit trail beside your name.",
                "widget": UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
                **options,
            }
        )


class ReasonForm(forms.Form):
    """The one question a deed asks."""

    reason = ReasonField()


class ReasonedForm(forms.ModelForm):  # type: ignore[type-arg]  # each admin names its own model
    """A change to a row, and why."""

    reason = ReasonField()
