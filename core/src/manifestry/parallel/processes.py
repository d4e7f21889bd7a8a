"""Spawned processes of this machine.

Never forked ones: the threads of storage libraries do not survive a fork.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Event, Thread
from typing import Any, Final

from manifestry.formats.isolation import limit_memory
from manifestry.parallel.workers import Workers

__all__ = ["Processes", "is_worker"]

_WORKER: Final = Event()


class Processes(Workers):
    """A pool of spawned processes that is replaced when one of them dies.

    Parameters
    ----------
    count
        How many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.window = 2 * count + 1
        self._pool = self._new_pool(count)

    @staticmethod
    def _new_pool(count: int | None) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(count, get_context("spawn"), _begin)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """As an executor; after a death, in new processes."""
        with _holding_back_interrupts():
            try:
                return self._pool.submit(function, *arguments)
            except RuntimeError:  # BrokenProcessPool, on the way out of a death that other futures report
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = self._new_pool(self.count)
                return self._pool.submit(function, *arguments)

    def warm_up(self, function: Callable[..., Any], /, *arguments: Any) -> None:
        """Start all processes now, while this one has other things to do."""
        for _ in range(self.count or 1):
            self.submit(function, *arguments)

    def close(self) -> None:
        """End the processes; tasks that are not begun are dropped."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def _holding_back_interrupts() -> Iterator[None]:
    """Inside, processes that are started receive no Ctrl-C before they are ready for it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Ctrl-C goes to every process of a terminal: this one ends silently, the one that started it reports.

    And it ends when that one is gone, which may not have had the time to say so (``kill -9``, no memory left). A source
    that makes it take too much memory is refused, as long as that is seen.
    """
    Thread(target=_end_with_parent, daemon=True).start()
    limit_memory()
    _WORKER.set()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def is_worker() -> bool:
    """Whether this process is one of a pool of ours, which is replaced when it ends."""
    return _WORKER.is_set()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # whatever this process is doing, nobody waits for it
