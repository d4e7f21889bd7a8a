"""Icechunk's exceptions, and the panics of its Rust code, as errors of manifestry."""

from __future__ import annotations

import os
from types import TracebackType

import icechunk
from manifestry.plugin import ManifestryError, SourceError, WriteError, first_line

__all__ = ["ConflictingCommitError", "icechunk_errors", "is_unreachable"]

_NOT_THERE = ("tcp connect error", "dns error", "HTTP connect timeout")
_CUT_OFF = ("ConnectionReset", "reset by peer")


class ConflictingCommitError(WriteError):
    """Somebody else committed a change that contradicts this one; nothing of this one was stored."""


class icechunk_errors:  # noqa: N801 used like a function
    """Inside, what icechunk raises becomes an error of manifestry that says what was being done.

    Parameters
    ----------
    doing
        What is being done, for the message.
    otherwise
        The error to raise: `WriteError` for a target, `SourceError` for a source.

    Notes
    -----
    A panic of Rust code arrives as ``pyo3_runtime.PanicException``, which derives from BaseException and cannot be
    imported: it is known by its name.
    """

    def __init__(self, doing: str, otherwise: type[ManifestryError] = WriteError) -> None:
        self._doing = doing
        self._otherwise = otherwise

    def __enter__(self) -> None:
        _check_process(self._doing, self._otherwise)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, ManifestryError):
            return
        message = first_line(error)
        if isinstance(error, icechunk.ConflictError):
            raise ConflictingCommitError(
                f"{self._doing}: somebody else committed a change that contradicts this one ({message}); nothing was "
                "stored; write again, or let the writer do so with on_conflict='retry'"
            ) from error
        if isinstance(error, icechunk.RepositoryNotFoundError):
            raise SourceError(f"{self._doing}: there is no Icechunk repository") from error
        if isinstance(error, icechunk.IcechunkError | OSError):
            raise self._otherwise(f"{self._doing}: {message}") from error
        if type(error).__name__ == "PanicException":
            raise self._otherwise(
                f"{self._doing}: icechunk failed internally ({message}); nothing was stored"
            ) from error


_used_in: list[int] = []


def _check_process(doing: str, error: type[ManifestryError]) -> None:
    """Refuse to go on in a process that was forked after Icechunk was used: its threads are gone, and it would hang."""
    if not _used_in:
        _used_in.append(os.getpid())
    elif os.getpid() not in _used_in:
        raise error(
            f"{doing}: this process was forked from one that had used Icechunk already, whose threads it does not have; "
            "start processes with spawn (multiprocessing.get_context('spawn')), or use Icechunk after forking only"
        )


def is_unreachable(error: icechunk.StorageError) -> bool:
    """Whether a host is not known, or nobody answers there; icechunk asks it as often as a busy server."""
    text = str(error)
    return any(sign in text for sign in _NOT_THERE) and not any(sign in text for sign in _CUT_OFF)
