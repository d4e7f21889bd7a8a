"""The exceptions of obstore and of the operating system as `SourceError`, with what to do about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions as obs

from manifestry.errors import SourceError
from manifestry.storage.urls import shown

__all__ = ["source_error", "source_errors"]

_ADVICE: tuple[tuple[type[BaseException], str], ...] = (
    (FileNotFoundError, "does not exist"),
    (obs.NotFoundError, "does not exist"),
    (IsADirectoryError, "is a directory"),
    (NotADirectoryError, "lies below something that is no directory"),
    (PermissionError, "may not be read: permission denied"),
    (obs.UnauthenticatedError, "needs credentials: set them in the environment or give `stores`"),
    (obs.PermissionDeniedError, "may not be read with these credentials"),
    (obs.InvalidPathError, "has a path that object stores do not allow"),
    (obs.NotSupportedError, "the server does not answer requests for byte ranges"),
)
_METADATA_SERVICE = "169.254.169.254"
"""Where cloud libraries ask for credentials when the environment has none."""


@contextmanager
def source_errors(url: str) -> Iterator[None]:
    """Inside, exceptions of the store library and the operating system become `SourceError` naming `url`."""
    try:
        yield
    except (obs.BaseError, OSError) as error:
        raise source_error(url, error) from error
    except ValueError as error:
        if "path" not in str(error).lower():
            raise
        raise SourceError(f"{shown(url)}: has a path that object stores do not allow") from error


def source_error(url: str, error: BaseException) -> SourceError:
    """The `SourceError` for an exception of the store library or the operating system."""
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return SourceError(f"{shown(url)}: {advice}")
    if _METADATA_SERVICE in str(error):
        return SourceError(f"{shown(url)}: needs credentials: set them in the environment or give `stores`")
    return SourceError(f"{shown(url)}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, obs.BaseError):
        return error.strerror
    # obstore says what it did and how often, and after a dash what went wrong.
    first = (str(error).strip().splitlines() or [type(error).__name__])[0].rpartition(" - ")[2].rstrip(": ")
    return "cannot be reached" if first.endswith("error sending request") else shown(first)
