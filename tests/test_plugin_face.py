"""The plugin face: what it holds, what importing it costs, and that our own plugins need nothing else of the core."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import manifestry
import manifestry.plugin
import pytest

ROOT = Path(__file__).resolve().parent.parent
FACE = set(manifestry.plugin.__all__)
OF_USERS = {"Budget", "Limits", "Reference", "Stores", "UnknownFormatError", "parse", "to_xarray", "write"}
"""What plugins take from `manifestry` itself: verbs, and what stands in signatures of users."""
INSIDE = {
    "Claim": "a lock that another process holds",
    "REMOTE_HEAD_BYTES": "requests are counted",
    "RetryPolicy": "short pauses",
    "attributes_equal": "the measure of the core",
    "attributes_to_json": "the measure of the core",
    "value_to_json": "the measure of the core",
    "describe_options": "help texts",
    "installed_formats": "how the plugin is found",
    "matches": "how the plugin is found",
    "staging": "a system call is replaced",
}
"""What tests of plugins take from inside the core, and why."""
HOW_TO = ROOT / "docs" / "how-to" / "write-a-plugin.md"
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if (path / "src").is_dir() and path.name != "codecs")


def _taken(tree: ast.Module) -> set[tuple[str, str]]:
    """Modules of the core that are imported, each with a name; attributes of ``import manifestry as mf`` too."""
    found, root = set(), None
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "manifestry":
            found |= {(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "manifestry":
                    assert alias.name == "manifestry", f"import {alias.name}"
                    root = alias.asname or alias.name
    return found | {
        ("manifestry", node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == root
    }


def _names(plugin: Path, folder: str) -> dict[Path, set[tuple[str, str]]]:
    return {path: _taken(ast.parse(path.read_text())) for path in (plugin / folder).rglob("*.py")}


def _strays(plugin: Path, folder: str, allowed: set[str]) -> set[str]:
    """Names that a plugin takes from elsewhere than the face, the kit, or what users have besides."""
    return {
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path, names in _names(plugin, folder).items()
        for module, name in names
        if not (module == "manifestry.plugin" and name in FACE)
        and not (module == "manifestry" and (name in OF_USERS or folder == "tests"))
        and not module.startswith("manifestry.testing")
        and name not in allowed
    }


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_our_plugins_take_nothing_of_the_core_but_the_face(plugin):
    assert not _strays(plugin, "src", set())


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_nor_do_their_tests(plugin):
    assert not _strays(plugin, "tests", set(INSIDE))


def test_the_face_is_small_and_each_name_has_two_users_or_is_explained():
    assert len(FACE) <= 60
    users = dict.fromkeys(FACE, 0)
    for plugin in PLUGINS:
        for name in {name for names in _names(plugin, "src").values() for _, name in names} & FACE:
            users[name] += 1
    blocks = "\n".join(re.findall(r"```python[^\n]*\n(.*?)```", HOW_TO.read_text(), re.DOTALL))
    explained = {name for name in FACE if re.search(rf"\b{name}\b", blocks)}
    assert not {name for name, count in users.items() if count < 2} - explained


def test_every_name_is_there():
    for name in FACE:
        assert getattr(manifestry.plugin, name) is not None
    assert set(dir(manifestry.plugin)) >= FACE
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = manifestry.plugin.nothing


def test_importing_the_face_and_describing_a_format_loads_nothing_heavy():
    code = (
        "import sys; from manifestry.plugin import Capability, Confidence, Magic, ParserDescriptor, WriterDescriptor, "
        "hookimpl, CodecEntry, CodecKind; "
        "print(sorted({'numpy', 'obstore', 'zarr', 'xarray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _documented(page: str) -> set[str]:
    """The names on a page of the reference: what is described, modules with all that they hold, and what is named."""
    text = (ROOT / "docs" / "reference" / page).read_text()
    names = set(re.findall(r"`(\w+)`", text))
    for path in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE):
        module, _, name = path.rpartition(".")
        names.add(name)
        try:
            names |= set(importlib.import_module(path).__all__)
        except ModuleNotFoundError:
            assert getattr(importlib.import_module(module), name) is not None
    return names


@pytest.mark.parametrize(
    ("names", "page"), [(manifestry.__all__, "python.md"), (manifestry.plugin.__all__, "plugin.md")]
)
def test_the_reference_has_every_name(names, page):
    assert not set(names) - _documented(page) - (_documented("python.md") if page == "plugin.md" else set())
