"""The workers of a Dask scheduler.

A task goes through `Client.submit` and not through `Client.get_executor()`: the futures of that executor are never
resolved when fetching a result fails, and equal tasks have equal keys, so that a task that failed is not run again.
And whether there are workers at all is watched, because Dask waits for them without end: a cluster gives up the nanny
of a worker that is not back within ``distributed.deploy.lost-worker-timeout`` (15 s), and may so lose all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from manifestry.errors import SourceError
from manifestry.formats.plugin_errors import PluginBoundary
from manifestry.parallel.workers import WorkerDied, Workers

if TYPE_CHECKING:
    from distributed import Client, Future as RemoteFuture

__all__ = ["DaskCluster"]

_WITHOUT_WORKERS: Final = 300.0
"""Seconds that a cluster may be without a worker: one that adapts starts them when there are tasks."""


class DaskCluster(Workers):
    """The workers that a Dask client has.

    Parameters
    ----------
    client
        The client; the caller closes it.
    """

    window = 128
    patience = 300.0

    def __init__(self, client: Client) -> None:
        self._client = client
        self.count = sum(self._threads().values()) or None
        self.window = max(self.window, 3 * (self.count or 0))
        self._last_seen = monotonic()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Have a function called by a worker of the cluster."""
        local: Future[Any] = Future()
        with PluginBoundary() as boundary:
            remote = self._client.submit(function, *arguments, pure=False)
            remote.add_done_callback(partial(_hand_over, local))  # type: ignore[no-untyped-call]
            local.add_done_callback(partial(_let_go, remote))
        if boundary.failed:
            local.set_exception(WorkerDied(boundary.reason))
        return local

    def check(self) -> None:
        """Look whether there are workers."""
        if self._threads():
            self._last_seen = monotonic()
            return
        if self._client.status not in ("running", "connecting"):
            raise SourceError("the connection to the Dask scheduler is closed")
        if monotonic() - self._last_seen > _WITHOUT_WORKERS:
            raise SourceError(
                f"the Dask cluster has had no worker for {_WITHOUT_WORKERS:.0f} s; look at its logs, start workers, and "
                "go on from the last commit with resume (--resume)"
            )

    def _threads(self) -> dict[str, int]:
        """The workers and their threads; none when the scheduler does not answer."""
        with PluginBoundary():
            return dict(self._client.nthreads())  # type: ignore[no-untyped-call]
        return {}


def _hand_over(local: Future[Any], remote: RemoteFuture[Any]) -> None:
    """Pass on what became of a task; runs in a thread of the client."""
    from distributed import KilledWorker  # noqa: PLC0415 only for those who have a cluster

    if not local.set_running_or_notify_cancel():
        return
    with PluginBoundary() as boundary:
        error = remote.exception()  # type: ignore[no-untyped-call]
        if error is None:
            local.set_result(remote.result())
        else:
            local.set_exception(WorkerDied(str(error)) if isinstance(error, KilledWorker) else error)
    if boundary.failed:  # the result could not be fetched, or the task was cancelled with its scheduler
        local.set_exception(WorkerDied(boundary.reason))


def _let_go(remote: RemoteFuture[Any], local: Future[Any]) -> None:
    """Nobody waits any more: a task that is not begun need not be."""
    if local.cancelled():
        with PluginBoundary():
            remote.cancel()  # type: ignore[no-untyped-call]
