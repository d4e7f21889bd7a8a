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

_FEW: Final = 32


def choose_workers(given: ExecutorLike, tasks: int) -> Workers | None:
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
    match given:
        case None:
            return None
        case "auto":
            return _processes(min(core_count(), tasks // _FEW))
        case int() if given >= 1 and not isinstance(given, bool):
            return _processes(min(given, tasks))
        case Executor():
            return GivenExecutor(given)
        case _ if "distributed" in sys.modules and isinstance(given, sys.modules["distributed"].Client):
            from manifestry.parallel.cluster import DaskCluster  # noqa: PLC0415 only for those who have a cluster

            return DaskCluster(given)
    raise OptionError(
        f"executor is a concurrent.futures.Executor, a Dask client, a number of processes or 'auto', not {given!r}"
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
