"""The tree of errors: complete, exported, picklable, and every exception of the store library is in it."""

import inspect
import pickle
import re

import manifestry as mf
import pytest
from manifestry import errors
from manifestry.model.issues import Issue
from manifestry.storage.faults import source_error, source_errors
from obstore import exceptions as obs

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, BaseException)]
EXIT_CODES = {
    "ManifestryError": 1,
    "SourceError": 5,
    "UnknownFormatError": 3,
    "AmbiguousFormatError": 3,
    "OptionError": 2,
    "MalformedFileError": 1,
    "UnsupportedFeatureError": 4,
    "ManifestError": 1,
    "IncompatibleArraysError": 1,
    "TargetExistsError": 5,
    "WriteError": 5,
    "PluginError": 6,
}


def test_every_class_is_exported_drawn_and_has_its_exit_code():
    assert {c.__name__: c.exit_code for c in CLASSES} == EXIT_CODES
    assert sorted(errors.__all__) == errors.__all__ == sorted(EXIT_CODES)
    for cls in CLASSES:
        assert getattr(mf, cls.__name__) is cls
        assert issubclass(cls, mf.ManifestryError)
        assert re.search(rf"\b{cls.__name__}\b", errors.__doc__)
        assert cls.__doc__


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_class_travels_between_processes(cls):
    error = cls("what went wrong")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error) == "what went wrong"


def test_refusals_keep_what_they_say():
    issues = [Issue("a", "filter 1"), Issue("b", "filter 2", hint="repack")]
    error = mf.UnsupportedFeatureError("2 parts cannot be expressed", "x.h5", "skip them", issues)
    again = pickle.loads(pickle.dumps(error))
    assert (again.feature, again.where, again.hint, again.issues) == (
        "2 parts cannot be expressed", "x.h5", "skip them", tuple(issues),
    )  # fmt: skip
    assert str(again).splitlines() == [
        "2 parts cannot be expressed:", "  a: filter 1", "  b: filter 2 (repack)", "skip them",
    ]  # fmt: skip
    assert str(mf.UnsupportedFeatureError("filter 1", "a/b", "repack")) == "a/b: filter 1 (repack)"


def test_names_are_sorted_and_all_can_be_had():
    assert len(set(mf.__all__)) == len(mf.__all__)
    assert sorted(mf.__all__) == mf.__all__
    for name in mf.__all__:
        assert getattr(mf, name) is not None
    assert {*mf.__all__} <= {*dir(mf)}
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mf.nonsense


OBSTORE = [e for _, e in inspect.getmembers(obs, inspect.isclass) if issubclass(e, BaseException)]


def test_the_store_library_has_the_exceptions_that_are_tested():
    assert {"GenericError", "UnauthenticatedError", "PermissionDeniedError", "InvalidPathError"} <= {
        e.__name__ for e in OBSTORE
    }


@pytest.mark.parametrize("cls", OBSTORE, ids=lambda e: e.__name__)
def test_every_exception_of_the_store_library_is_a_source_error(cls):
    with pytest.raises(mf.SourceError, match=r"^s3://b/k: ") as caught, source_errors("s3://b/k"):
        raise cls("the reason\nDebug source: Generic { .. }")
    assert isinstance(caught.value.__cause__, cls)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "No such file"), "does not exist"),
        (PermissionError(13, "Permission denied"), "permission denied"),
        (IsADirectoryError(21, "Is a directory"), "is a directory"),
        (NotADirectoryError(20, "Not a directory"), "no directory"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (TimeoutError("timed out"), "timed out"),
        (obs.UnauthenticatedError("401"), "needs credentials"),
        (obs.PermissionDeniedError("403"), "may not be read with these credentials"),
    ],
)
def test_what_to_do_is_said(error, message):
    assert message in str(source_error("file:///x", error))


def test_defects_are_not_hidden_as_source_errors():
    with pytest.raises(ValueError, match="a defect"), source_errors("file:///x"):
        raise ValueError("a defect")
