"""Errors: the exit code of each, and that every exception of the store library becomes one."""

import inspect

import manifestry as mf
import pytest
from manifestry import errors
from manifestry.errors import first_line, translated
from manifestry.storage.errors import source_error, source_errors
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


def test_every_class_has_its_exit_code():
    assert {c.__name__: c.exit_code for c in CLASSES} == EXIT_CODES


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
        (NotADirectoryError(20, "Not a directory"), "something that is not a directory"),
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


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one\r\ntwo"), "one"),
        (ValueError(" \n "), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(error, line):
    assert first_line(error) == line


def test_errors_of_other_libraries_are_translated_and_all_others_pass():
    with (
        pytest.raises(mf.OptionError, match=r"^depth: not a number$") as caught,
        translated(ValueError, mf.OptionError, "depth"),
    ):
        raise ValueError("not a number\ndetails")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(mf.SourceError, match=r"^closed$"), translated((OSError, ValueError), mf.SourceError):
        raise OSError("closed")
    with pytest.raises(TypeError, match=r"^a defect$"), translated((OSError, ValueError), mf.SourceError, "x"):
        raise TypeError("a defect")
    with pytest.raises(mf.ManifestError, match=r"^ours$"), translated(ValueError, mf.SourceError, "x"):
        raise mf.ManifestError("ours")
