"""A storefront's terms: its own Markdown, or the template every shop starts from.

Promise: whatever an operator writes, the page holds no HTML of theirs and no link that runs a script.
"""

from functools import lru_cache

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from accounts.models import Storefront

_writer = MarkdownIt("commonmark", {"html": False}).enable("table")


def page(storefront: Storefront) -> SafeString:
    """The terms as HTML."""
    text = storefront.terms.strip() or _template().format_map(
        {"storefront": _plain(storefront.name), "support": _plain(storefront.support_email or storefront.support_url)}
    )
    html: SafeString = mark_safe(_writer.render(text))  # noqa: S308 - the writer escapes all HTML and refuses script links
    return html


@lru_cache(maxsize=1)
def _template() -> str:
    text = (settings.BASE_DIR / "TERMS.md").read_text(encoding="utf-8")
    text = text.replace("{", "{{").replace("}", "}}")
    for name in ("storefront", "support"):
        text = text.replace("{{{{ " + name + " }}}}", "{" + name + "}")
    return text


def _plain(words: str) -> str:
    """A name in Markdown that stays a name."""
    escaped = "".join("\\" + letter if letter in "\\`*_{}[]()<>#+-.!|~" else letter for letter in words)
    return escaped or "the address this shop gave you"
