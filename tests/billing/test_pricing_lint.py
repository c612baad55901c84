"""No float comes near money: proven from the source, not from good intentions."""

import ast
from pathlib import Path

import pytest

from billing import money

BILLING = Path(money.__file__).parent
FILES = [BILLING / "money.py", *sorted((BILLING / "pricing").glob("*.py"))]
FORBIDDEN_NAMES = {"float", "round", "math.floor", "statistics", "numpy"}
FORBIDDEN_IMPORTS = ("django", "redis", "httpx", "requests", "aiohttp", "pyreqwest", "urllib", "socket", "http")


def floats_in(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"line {node.lineno}: the literal {node.value}")
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            found.append(f"line {node.lineno}: the name {node.id}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: a division with /")
    return found


def imports_in(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.split(".")[0] in FORBIDDEN_IMPORTS]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_float_and_no_framework(path: Path) -> None:
    assert floats_in(path.read_text()) == []
    assert imports_in(path.read_text()) == []


def test_the_lint_sees_what_it_looks_for() -> None:
    bad = "a = 1.5\nb = float(3)\nc = 1 / 2\nc /= 2\nd = round(c)\ne = 1j\n"
    assert [found.split(":")[0] for found in sorted(floats_in(bad))] == [f"line {line}" for line in range(1, 7)]
    assert imports_in("import django.db\nfrom httpx import get\nimport json") == ["django.db", "httpx"]
    assert len(FILES) > 10
