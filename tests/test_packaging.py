"""What the packages say of themselves: what they need, who made them, and under which terms."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.parent for path in [*ROOT.glob("core/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")])
URL = "https://github.com/manifestry/manifestry"

# Needed without an import: zarr and numcodecs find codecs by the names that stores give them.
FOUND_BY_NAME = {"imagecodecs-numcodecs", "manifestry-codecs"}
# Where modules import at their top what only an extra brings.
FOR_AN_EXTRA = {"manifestry/testing": "testing", "manifestry/xarray_bridge": "xarray"}


def project(package: Path) -> dict:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def normal(name: str) -> str:
    """As in https://packaging.python.org/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements) -> set[str]:
    return {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def imports(node: ast.AST, *, always: bool = True) -> Iterator[tuple[str, bool]]:
    """Each module that is imported, and whether importing the one it stands in does so and fails without it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue  # for type checkers only
        if isinstance(child, ast.Import):
            yield from ((alias.name, always) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and not child.level:
            yield from ((f"{child.module}.{alias.name}", always) for alias in child.names)
        else:
            sometimes = isinstance(child, ast.If | ast.Try | ast.With | ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(child, always=always and not sometimes)


@cache
def distributions() -> Mapping[str, list[str]]:
    """By the name of a module at the top the distributions that hold it."""
    return packages_distributions()


def owners(module: str) -> set[str]:
    """The distributions that may hold a module."""
    top, below = (*module.split("."), "")[:2]
    known = {normal(name) for name in distributions().get(top, ())}
    # Of a namespace that several share (backports), the one that is named after the module.
    return {f"{top}-{below}"} if len(known) > 1 or top == "backports" else known or {normal(top)}


@cache
def needed(package: Path) -> list[tuple[str, str, bool]]:
    """Each import of what is not the package's own: the file, the module, and whether it is imported always."""
    (own,) = (path.name for path in (package / "src").iterdir() if path.is_dir())
    return [
        (path.relative_to(package / "src").as_posix(), module, always)
        for path in sorted(package.glob("src/**/*.py"))
        for module, always in imports(ast.parse(path.read_text()))
        if module.split(".")[0] != own
    ]


STANDARD = {*sys.stdlib_module_names, "compression"}  # the last from Python 3.14 on


def foreign(package: Path) -> Iterator[tuple[str, set[str], bool]]:
    """The imports of other distributions: the file, who may hold the module, and whether it is imported always."""
    for path, module, always in needed(package):
        if module.split(".")[0] not in STANDARD:
            yield path, owners(module), always


def plugins() -> set[str]:
    """Members of the workspace that bring formats, found by entry points."""
    apart = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["exclude"]
    return {
        project(package)["name"]
        for package in PACKAGES
        if package not in {ROOT / path for path in apart} and "manifestry" in project(package).get("entry-points", {})
    }


every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


@every_package
def test_what_is_imported_is_declared(package):
    meta = project(package)
    extras = {name: names(needs) for name, needs in meta.get("optional-dependencies", {}).items()}
    missing = []
    for path, found, always in foreign(package):
        declared = names(meta["dependencies"])
        for place, extra in FOR_AN_EXTRA.items():
            declared |= extras[extra] if path.startswith(f"{place}/") else set()
        declared |= set() if always else set().union(*extras.values())
        if not found & declared:
            missing.append((path, found))
    assert not missing


@every_package
def test_what_is_declared_is_imported(package):
    meta = project(package)
    declared = names([*meta["dependencies"], *chain.from_iterable(meta.get("optional-dependencies", {}).values())])
    used = set().union(*(found for _, found, _ in foreign(package)))
    assert declared - FOUND_BY_NAME - used - (plugins() | {"manifestry"} if package.name == "core" else set()) == set()


@every_package
def test_packages_load_where_there_is_no_posix(package):
    posix = {"fcntl", "grp", "pwd", "resource", "termios"}
    modules = [(path, name) for path, name, always in needed(package) if always and name.split(".")[0] in posix]
    assert modules == []


@every_package
def test_every_package_says_the_same_of_itself(package):
    meta, core = project(package), project(ROOT / "core")
    same = ("version", "license", "requires-python", "authors", "classifiers", "urls", "readme")
    assert {key: meta[key] for key in same} == {key: core[key] for key in same}
    assert meta["authors"] == [{"name": "The manifestry developers"}]
    assert all(url.startswith(URL) for url in meta["urls"].values())
    assert meta["name"] == ("manifestry" if package.name == "core" else f"manifestry-{package.name}")
    assert (package / "README.md").read_text().startswith(f"# {meta['name']}\n")
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    build = tomllib.loads((package / "pyproject.toml").read_text())
    module = meta["name"].replace("-", "_")
    assert build["tool"] == {"hatch": {"build": {"targets": {"wheel": {"packages": [f"src/{module}"]}}}}}
    assert build["build-system"] == {"requires": ["hatchling>=1.27"], "build-backend": "hatchling.build"}
    assert (package / "src" / module / "py.typed").exists()


def test_packages_agree_on_what_they_need():
    """One lower bound for each library, so that the one that is tested is the one that is declared."""
    bounds: dict[str, set[str]] = {}
    for package in PACKAGES:
        meta = project(package)
        for requirement in [
            *meta["dependencies"],
            *chain.from_iterable(meta.get("optional-dependencies", {}).values()),
        ]:
            name, rest = re.match(r"([\w.-]+)(?:\[[\w,]+\])?(.*)", requirement).groups()
            bounds.setdefault(normal(name), set()).add(rest)
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_nothing_names_a_place_on_somebodys_machine():
    folders = ("core", "plugins", "tests", "docs", "benchmarks", "samples", ".ci")
    inside = [path for folder in folders for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts]
    texts = [path for path in [*ROOT.glob("*.*"), *inside] if path.suffix in {".py", ".md", ".toml", ".yml", ".mjs"}]
    assert len(texts) > 400
    homes = re.compile(r"[\"'\s=(]((?:/work|/root|/Users|/home/(?!someone\b))/[\w./-]*)")
    named = [(path.relative_to(ROOT).as_posix(), found) for path in texts for found in homes.findall(path.read_text())]
    assert named == []


def test_an_extra_of_the_core_brings_each_format():
    extras = project(ROOT / "core")["optional-dependencies"]
    (everything,) = extras["all"]
    brought = {name for extra in re.findall(r"\w+", everything.partition("]")[0])[1:] for name in names(extras[extra])}
    assert brought == plugins() | {"xarray"}
