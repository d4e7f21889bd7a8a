"""Whether processes run that tests know by their numbers."""

import os
import time
from collections.abc import Iterable

__all__ = ["has_ended", "wait_for_end"]


def has_ended(process: int) -> bool:
    """Whether a process has ended, also where nobody has asked how yet."""
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def wait_for_end(processes: Iterable[int], seconds: float, otherwise: str) -> None:
    """Wait until processes have ended; after so many seconds that is an error."""
    end = time.monotonic() + seconds
    while not all(map(has_ended, processes)):
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)
