"""`convert` on workers of several kinds, some of which are killed: the result is that of one process."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import manifestry as mf
import pytest
from manifestry.conversion import pipeline


@pytest.fixture
def serial(hourly_archive, tmp_path):
    """The references that one process makes."""
    mf.convert(hourly_archive, tmp_path / "serial.json", concat_dim="time")
    return json.loads((tmp_path / "serial.json").read_bytes())["refs"]


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


def test_any_executor_will_do(hourly_archive, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    with Flaky(3) as executor:
        mf.convert(hourly_archive, target, concat_dim="time", executor=executor)
    check_hourly(target, 7)


def test_a_killed_process_costs_nothing(hourly_archive, serial, killer, tmp_path):
    preprocess = killer("h04", tmp_path / "marker")
    mf.convert(hourly_archive, tmp_path / "out.json", concat_dim="time", executor=2, preprocess=preprocess)
    assert (tmp_path / "marker").exists()
    assert json.loads((tmp_path / "out.json").read_bytes())["refs"] == serial


class Deadly(ThreadPoolExecutor):
    """Its workers die of two sources, one of them the first."""

    def submit(self, function, /, *args, **kwargs):
        if "h00.nc" not in str(args) and "h04.nc" not in str(args):
            return super().submit(function, *args, **kwargs)
        lost: Future = Future()
        lost.set_exception(BrokenProcessPool("a worker died"))
        return lost


def test_a_source_that_kills_is_named_or_left_out(hourly_archive, check_hourly, tmp_path, monkeypatch):
    target = tmp_path / "out.icechunk"
    monkeypatch.setattr(pipeline, "_TASKS_PER_WORKER", 1)
    monkeypatch.setattr(pipeline, "_ASSUMED_WORKERS", 2)  # batches of three sources
    with Deadly(2) as executor:
        with pytest.raises(mf.SourceError, match=r"h00\.nc: 3 workers died while they read it: BrokenProcessPool: a w"):
            mf.convert(hourly_archive, target, concat_dim="time", executor=executor)
        assert not target.exists()
        report = mf.convert(hourly_archive, target, concat_dim="time", executor=executor, on_error="skip")
    assert [source.url[-6:] for source in report.failed] == ["h00.nc", "h04.nc"]
    check_hourly(target, [1, 2, 3, 5, 6])


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_dask_with_a_killed_worker(hourly_archive, check_hourly, serial, killer, tmp_path):
    from distributed import Client, LocalCluster

    target = tmp_path / "out.icechunk"
    given = {"concat_dim": "time", "slab_files": 2, "preprocess": killer("h04", tmp_path / "marker")}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        report = mf.convert(hourly_archive, target, executor=client, **given)
        assert (tmp_path / "marker").exists()
        check_hourly(target, 7)
        assert report.count("written") == 7
        with client.get_executor() as executor:
            mf.convert(hourly_archive, tmp_path / "out.json", concat_dim="time", executor=executor)
    assert json.loads((tmp_path / "out.json").read_bytes())["refs"] == serial
