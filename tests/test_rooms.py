"""The map of the house is true: every package lists its modules, with what each is for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([ROOT / "core" / "src", *ROOT.glob("plugins/*/src")])
ROOMS = sorted(init.parent for src in SOURCES for init in src.rglob("__init__.py"))


def _modules(room: Path) -> set[str]:
    files = {path.stem for path in room.glob("*.py") if not path.stem.startswith("_")}
    return files | {path.parent.name for path in room.glob("*/__init__.py")}


def _listed(room: Path) -> dict[str, str]:
    """The rows of the table in the docstring of a package."""
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    return {row[1]: row[2] for row in re.finditer(r"^`(\w+)`\s+(\S.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: ".".join(room.parts[room.parts.index("src") + 1 :]))
def test_a_package_lists_its_modules(room):
    modules = _modules(room)
    if len(modules) > 1:
        assert set(_listed(room)) == modules


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: ".".join(room.parts[room.parts.index("src") + 1 :]))
def test_a_floor_has_at_most_sixteen_modules(room):
    assert len([path for path in room.glob("*.py") if path.stem != "__init__"]) <= 16
