"""Slabs, resume and append with Icechunk; executors whose workers die."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from manifestry.conversion import pipeline
from manifestry.parallel import run_tasks


def hourly(path: Path, first: int, count: int = 2, **attributes) -> Path:
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("time", None)
        file.createDimension("x", 3)
        time = file.createVariable("time", "i4", ("time",))
        time.units = attributes.get("units", "hours since 2000-01-01")
        file.createVariable("x", "f4", ("x",))[:] = np.arange(3)
        values = file.createVariable("t", "i2", ("time", "x"))
        values.scale_factor = np.float32(0.1)
        values.set_auto_scale(False)
        values[:] = np.arange(3 * count).reshape(count, 3) + 10 * first
        time[:] = np.arange(first, first + count) - attributes.get("shift", 0)
    return path


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "in").mkdir()
    return [hourly(tmp_path / "in" / f"h{i:02}.nc", 2 * i) for i in range(7)]


def opened(target: Path) -> xr.Dataset:
    return xr.open_dataset(target, engine="manifestry", decode_cf=False).load()


def check(target: Path, files: int) -> None:
    found = opened(target)
    np.testing.assert_array_equal(found.time, np.arange(2 * files))
    truth = np.concatenate([np.arange(6).reshape(2, 3) + 20 * i for i in range(files)])
    np.testing.assert_array_equal(found.t, truth)
    np.testing.assert_array_equal(found.x, np.arange(3))


def commits(target: Path) -> int:
    import icechunk

    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
    return sum(1 for commit in repository.ancestry(branch="main") if "manifestry" in commit.metadata)


def test_slabs_are_commits(archive, tmp_path):
    target = tmp_path / "out.icechunk"
    report = mf.convert(archive, target, concat_dim="time", slab_files=3)
    assert commits(target) == 3
    check(target, 7)
    assert report.written.references == 7 * 2 + 1
    assert [source.status for source in report.sources] == ["written"] * 7


def test_append_takes_new_sources_only(archive, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(archive[:3], target, concat_dim="time")
    report = mf.convert(archive[:5], target, append_dim="time")
    assert [source.status for source in report.sources] == ["present"] * 3 + ["written"] * 2
    check(target, 5)
    report = mf.convert(archive[:5], target, append_dim="time")
    assert report.written is None
    assert report.count("present") == 5
    mf.convert(archive, target, append_dim="time", executor=2)
    check(target, 7)
    with pytest.raises(mf.SourceError, match="no Icechunk repository to change"):
        mf.convert(archive, tmp_path / "none.icechunk", append_dim="time")


def test_changed_sources_are_reported(archive, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(archive[:2], target, concat_dim="time")
    hourly(archive[0], 100, 3)
    archive[1].unlink()
    with pytest.raises(mf.SourceError):
        mf.convert([archive[1]], tmp_path / "x.icechunk", concat_dim="time")
    report = mf.convert([archive[0], archive[2]], target, append_dim="time")
    assert [source.status for source in report.sources] == ["changed", "written"]
    assert "since it was written: size was" in report.sources[0].error


def test_appended_sources_are_harmonised_with_the_output(archive, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(archive[:1], target, concat_dim="time")
    hourly(archive[1], 2, units="hours since 2000-01-01 02:00", shift=2)
    with pytest.raises(mf.IncompatibleArraysError, match="time: the attribute units"):
        mf.convert(archive[1:2], target, append_dim="time")
    mf.convert(archive[1:2], target, append_dim="time", combine=mf.CombineOptions(on_conflict="harmonise"))
    check(target, 2)


def test_append_with_relocated_sources(archive, tmp_path):
    target = tmp_path / "out.icechunk"
    moved = {f"file://{tmp_path}/in": "s3://bucket"}
    mf.convert(archive[:2], target, concat_dim="time", relocate=moved)
    report = mf.convert(archive[:3], target, append_dim="time", relocate=moved)
    assert [source.status for source in report.sources] == ["present", "present", "written"]


def test_a_run_that_stops_goes_on(archive, tmp_path, monkeypatch):
    target = tmp_path / "out.icechunk"
    write = pipeline.Output.write

    def third_fails(output, tree, progress):
        if target.exists() and commits(target) == 2:
            raise KeyboardInterrupt
        write(output, tree, progress)

    monkeypatch.setattr(pipeline.Output, "write", third_fails)
    with pytest.raises(KeyboardInterrupt):
        mf.convert(archive, target, concat_dim="time", slab_files=2, resume=True)
    monkeypatch.undo()
    check(target, 4)
    report = mf.convert(archive, target, concat_dim="time", slab_files=2, resume=True)
    assert [source.status for source in report.sources] == ["present"] * 4 + ["written"] * 3
    check(target, 7)


KILLED = """
import sys
import manifestry as mf
from manifestry.conversion import pipeline
write = pipeline.Output.write
def slow(output, tree, progress):
    write(output, tree, progress)
    print("committed", flush=True)
    sys.stdin.readline()
pipeline.Output.write = slow
mf.convert(sys.argv[2:], sys.argv[1], concat_dim="time", slab_files=2, resume=True)
"""


def test_a_killed_run_goes_on(archive, tmp_path):
    target = tmp_path / "out.icechunk"
    command = [sys.executable, "-c", KILLED, str(target), *map(str, archive)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"committed\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    check(target, 2)
    mf.convert(archive, target, concat_dim="time", slab_files=2, resume=True)
    check(target, 7)


WORKER = """
import os, pathlib, signal

def die_once(task):
    marker, value = task
    if value == 3 and not os.path.exists(marker):
        pathlib.Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value * 2
"""


def test_a_dead_process_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "light_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    from light_worker import die_once

    tasks = [(str(tmp_path / "marker"), i) for i in range(8)]
    assert list(run_tasks(die_once, tasks, 2)) == [2 * i for i in range(8)]
    assert (tmp_path / "marker").exists()
    with pytest.raises(mf.SourceError, match="workers failed 3 times: BrokenProcessPool"):
        list(run_tasks(os._exit, [1], 2))


def test_errors_of_ours_are_not_tried_again():
    tried = []

    def fail(task):
        tried.append(task)
        raise mf.MalformedFileError(f"{task} is broken")

    with ThreadPoolExecutor(2) as executor, pytest.raises(mf.MalformedFileError, match="1 is broken"):
        list(run_tasks(fail, [1], executor))
    assert tried == [1]


class Flaky(ThreadPoolExecutor):
    """Loses every third task."""

    count = 0

    def submit(self, function, /, *args, **kwargs):
        self.count += 1
        if self.count % 3 == 0:
            lost: Future = Future()
            lost.set_exception(BrokenProcessPool("a worker died"))
            return lost
        return super().submit(function, *args, **kwargs)


def test_any_executor_will_do(archive, tmp_path):
    target = tmp_path / "out.icechunk"
    with Flaky(3) as executor:
        mf.convert(archive, target, concat_dim="time", executor=executor)
    check(target, 7)


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_are_taken_as_results_are(workers):
    taken = []

    def tasks():
        for i in range(1000):
            taken.append(i)
            yield i

    results = run_tasks(abs, tasks(), ThreadPoolExecutor(2) if workers == 2 else 1)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) < 200
    results.close()


@pytest.mark.skipif(
    "MANIFESTRY_TEST_DASK" not in os.environ,
    reason="Dask now and then never answers for the task of a worker that was killed; set MANIFESTRY_TEST_DASK to run it",
)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_dask_with_a_killed_worker(archive, tmp_path):
    from distributed import Client, LocalCluster

    target = tmp_path / "out.icechunk"
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        marker = tmp_path / "marker"
        with client.get_executor() as executor:
            report = mf.convert(
                archive, target, concat_dim="time", executor=executor, slab_files=2, preprocess=Murderous(marker)
            )
        assert marker.exists()
        assert set(client.run(os.getpid).values()) != set(pids)
    assert report.count("written") == 7
    check(target, 7)


class Murderous:
    """A preprocess function that kills its worker, once."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker
        self.parent = os.getpid()

    def __call__(self, tree):
        if os.getpid() != self.parent and not self.marker.exists():
            self.marker.touch()
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        return tree
