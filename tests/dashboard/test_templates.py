"""What holds for every template: icons exist, nothing inline, nothing from elsewhere."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import engines
from django.template.loader import get_template

ROOT = Path(settings.BASE_DIR) / "templates"
OTHERS = ("emails", "plumbing", "admin", "unfold", "docs", "desk")
OURS = [path for path in sorted(ROOT.rglob("*.html")) if path.relative_to(ROOT).parts[0] not in OTHERS]
NAMES = [str(path.relative_to(ROOT)) for path in OURS]


def test_the_sprite_holds_exactly_what_is_drawn():
    drawn = set()
    for path in OURS:
        text = path.read_text()
        drawn |= set(re.findall(r'{% icon "([\w-]+)"', text))
        drawn |= set(re.findall(r'{% part "empty" name="([\w-]+)"', text))
    sprite = (Path(settings.BASE_DIR) / "static" / "vendor" / "icons.svg").read_text()
    assert drawn == set(re.findall(r'<symbol id="([\w-]+)"', sprite))


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_well_formed_and_brings_nothing_inline(name):
    get_template(name)
    text = (ROOT / name).read_text()
    assert not re.search(r'\sstyle="', text)
    assert not re.search(r"\son[a-z]+=", text)
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert "|safe" not in text
    for script in re.findall(r"<script[^>]*>", text):
        assert 'src="' in script or 'type="application/json"' in script, script


def test_every_allauth_page_is_ours():
    import allauth

    theirs = Path(allauth.__file__).parent / "templates"
    elements = {path.name for path in (theirs / "allauth" / "elements").glob("*.html")}
    layouts = {path.name for path in (theirs / "allauth" / "layouts").glob("*.html")}
    assert elements <= {path.name for path in (ROOT / "allauth" / "elements").glob("*.html")}
    assert layouts == {path.name for path in (ROOT / "allauth" / "layouts").glob("*.html")}


def test_the_words_are_built_in():
    template = engines["django"].from_string('{% part "card" title=t %}{% icon "key" %}{% endpart %}')
    drawn = template.render({"t": "<b>"})
    assert "&lt;b&gt;" in drawn
    assert "icons.svg#key" in drawn
