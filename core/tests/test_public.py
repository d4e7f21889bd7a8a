"""The public surface: exported names, errors, and the examples in all docstrings."""

import doctest
import importlib
import inspect
import pickle
import pkgutil
import re
from pathlib import Path

import manifestry as mf
import pytest
from manifestry import errors
from manifestry.issues import Issue

MODULES = sorted(
    info.name for info in pkgutil.walk_packages(mf.__path__, "manifestry.") if not info.name.endswith("__main__")
)


def test_exported_names_are_sorted_complete_and_importable():
    assert mf.__all__ == sorted(mf.__all__)
    assert set(mf.__all__) <= set(dir(mf))
    for name in mf.__all__:
        thing = getattr(mf, name)
        assert thing.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mf.nothing


def test_every_public_error_is_exported():
    assert {kind.__name__ for kind in ERRORS} <= set(mf.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_modules_name_what_they_export(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert len(set(exported)) == len(exported)
    for thing in exported:
        assert hasattr(module, thing), thing
    assert module.__doc__, name


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = sum(bool(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert found >= 10


ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ManifestryError)]


def test_the_tree_of_errors_is_the_one_that_is_drawn():
    drawn = set(re.findall(r"\b(\w+Error)\b", errors.__doc__.partition("Each class")[0]))
    assert drawn == {kind.__name__ for kind in ERRORS}
    assert {kind.exit_code for kind in ERRORS} == {1, 2, 3, 4, 5, 6}
    others = ["first_line", "one_line", "printable", "translated"]
    assert sorted([*(kind.__name__ for kind in ERRORS), *others]) == errors.__all__


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_travel_between_processes(kind):
    error = kind("something")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "something"


def test_refusals_say_feature_place_and_hint():
    one = errors.UnsupportedFeatureError("filter 305 (lzo)", "g/a", "repack it")
    assert str(one) == "g/a: filter 305 (lzo) (repack it)"
    many = errors.UnsupportedFeatureError(
        "2 parts",
        "x",
        "skip them",
        [Issue(path="a", feature="f"), Issue(path="b", feature="g", message="why", hint="hint")],
    )
    assert str(many) == "2 parts:\n  a: f\n  b: g: why (hint)\nskip them"
    again = pickle.loads(pickle.dumps(many))
    assert (str(again), again.issues, again.hint) == (str(many), many.issues, "skip them")


@pytest.mark.parametrize(
    "call",
    [
        lambda path: mf.write(path, "out.json"),
        lambda path: mf.concat([path, path], "time"),
        lambda path: mf.concat(path, "time"),
        lambda path: mf.stack([path], "time"),
        lambda path: mf.merge([path]),
        mf.open_store,
        mf.to_xarray,
        mf.to_datatree,
    ],
    ids=["write", "concat", "concat one", "stack", "merge", "open_store", "to_xarray", "to_datatree"],
)
@pytest.mark.parametrize("path", ["a.nc", Path("a.nc"), None], ids=["text", "path", "none"])
def test_a_path_in_place_of_a_tree_is_answered_by_what_is_expected(call, path):
    with pytest.raises(TypeError, match=r"a tree was expected.* manifestry\.parse|not iterable"):
        call(path)
