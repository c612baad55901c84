"""What people may enter in settings beside names and zones: what is kept, and the words that confirm an end."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class ContentForm(forms.Form):
    """Whether answers may be kept for a day."""

    stores_content = forms.BooleanField(
        label="Keep answers for a day",
        required=False,
        help_text="Only answers to calls with an Idempotency-Key, so that the same key can repeat them.",
    )


class ConfirmForm(forms.Form):
    """Words that somebody types to show that they mean it."""

    confirmation = forms.CharField(max_length=254)

    def __init__(self, *arguments: Any, words: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.words = words

    def clean_confirmation(self) -> str:
        """The very words, whatever their case."""
        given = str(self.cleaned_data["confirmation"]).strip()
        if given.casefold() != self.words.casefold():
            message = "These are not the words. Nothing was changed."
            raise ValidationError(message, code="other_words")
        return given
