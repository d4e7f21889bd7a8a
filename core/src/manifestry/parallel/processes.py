"""Spawned processes of this machine.

Never forked ones: the threads of storage libraries do not survive a fork.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from manifestry.parallel.workers import Workers

__all__ = ["Processes"]


class Processes(Workers):
    """A pool of spawned processes that is made anew when one of them dies.

    Parameters
    ----------
    count
        How many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.window = 2 * count + 1
        self._pool = self._made(count)

    @staticmethod
    def _made(count: int | None) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(count, mp_context=get_context("spawn"))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """As an executor; after a death, in new processes."""
        try:
            return self._pool.submit(function, *arguments)
        except RuntimeError:  # BrokenProcessPool, on the way out of a death that other futures report
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._made(self.count)
            return self._pool.submit(function, *arguments)

    def warm_up(self, function: Callable[..., Any], /, *arguments: Any) -> None:
        """Start all processes now, while this one has other things to do."""
        for _ in range(self.count or 1):
            self.submit(function, *arguments)

    def close(self) -> None:
        """End the processes; tasks that are not begun are dropped."""
        self._pool.shutdown(cancel_futures=True)
