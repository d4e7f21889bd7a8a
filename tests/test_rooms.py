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


def _rooms_in_order() -> list[str]:
    """The rooms of the core from the ground up, as CONTRIBUTING.md lists them."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = text[text.index("    credentials errors") : text.index("The HDF5 parser has a room")]
    return [
        name.rstrip("/")
        for row in block.splitlines()
        if row.strip()
        for name in re.split(r"\s{2,}", row.strip())[0].split()
    ]


def _imports(path: Path) -> set[str]:
    """The rooms of the core that a module imports, inside functions too, for types only not."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    modules = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module.split(".")[1] for module in modules if module.startswith("manifestry.")}


def test_the_map_of_the_core_lists_every_room():
    room = ROOT / "core" / "src" / "manifestry"
    assert sorted(_rooms_in_order()) == sorted(_modules(room))


def test_no_import_of_the_core_runs_back_up():
    order = _rooms_in_order()
    top = ROOT / "core" / "src" / "manifestry"
    back = set()
    for path in top.rglob("*.py"):
        inner = path.relative_to(top).with_suffix("").parts
        if inner in (("__init__",), ("__main__",)):
            continue
        back |= {(inner[0], room) for room in _imports(path) if order.index(room) > order.index(inner[0])}
    assert not back
