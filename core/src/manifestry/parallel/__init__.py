"""Tasks on workers: results in order, few at a time, and given out again when a worker is lost.

===========  ================================================
`workers`    what a place where tasks run can do
`processes`  spawned processes of this machine
`executors`  any executor of `concurrent.futures`
`cluster`    the workers of a Dask scheduler
`choosing`   which of these an argument means
`tasks`      `run_tasks`: the results of many tasks, in order
===========  ================================================
"""

from manifestry.parallel.choosing import ExecutorLike, choose_workers, must_travel
from manifestry.parallel.tasks import ATTEMPTS, Lost, run_tasks
from manifestry.parallel.workers import WorkerDied, Workers

__all__ = ["ATTEMPTS", "ExecutorLike", "Lost", "WorkerDied", "Workers", "choose_workers", "must_travel", "run_tasks"]
