"""The guides: complete, in the shop's own name, and holding the very code that is run."""

import html
import re
import subprocess
from contextlib import redirect_stdout
from io import StringIO

import pytest

from dashboard.guides import mending, painting
from dashboard.guides.chapters import CHAPTERS
from dashboard.guides.recipes import CODE, RECIPES, SUITE, Words
from dashboard.views.guides import words_of
from gateway.errors import GatewayError
from tests import factories
from tests.clients.clients import CLIENTS
from tests.gateway.house import opened

PAGES = ["/guides", *(f"/guides/{chapter.slug}" for chapter in CHAPTERS)]
WORDS = Words("https://shop.example.com", "sk-tg-your-key", "a-model", "an-embedding", "a-shop")


def text_of(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_every_file_is_a_recipe_and_every_recipe_is_proven():
    assert {recipe.path.name for recipe in RECIPES.values()} == {path.name for path in CODE.iterdir()}
    for recipe in RECIPES.values():
        assert recipe.proof in {SUITE, *(client.name for client in CLIENTS)}
        assert "{{" not in recipe.text(WORDS), recipe.slug


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_colours_change_no_letter(recipe):
    text = recipe.text(WORDS)
    assert text_of(painting.painted(text, recipe.language)) == text
    assert "<script" not in painting.painted("<script>alert(1)</script> '<b>'", recipe.language)


def test_every_error_has_a_remedy_and_no_remedy_is_idle():
    told = {one.code for one in mending.table()}
    assert told == set(mending.REMEDIES)
    reached, kinds = set(), [GatewayError]
    while kinds:
        kind = kinds.pop()
        kinds += [child for child in kind.__subclasses__() if child.__module__ == GatewayError.__module__]
        if kind is not GatewayError:
            reached.add(kind.code)
    assert reached - told <= {"payment_required", "invalid_request"}  # which only group others


@pytest.mark.django_db
def test_every_chapter_has_its_headings_and_every_recipe_a_place(client, catalogue, shop):
    seen = ""
    for chapter in CHAPTERS:
        page = client.get(f"/guides/{chapter.slug}").content.decode()
        assert re.findall(r'<h2 id="([^"]+)"', page) == [anchor for anchor, _ in chapter.sections]
        titles = [html.unescape(title) for title in re.findall(r'<h2 id="[^"]+"><a[^>]*>([^<]+)<', page)]
        assert titles == [title for _, title in chapter.sections]
        seen += text_of(page)
    for recipe in RECIPES.values():
        assert recipe.text(words_of(shop)) in seen, recipe.slug


@pytest.mark.django_db
def test_links_lead_somewhere_and_every_anchor_is_there(client, catalogue, organization):
    there: dict[str, set[str]] = {}
    links = set()
    for path in PAGES:
        page = client.get(path).content.decode()
        there[path] = set(re.findall(r'\sid="([^"]+)"', page))
        links |= {(path + link if link.startswith("#") else link) for link in re.findall(r'href="([/#][^"]*)"', page)}
    for link in sorted(link for link in links if not link.startswith("/static/")):
        path, _, anchor = link.partition("#")
        if path not in there:
            answer = client.get(path, follow=True)
            assert answer.status_code == 200, link
            there[path] = set(re.findall(r'\sid="([^"]+)"', answer.content.decode()))
        assert not anchor or anchor == "main" or anchor in there[path], link


@pytest.mark.django_db
def test_each_shop_speaks_of_itself_alone(client, catalogue, shop):
    other = factories.make_storefront(name="Plum <AI>", host="plum.test", key_prefix="plum")
    for path in PAGES:
        page = client.get(path, headers={"Host": "plum.test"}).content.decode()
        assert "Plum &lt;AI&gt;" in page
        shown = re.sub(r'(href|src)="[^"]*"', "", page)
        assert shop.name not in shown
        assert "localhost" not in shown
        assert "sk-tg-" not in shown
    quick = client.get("/guides", headers={"Host": "plum.test"}).content.decode()
    assert "http://plum.test/v1" in quick
    assert "sk-plum-your-key" in quick
    assert words_of(other).short_name == other.slug


@pytest.mark.django_db
def test_guides_of_an_empty_shelf_and_none_of_that_name(client, shop):
    assert "model-name" in client.get("/guides").content.decode()
    assert client.get("/guides/how-to-fly").status_code == 404


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_stands_in_the_guides_runs():
    with opened() as house:
        words = Words(house.base, house.secret, "sandbox-standard", "sandbox-embedding", "shop")
        for recipe in RECIPES.values():
            if recipe.proof == SUITE:
                printed = ran(recipe.text(words), recipe.language)
                assert re.search(recipe.prints, printed), f"{recipe.slug} printed: {printed[:600]}"


def ran(code, language):
    if language == "py":
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "recipe", "exec"), {"__name__": "recipe"})  # noqa: S102 - it is our own code, as published
        return printed.getvalue()
    done = subprocess.run(["bash", "-euc", code], check=False, capture_output=True, text=True, timeout=60)
    return done.stdout + (done.stderr if done.returncode else "")
