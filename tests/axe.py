"""What axe-core finds serious or critical on a page as it stands.

A page is examined by every rule in light; in dark by those that look at colours, since nothing else is another there.
"""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

COLOURS = ["color-contrast", "link-in-text-block"]


def serious(page: Any) -> list[str]:
    """One line for each finding: where, which rule, and the first elements."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"):
        options["runOnly"] = COLOURS
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{page.url}: {one['id']} {[node['html'][:140] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
