"""Tasks on workers: processes of this machine, Dask, or any other executor; results in order, few at a time.

Processes are spawned, never forked: the threads of storage libraries do not survive a fork.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final, Literal, Self

from manifestry.errors import ManifestryError, OptionError, SourceError

__all__ = ["ATTEMPTS", "ExecutorLike", "choose_workers", "must_travel", "run_tasks"]

type ExecutorLike = Executor | int | Literal["auto"] | None
"""An executor, a number of processes, ``"auto"`` (processes by cores, for many tasks), or None: this process."""

ATTEMPTS: Final = 3
"""How often a task is given to a worker before its failure, which is no error of ours, counts."""

_WINDOW: Final = 128
_FEW: Final = 32


def choose_workers(given: ExecutorLike, tasks: int) -> Executor | int:
    """The executor, or the number of processes: 1 is this process.

    Parameters
    ----------
    tasks
        How many sources there are: few are not worth a process.

    Raises
    ------
    OptionError
        It is none of these.
    """
    match given:
        case None:
            return 1
        case "auto":
            return max(1, min(len(os.sched_getaffinity(0)), tasks // _FEW))
        case int() if given >= 1 and not isinstance(given, bool):
            return min(given, max(1, tasks))
        case Executor():
            return given
    raise OptionError(f"executor is a concurrent.futures.Executor, a number of processes or 'auto', not {given!r}")


def must_travel(what: str, value: Any, hint: str) -> None:
    """Make sure that something can be sent to workers.

    Raises
    ------
    OptionError
        It cannot be pickled.
    """
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        raise OptionError(f"{what} cannot be sent to workers: {error}; {hint}") from error


def run_tasks[T, R](function: Callable[[T], R], tasks: Iterable[T], workers: Executor | int) -> Iterator[R]:
    """The results of a function for many tasks, in the order of the tasks.

    Tasks are taken as results are, so that neither many tasks nor many results wait in memory.

    Raises
    ------
    ManifestryError
        What the function raised.
    SourceError
        Workers died on a task, or failed in another way, `ATTEMPTS` times.
    """
    if workers == 1:
        yield from map(function, tasks)
    elif isinstance(workers, int):
        with _Processes(workers) as pool:
            yield from _in_order(function, tasks, pool, 2 * workers + 1)
    else:
        yield from _in_order(function, tasks, workers, _WINDOW)


class _Processes:
    """A pool of spawned processes that is made anew when a process dies."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = self._make()

    def _make(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._count, mp_context=get_context("spawn"))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """As an executor."""
        try:
            return self._pool.submit(function, *arguments)
        except RuntimeError:  # BrokenProcessPool, on the way out of a death that other futures report
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._make()
            return self._pool.submit(function, *arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _in_order[T, R](
    function: Callable[[T], R], tasks: Iterable[T], pool: Executor | _Processes, window: int
) -> Iterator[R]:
    waiting: deque[tuple[T, Future[R]]] = deque()
    source = iter(tasks)
    try:
        while True:
            while len(waiting) < window:
                task = next(source, _END)
                if task is _END:
                    break
                waiting.append((task, pool.submit(function, task)))  # type: ignore[arg-type]
            if not waiting:
                return
            yield _result(function, *waiting.popleft(), pool)
    finally:
        for _, future in waiting:
            future.cancel()


_END: Final = object()


def _result[T, R](function: Callable[[T], R], task: T, future: Future[R], pool: Executor | _Processes) -> R:
    """The result of a task, which is given out again when a worker failed over it."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            error = future.exception()
        except CancelledError as cancelled:
            error = cancelled
        if error is None:
            return future.result()
        if isinstance(error, ManifestryError):
            raise error
        if attempt == ATTEMPTS:
            break
        future = pool.submit(function, task)
    reason = str(error).strip().splitlines() or [""]
    raise SourceError(f"workers failed {ATTEMPTS} times: {type(error).__name__}: {reason[0]}") from error
