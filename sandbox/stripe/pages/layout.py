"""The look of every page: self-contained, light and dark, no script, a policy of its own, and the banner on top."""

import secrets
from html import escape
from urllib.parse import urlsplit

from sandbox.stripe.api import Answer

BANNER = "Payment sandbox: no real money"
STYLE = """
:root{color-scheme:light dark;--ground:#f3f4f7;--panel:#fff;--ink:#1b2130;--soft:#5d6679;--line:#dfe3ea;
--accent:#4f46e5;
--accent-ink:#fff;--good:#127a4b;--bad:#b3261e;--bad-ground:#fdecea;--note:#7a4d00;--note-ground:#fff3d6}
@media(prefers-color-scheme:dark){:root{--ground:#11141b;--panel:#1a1f29;--ink:#e9ecf3;--soft:#a1aabd;--line:#2f3644;
--accent:#8b85ff;--accent-ink:#12121c;--good:#5fd29a;--bad:#ff9c94;--bad-ground:#3a1f1f;--note:#ffd88a;
--note-ground:#3a2f14}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.5 Inter,system-ui,-apple-system,"Segoe UI",sans-serif}
.banner{background:var(--note-ground);color:var(--note);text-align:center;padding:.5rem 1rem;font-weight:600;
font-size:.9rem}main{max-width:60rem;margin:2rem auto;padding:0 1rem}main.narrow{max-width:30rem}
h1{font-size:1.35rem;margin:0 0 1rem}h2{font-size:1.05rem;margin:0 0 .75rem}
.two{display:grid;gap:1.25rem;grid-template-columns:1fr 1.25fr}@media(max-width:44rem){.two{grid-template-columns:1fr}
}
.panel{background:var(--panel);border:1px solid var(--line);border-radius:14px;padding:1.5rem;margin-bottom:1.25rem}
.total{font-size:2.2rem;font-weight:650;letter-spacing:-.02em;margin:.25rem 0 1rem}
.row{display:flex;justify-content:space-between;gap:1rem;padding:.4rem 0}.row.sum{border-top:1px solid var(--line);
margin-top:.4rem;padding-top:.7rem;font-weight:600}
.soft{color:var(--soft)}.small{font-size:.875rem}
label.card{display:flex;gap:.75rem;align-items:center;border:1px solid var(--line);border-radius:10px;
padding:.6rem .8rem;margin-bottom:.4rem;cursor:pointer}label.card:has(input:checked){border-color:var(--accent);
box-shadow:0 0 0 1px var(--accent)}
label.card span:last-child{margin-left:auto;white-space:nowrap}
.panel>:last-child,.panel>form:last-child>:last-child{margin-bottom:0}form+form{margin-top:1rem}
.field{display:block;margin-bottom:.9rem}.field span{display:block;font-size:.875rem;margin-bottom:.25rem}
input[type=text],input[type=email],input[type=number],select,textarea{width:100%;font:inherit;color:inherit;
background:var(--ground);border:1px solid var(--line);border-radius:9px;padding:.55rem .7rem}
input[type=radio],input[type=checkbox]{accent-color:var(--accent)}
button,.button{font:inherit;font-weight:600;border:0;border-radius:10px;padding:.7rem 1.1rem;cursor:pointer;
background:var(--accent);color:var(--accent-ink);text-decoration:none;display:inline-block}
button.wide{width:100%}
button.plain,.button.plain{background:transparent;color:var(--ink);border:1px solid var(--line)}
button.small{padding:.35rem .7rem;font-size:.875rem}a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.alert{border-radius:10px;padding:.7rem .9rem;margin-bottom:1rem;background:var(--bad-ground);color:var(--bad)}
.alert.good{background:transparent;border:1px solid var(--good);color:var(--good)}
.inline{display:flex;gap:.5rem;align-items:end;flex-wrap:wrap;margin-bottom:.75rem}
.inline .field{margin:0;flex:1 1 8rem}
details{margin:.5rem 0 1rem}summary{cursor:pointer;color:var(--soft)}
.scroll{overflow-x:auto}table{width:100%;border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;padding:.45rem .5rem;
border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:500}
code{font:.85em ui-monospace,Menlo,monospace;overflow-wrap:anywhere}nav a{margin-right:1rem}
"""
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def page(
    title: str, inside: str, *, status: int = 200, narrow: bool = False, leads_to: tuple[str | None, ...] = ()
) -> Answer:
    """A whole page. A form's answer may lead to the origins of ``leads_to``, and nowhere else."""
    nonce = secrets.token_urlsafe(16)
    targets = " ".join(sorted({"'self'", *(origin(one) for one in leads_to if one)}))
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; form-action {targets}; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    written = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Payment sandbox</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        '<link rel="icon" href="data:,">'
        f'<style nonce="{nonce}">{STYLE}</style></head><body><div class="banner" role="note">{BANNER}</div>'
        f'<main class="{"narrow" if narrow else ""}"><h1>{escape(title)}</h1>{inside}</main></body></html>'
    )
    return Answer(status, written.encode(), {**HEADERS, "content-security-policy": policy})


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def go(url: str) -> Answer:
    """On to another page."""
    return Answer(303, b"", {"location": url, "cache-control": "no-store", "content-type": "text/plain"})


def alert(words: str | None, *, good: bool = False) -> str:
    """Something to be read first."""
    return f'<div class="alert{" good" if good else ""}" role="alert">{escape(words)}</div>' if words else ""


def row(label: str, value: str, *, kind: str = "") -> str:
    """A label and its value, side by side; both are text."""
    return f'<div class="row {kind}"><span>{escape(label)}</span><span>{escape(value)}</span></div>'


def button(name: str, value: str, label: str, *, kind: str = "") -> str:
    """A button that says what was pressed."""
    return f'<button class="{kind}" name="{escape(name)}" value="{escape(value)}">{escape(label)}</button>'
