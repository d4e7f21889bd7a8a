"""Tasks on workers that die, answer late or never, or are not there."""

import os
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from operator import truediv

import manifestry as mf
import pytest
from manifestry.parallel import Lost, choose_workers, cluster, run_tasks, tasks
from manifestry.parallel.executors import GivenExecutor
from manifestry.parallel.processes import Processes

WORKER = """
import os, pathlib, signal

def die_once(task):
    marker, value = task
    if value == 3 and not os.path.exists(marker):
        pathlib.Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value * 2
"""


@pytest.fixture
def die_once(tmp_path, monkeypatch):
    (tmp_path / "light_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "light_worker", raising=False)
    import light_worker

    return light_worker.die_once


def test_a_dead_process_is_replaced(die_once, tmp_path):
    given = [(str(tmp_path / "marker"), i) for i in range(8)]
    with Processes(2) as workers:
        assert list(run_tasks(die_once, given, workers)) == [2 * i for i in range(8)]
    assert (tmp_path / "marker").exists()


def test_an_executor_of_the_caller_that_breaks_is_replaced(die_once, tmp_path):
    given = [(str(tmp_path / "marker"), i) for i in range(8)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor, GivenExecutor(executor) as workers:
        assert list(run_tasks(die_once, given, workers)) == [2 * i for i in range(8)]
        with pytest.raises(BrokenProcessPool):
            executor.submit(abs, 1)


def test_an_executor_that_was_shut_down_is_told():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(mf.SourceError, match="the executor takes no tasks: cannot schedule new futures after shutdown"):
        list(run_tasks(abs, [1], GivenExecutor(executor)))


def test_a_task_that_kills_is_lost_and_costs_the_others_nothing():
    with Processes(1) as workers:
        found = list(run_tasks(os._exit, [1], workers))
        assert isinstance(found[0], Lost)
        assert found[0].reason.startswith("BrokenProcessPool: ")
        assert list(run_tasks(abs, [-1], workers)) == [1]


def test_errors_of_ours_are_not_tried_again():
    tried = []

    def fail(task):
        tried.append(task)
        raise mf.MalformedFileError(f"{task} is broken")

    with ThreadPoolExecutor(2) as executor, pytest.raises(mf.MalformedFileError, match="1 is broken"):
        list(run_tasks(fail, [1], GivenExecutor(executor)))
    assert tried == [1]


def test_other_errors_are_told_after_three_times():
    tried = []

    def fail(task):
        tried.append(task)
        return truediv(task, 0)

    with ThreadPoolExecutor(2) as executor, pytest.raises(mf.SourceError, match="failed 3 times: ZeroDivisionError"):
        list(run_tasks(fail, [1], GivenExecutor(executor)))
    assert tried == [1, 1, 1]


@pytest.mark.parametrize("workers", [None, 2])
def test_tasks_are_taken_as_results_are(workers):
    taken = []

    def given():
        for i in range(1000):
            taken.append(i)
            yield i

    results = run_tasks(abs, given(), workers and GivenExecutor(ThreadPoolExecutor(workers)))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) < 200


class Forgetful(ThreadPoolExecutor):
    """Never answers for the second task."""

    count = 0

    def submit(self, function, /, *args, **kwargs):
        self.count += 1
        return Future() if self.count == 2 else super().submit(function, *args, **kwargs)


def test_a_task_without_an_answer_is_given_to_another_worker(monkeypatch):
    monkeypatch.setattr(tasks, "_PULSE", 0.02)
    monkeypatch.setattr(GivenExecutor, "patience", 0.1)
    with Forgetful(2) as executor:
        assert list(run_tasks(abs, range(4), GivenExecutor(executor))) == [0, 1, 2, 3]
    assert executor.count == 5


def test_what_executors_are():
    assert choose_workers(None, 1000) is None
    assert choose_workers(1, 1000) is None
    assert choose_workers("auto", 10) is None
    with choose_workers(3, 1000) as workers:
        assert workers.count == 3
    with choose_workers(3, 2) as workers:
        assert workers.count == 2
    for given in ("many", 0, True, 1.5):
        with pytest.raises(
            mf.OptionError, match=r"executor=.* is not allowed; expected a concurrent\.futures\.Executor, a Dask client"
        ):
            choose_workers(given, 10)


@pytest.fixture
def empty_cluster():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


def test_a_cluster_without_workers_is_not_waited_for_without_end(empty_cluster, monkeypatch):
    monkeypatch.setattr(tasks, "_PULSE", 0.02)
    monkeypatch.setattr(cluster, "_WITHOUT_WORKERS", 0.1)
    with pytest.raises(mf.SourceError, match=r"has had no worker for 0 s.*--resume"):
        list(run_tasks(abs, [1], choose_workers(empty_cluster, 1)))


def test_a_client_that_is_closed_is_told(empty_cluster, monkeypatch):
    monkeypatch.setattr(tasks, "_PULSE", 0.02)
    workers = choose_workers(empty_cluster, 1)
    results = run_tasks(abs, [1], workers)
    empty_cluster.close()
    found = next(results)
    assert isinstance(found, Lost)
