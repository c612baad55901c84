"""Names that people give to things: one line, as they meant it, and harmless wherever it is shown or logged.

Promise: what ``one_line`` returns has no control, format or private character (no NUL, no line break that forges a
log line, no mark that turns the reading direction), no lone surrogate, one kind of Unicode spelling and single spaces.
"""

import unicodedata

# Zero-width joiners hold emoji and some scripts together; they are the one kind of format character that is kept.
JOINERS = "\u200c\u200d"
FORBIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


class NotOneLine(ValueError):
    """The text is empty, too long, or holds characters that a name cannot have; the sentence says which."""


def one_line(text: str, *, longest: int) -> str:
    """Return the text cleaned of surplus space, or refuse it in a sentence."""
    if len(text) > 4 * longest:
        message = f"This is too long; {longest} characters are the most."
        raise NotOneLine(message)
    if any(_forbidden(character) for character in text):
        message = "This holds a character that a name cannot have (a line break, NUL or another invisible one)."
        raise NotOneLine(message)
    cleaned = " ".join(unicodedata.normalize("NFC", text).split())
    if not cleaned:
        message = "This may not be empty."
        raise NotOneLine(message)
    if len(cleaned) > longest:
        message = f"This is too long; {longest} characters are the most."
        raise NotOneLine(message)
    return cleaned


def _forbidden(character: str) -> bool:
    return unicodedata.category(character) in FORBIDDEN and character not in JOINERS
