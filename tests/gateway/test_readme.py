"""Every example of the gateway's README is sent as it stands, at both doors; every endpoint has one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accounts import keys, trail
from accounts.models.keys import KeyKind
from tests import factories
from tests.gateway.house import CANONICAL, EXPRESS, House, opened
from tests.gateway.test_conformance import LOOKS, WORK

README = Path(__file__).resolve().parents[2] / "gateway" / "README.md"


@dataclass(frozen=True)
class Example:
    """One fenced request."""

    status: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def examples() -> Iterator[Example]:
    for status, text in re.findall(r"```http (\d{3})\n(.*?)```", README.read_text(), re.DOTALL):
        head, _, body = text.partition("\n\n")
        first, *lines = head.strip().splitlines()
        method, path = first.split(" ", 1)
        headers = dict(line.split(": ", 1) for line in lines)
        yield Example(int(status), method, path, headers, body.strip().encode())


def test_every_endpoint_has_an_example():
    shown = {example.path.partition("?")[0] for example in examples()}
    wanted = {work.path for name, work in WORK.items() if "/" in name}
    wanted |= {path for name, (_, path, _) in LOOKS.items() if "nothing" not in path}
    verbs = {name for name in WORK if "/" not in name}
    assert wanted <= shown, wanted - shown
    assert verbs <= {path.rpartition(":")[2] for path in shown}


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("door", [EXPRESS, CANONICAL])
def test_every_example_answers_as_it_says(door):
    with opened(door) as house:
        words = {"$KEY": house.secret, "$OPERATOR": operator_key()}
        for example in examples():
            answer = sent(house, example, words)
            assert answer.status_code == example.status, (example, answer.text[:300])


def operator_key() -> str:
    minted = keys.create(
        organization=None,
        storefront=None,
        made_by=factories.make_staff(),
        kind=KeyKind.OPERATOR,
        label="operator",
        source=trail.SYSTEM,
    )
    return minted.secret


def sent(house: House, example: Example, words: dict[str, str]) -> Any:
    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    headers = {"authorization": "", **{name.lower(): filled(value) for name, value in example.headers.items()}}
    body = filled(example.body.decode()).encode()
    return house.ask(example.method, example.path, body or None, **headers)
