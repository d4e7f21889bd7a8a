"""What killed writers leave beside their targets: recognised by a lock that nobody holds any more, and removed.

A writer holds a lock on what it stages for as long as it lives; the system releases it however the process ends.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

__all__ = ["Claim", "remove_leftovers", "staging_path"]

_MIN_AGE: Final = 60.0
"""Seconds for which nothing is removed: what has just been made may not be locked yet."""


def staging_path(path: Path, ending: str) -> Path:
    """A new hidden name beside a target, for what will become it."""
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.{ending}")


class Claim:
    """A lock on a file or directory that is being staged; where there are no locks, none is needed to go on.

    No lock of the library filelock: those are files of their own beside what they guard, which would be left over
    themselves. This one lies on what is staged, directories too, and goes with it. Windows locks no directory, and
    a lock on a file there would keep its own writer from writing: nothing is removed there.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        if sys.platform != "win32":
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Release the lock. May be called more than once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def remove_leftovers(path: Path, ending: str) -> None:
    """Remove what writers of the same target have staged that no longer run.

    Parameters
    ----------
    ending
        As in `staging_path`.
    """
    for left in _siblings(path, ending):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _MIN_AGE and _is_abandoned(left):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _siblings(path: Path, ending: str) -> Iterator[Path]:
    start, end = f".{path.name[:200]}.", f".{ending}"
    with contextlib.suppress(OSError):
        for other in path.parent.iterdir():
            name = other.name
            if name.startswith(start) and name.endswith(end) and len(name) == len(start) + 12 + len(end):
                yield other


def _is_abandoned(path: Path) -> bool:
    """Whether nobody holds the lock of something that is no link."""
    if sys.platform == "win32" or path.is_symlink():
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
