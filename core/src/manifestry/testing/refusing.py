"""Refusals as tests expect them: an error of ours, and never the crash of a plugin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from manifestry.errors import ManifestryError, PluginError

__all__ = ["refusal", "refuses"]


@contextmanager
def refuses(
    *kinds: type[ManifestryError], match: str | re.Pattern[str] | None = None
) -> Iterator[pytest.ExceptionInfo[ManifestryError]]:
    """As ``pytest.raises``, for errors that refuse something: a `PluginError` is none, for there a plugin has crashed.

    Parameters
    ----------
    kinds
        What may be raised; any error of ours by default.
    match
        A regular expression that the message must contain.

    Examples
    --------
    >>> from manifestry.errors import MalformedFileError
    >>> with refuses(match="cut short"):
    ...     raise MalformedFileError("the file is cut short")
    """
    with pytest.raises(kinds or ManifestryError, match=match) as caught, refusal(pass_on=True):
        yield caught


@contextmanager
def refusal(*, pass_on: bool = False) -> Iterator[None]:
    """Inside, what is refused may be refused; a `PluginError` fails the test.

    Parameters
    ----------
    pass_on
        Raise the refusal too.
    """
    try:
        yield
    except PluginError as error:
        pytest.fail(f"a plugin crashed where something was to be refused: {error}")
    except ManifestryError:
        if pass_on:
            raise
