"""Any executor of `concurrent.futures`."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from logging import getLogger
from typing import Any, Final

from manifestry.errors import SourceError
from manifestry.parallel.processes import Processes
from manifestry.parallel.workers import Workers

__all__ = ["GivenExecutor", "core_count"]

_WINDOW: Final = 128
_PATIENCE: Final = 300.0

_log = getLogger(__name__)


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class GivenExecutor(Workers):
    """An executor of the caller's, which the caller ends.

    One of processes that breaks cannot be mended by anyone; then the rest is done by processes of our own.

    Parameters
    ----------
    executor
        The executor.
    """

    window = _WINDOW
    patience = _PATIENCE

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._own: Processes | None = None
        self.separate = not isinstance(executor, ThreadPoolExecutor)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """As the executor does."""
        if self._own is not None:
            return self._own.submit(function, *arguments)
        try:
            return self._executor.submit(function, *arguments)
        except RuntimeError as error:
            if not (isinstance(error, BrokenExecutor) and isinstance(self._executor, ProcessPoolExecutor)):
                raise SourceError(f"the executor takes no tasks: {error}") from error
            _log.warning("the executor is broken (%s); going on with processes of our own", error)
            self._own = Processes(core_count())
            return self._own.submit(function, *arguments)

    def close(self) -> None:
        """End processes of our own, if there are any."""
        if self._own is not None:
            self._own.close()
