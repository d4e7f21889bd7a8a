"""One writer at a time in a local repository.

Icechunk on a local file system has no atomic update of a branch: of several processes that commit at the same time
some lose their commits and are told that all went well. The lock is the operating system's (``flock``), so that of a
process that dies is free again.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from manifestry.errors import WriteError

__all__ = ["LOCK_NAME", "RepositoryLock"]

LOCK_NAME = ".manifestry.lock"


class RepositoryLock:
    """The lock of the repository in a directory; held from `acquire` to `release`.

    Parameters
    ----------
    directory
        The repository, or None for one that needs no lock.
    timeout
        Seconds to wait for the other writer.
    """

    def __init__(self, directory: Path | None, timeout: float) -> None:
        self._directory = directory
        self._timeout = timeout
        self._descriptor = -1

    @property
    def held(self) -> bool:
        """Whether there is a lock, and this process has it."""
        return self._descriptor >= 0

    def acquire(self) -> None:
        """Take the lock, waiting for its holder.

        Raises
        ------
        WriteError
            The holder did not finish in time, or the lock file cannot be made.
        """
        if self._directory is None or self._descriptor >= 0:
            return
        place = self._directory / LOCK_NAME
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise WriteError(f"{place}: the lock of the repository cannot be taken: {error.strerror}") from error
        deadline = time.monotonic() + self._timeout
        while not _try(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise WriteError(
                    f"{self._directory}: another process has been writing for {self._timeout:g} s (lock_timeout)"
                )
            time.sleep(0.01)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock. May be called at any time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
