"""Which workers an argument means."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final, Literal

from manifestry.errors import OptionError
from manifestry.parallel.executors import GivenExecutor, core_count
from manifestry.parallel.processes import Processes
from manifestry.parallel.workers import Workers

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ExecutorLike", "choose_workers", "must_travel"]

type ExecutorLike = Executor | Client | int | Literal["auto"] | None
"""An executor, a Dask client, a number of processes, ``"auto"`` (processes by cores, for many tasks), or None: this
process."""

_SOURCES_PER_PROCESS: Final = 32


def choose_workers(executor: ExecutorLike, tasks: int) -> Workers | None:
    """The workers that are meant; None is this process.

    Parameters
    ----------
    tasks
        How many sources there are: few are not worth a process.

    Raises
    ------
    OptionError
        It is none of these.
    """
    match executor:
        case None:
            return None
        case "auto":
            return _processes(min(core_count(), tasks // _SOURCES_PER_PROCESS))
        case int() if executor >= 1 and not isinstance(executor, bool):
            return _processes(min(executor, tasks))
        case Executor():
            return GivenExecutor(executor)
        case _ if "distributed" in sys.modules and isinstance(executor, sys.modules["distributed"].Client):
            from manifestry.parallel.cluster import DaskCluster  # noqa: PLC0415 only for those who have a cluster

            return DaskCluster(executor)
    raise OptionError(
        f"executor={executor!r} is not allowed; expected a concurrent.futures.Executor, a Dask client, a number of processes or 'auto'"
    )


def _processes(count: int) -> Processes | None:
    return Processes(count) if count > 1 else None


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
