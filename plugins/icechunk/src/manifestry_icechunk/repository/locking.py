"""One writer at a time in a local repository.

Icechunk on a local file system has no atomic update of a branch: of several processes that commit at the same time
some lose their commits and still report success. The lock is the operating system's, so that of a process that
dies is free again.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout
from manifestry.plugin import WriteError

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
        self._lock: FileLock | None = None

    @property
    def held(self) -> bool:
        """Whether there is a lock, and this process has it."""
        return self._lock is not None

    def acquire(self) -> None:
        """Take the lock, waiting for its holder.

        Raises
        ------
        WriteError
            The holder did not finish in time, or the lock file cannot be made.
        """
        directory = self._directory
        if directory is None or self._lock is not None:
            return
        place = directory / LOCK_NAME
        if not directory.is_dir():  # which the library would make
            raise WriteError(f"{place}: the lock of the repository cannot be taken: there is no such directory")
        # Sessions may end in another thread than they began in. A soft lock would outlive a process that dies.
        lock = FileLock(
            place,
            self._timeout,
            thread_local=False,
            poll_interval=0.01,
            fallback_to_soft=False,
            preserve_lock_file=True,
        )
        try:
            lock.acquire()
        except Timeout as error:
            raise WriteError(
                f"{directory}: another process has been writing for {self._timeout:g} s (lock_timeout)"
            ) from error
        except OSError as error:
            raise WriteError(f"{place}: the lock of the repository cannot be taken: {error.strerror}") from error
        except RuntimeError as error:  # waiting endlessly for a lock that only this thread can release
            raise WriteError(f"{directory}: this thread is writing there already, in another session") from error
        self._lock = lock

    def release(self) -> None:
        """Release the lock. May be called at any time."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
