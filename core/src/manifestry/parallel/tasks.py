"""The results of many tasks, in the order of the tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from itertools import islice
from logging import getLogger
from time import monotonic
from typing import Any, Final

from manifestry.errors import ManifestryError, SourceError
from manifestry.formats.plugin_errors import describe_error
from manifestry.parallel.workers import Workers

__all__ = ["ATTEMPTS", "Lost", "run_tasks"]

ATTEMPTS: Final = 3
"""How often a task is given to a worker."""

_PULSE: Final = 5.0
"""Seconds between two looks at workers that do not answer."""

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lost:
    """What comes instead of a result when the workers of a task died `ATTEMPTS` times.

    Attributes
    ----------
    reason
        What the last of them left behind.
    """

    reason: str


def run_tasks[T, R](function: Callable[[T], R], tasks: Iterable[T], workers: Workers | None) -> Iterator[R | Lost]:
    """The results of a function for many tasks, in the order of the tasks.

    The first tasks are given out at once, the others as results are taken, so that neither many tasks nor many results
    wait in memory.

    Parameters
    ----------
    workers
        Where the function is called; None: here.

    Raises
    ------
    ManifestryError
        What the function raised.
    SourceError
        It failed in another way `ATTEMPTS` times, or no worker is left.
    """
    if workers is None:
        return map(function, tasks)
    assigned = (_AssignedTask(function, task, workers) for task in tasks)
    return _results(deque(islice(assigned, workers.window)), assigned, workers)


def _results[T, R](
    waiting: deque[_AssignedTask[T, R]], assigned: Iterator[_AssignedTask[T, R]], workers: Workers
) -> Iterator[R | Lost]:
    try:
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(islice(assigned, workers.window - len(waiting)))
    finally:
        for task in waiting:
            task.cancel()


class _AssignedTask[T, R]:
    """A task that workers have."""

    def __init__(self, function: Callable[[T], R], task: T, workers: Workers) -> None:
        self._function = function
        self._task = task
        self._workers = workers
        self._attempts = 0
        self._futures: set[Future[R]] = set()
        self._give()

    def _give(self) -> None:
        self._attempts += 1
        self._futures.add(self._workers.submit(_call, self._function, self._task, self._attempts))

    def cancel(self) -> None:
        """Nobody wants the result any more."""
        for future in self._futures:
            future.cancel()

    def result(self) -> R | Lost:
        """The result; the task is given out again when its worker is lost."""
        asked = monotonic()
        while True:
            done, _ = wait(self._futures, _PULSE, FIRST_COMPLETED)
            for future in done:
                error = _error_of(future)
                if error is None:
                    self.cancel()
                    return future.result()
                if isinstance(error, ManifestryError):
                    raise error
                self._futures.discard(future)
                if not self._futures:
                    if self._attempts >= ATTEMPTS:
                        return _give_up(error)
                    self._give()
            if not done:
                self._workers.check()
                patience = self._workers.patience
                if patience is not None and self._attempts < ATTEMPTS and monotonic() - asked > patience:
                    _log.warning("no answer from a worker for %.0f s: its task is given to another one", patience)
                    self._give()
                    asked = monotonic()


def _call[T, R](function: Callable[[T], R], task: T, attempt: int) -> R:  # noqa: ARG001 Dask runs equal calls only once
    return function(task)


def _error_of(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error


def _give_up(error: BaseException) -> Lost:
    reason = describe_error(error)
    if isinstance(error, BrokenExecutor | CancelledError):
        return Lost(reason)
    raise SourceError(f"workers failed {ATTEMPTS} times: {reason}") from error
