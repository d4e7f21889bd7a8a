"""What a place where tasks run can do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any, Protocol, Self

__all__ = ["WorkerDied", "Workers"]


class WorkerDied(BrokenExecutor):
    """The worker of a task was lost; what is wrong with the task, if anything, is not known."""


class Workers(Protocol):
    """A place where tasks run; a context that ends what it has started.

    Attributes
    ----------
    count
        How many tasks run at once, None where that is not known.
    window
        How many tasks are given out at once.
    patience
        Seconds without any answer after which the task that is waited for is given out again, in case it was lost;
        None where a lost task is always reported.
    separate
        Whether tasks run in other processes, so that all they need has to travel.
    """

    count: int | None = None
    window: int
    patience: float | None = None
    separate: bool = True

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Have a function called on a worker."""
        ...

    def check(self) -> None:
        """Look whether an answer can still come.

        Raises
        ------
        SourceError
            None can.
        """
        return

    def close(self) -> None:
        """End what was started."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
