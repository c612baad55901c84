"""Colours for code: strings, comments and the words of a language, as markup that holds the very same text.

Promise: taking the markup away gives the code back, letter for letter; whatever the code holds is escaped.
"""

import re

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

WORDS = {
    "py": "from import as for in if else def class return try except with not and or print await async while",
    "mjs": "import from const let for await of new async function return if else",
    "sh": "curl export cat mkdir llm claude codex pip npm",
}
COMMENT = {"py": r"#[^\n]*", "sh": r"(?m:^#[^\n]*)", "mjs": r"//[^\n]*"}
STRING = r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\])*'"""


def painted(code: str, language: str) -> SafeString:
    """The code as HTML."""
    words = "|".join(WORDS.get(language, "").split())
    parts = rf"(?P<s>{STRING})|(?P<c>{COMMENT.get(language, '(?!)')})" + (rf"|(?P<k>\b(?:{words})\b)" if words else "")
    pieces, at = [], 0
    for found in re.finditer(parts, code):
        pieces += [escape(code[at : found.start()]), f'<span class="{found.lastgroup}">{escape(found[0])}</span>']
        at = found.end()
    return mark_safe("".join([*pieces, escape(code[at:])]))  # noqa: S308 - every piece of the code was escaped
