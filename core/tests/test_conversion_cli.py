"""Many files from the command line: lists, processes, a cluster, append, a run that is killed and resumed."""

import json
import signal
import subprocess
import sys

import netCDF4
import pytest
from manifestry.cli.application import run


@pytest.fixture
def cli(capsys):
    """Run `manifestry convert ... --json`: exit code, report, standard error."""

    def call(*arguments):
        code = run(["convert", *map(str, arguments), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out), captured.err

    return call


def statuses(document) -> list[str]:
    return [source["status"] for source in document["report"]["sources"]]


def test_a_list_by_processes_and_verified(cli, hourly_archive, check_hourly, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in hourly_archive))
    target = tmp_path / "out.icechunk"
    code, found, _ = cli(f"@{tmp_path}/list.txt", target, "--concat-dim", "time", "-j", 2, "--verify", 2)
    assert (code, statuses(found), found["report"]["verified"]["ok"]) == (0, ["written"] * 7, True)
    check_hourly(target, 7)


def test_append_is_one_command_given_again(cli, hourly_archive, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    command = [f"{tmp_path}/in/*.nc", target, "--concat-dim", "time"]
    kept = [path.rename(path.with_suffix(".later")) for path in hourly_archive[4:]]
    assert cli(*command)[0] == 0
    for path in kept:
        path.rename(path.with_suffix(".nc"))
    code, found, _ = cli(*command, "--append")
    assert (code, statuses(found)) == (0, ["present"] * 4 + ["written"] * 3)
    check_hourly(target, 7)
    hourly_archive[0].touch()
    code, found, _ = cli(*command, "--append")
    assert (code, statuses(found)) == (1, ["changed"] + ["present"] * 6)
    assert "last_modified was" in found["report"]["sources"][0]["error"]


KILLED = """
import sys
from manifestry.cli.application import main
from manifestry.conversion import output

write = output.Output.write

def slow(output, tree, progress):
    write(output, tree, progress)
    print("committed", flush=True)
    sys.stdin.readline()

output.Output.write = slow
main()
"""


def test_a_killed_run_is_resumed_by_the_same_command(cli, hourly_archive, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    command = [f"{tmp_path}/in/", str(target), "--concat-dim", "time", "--slab-files", "2", "--resume"]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, "convert", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"committed\n"
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"committed\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    check_hourly(target, 4)
    code, found, _ = cli(*command)
    assert (code, statuses(found)) == (0, ["present"] * 4 + ["written"] * 3)
    check_hourly(target, 7)


def test_dask(cli, hourly_archive, check_hourly, tmp_path):
    from distributed import LocalCluster

    target = tmp_path / "out.icechunk"
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        code, found, _ = cli(f"{tmp_path}/in/*.nc", target, "--concat-dim", "time", "--dask", cluster.scheduler_address)
    assert (code, statuses(found)) == (0, ["written"] * 7)
    check_hourly(target, 7)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("when:%Y-%m-%d=attribute:day", [946684800, 946771200]),
        ("when=attribute:band@level", [850, 500]),
        (r"when=regex:scene_([a-z])", ["a", "b"]),
    ],
)
def test_coordinates_from_attributes_and_names(cli, tmp_path, rule, values):
    for day, (letter, level) in enumerate([("a", 850), ("b", 500)]):
        with netCDF4.Dataset(tmp_path / f"scene_{letter}.nc", "w") as file:
            file.day = f"2000-01-0{day + 1}"
            file.createDimension("x", 3)
            band = file.createVariable("band", "u2", ("x",))
            band.setncattr("level", level)
            band[:] = day
    target = tmp_path / "out.icechunk"
    assert cli(f"{tmp_path}/scene_?.nc", target, "--concat-dim", "when", "--coord", rule)[0] == 0
    import xarray as xr

    with xr.open_dataset(target, engine="manifestry", decode_times=False) as found:
        assert found.when.values.tolist() == values
        assert found.band.dims == ("when", "x")
        assert found.band.values.tolist() == [[0] * 3, [1] * 3]


def test_existing_targets_are_told_before_sources_are_parsed(cli, hourly_archive, tmp_path):
    target = tmp_path / "out.json"
    assert cli(hourly_archive[0], target)[0] == 0
    for path in hourly_archive[2:]:
        path.write_bytes(b"CDF\x02 nonsense")
    code, found, _ = cli(*hourly_archive, target, "--concat-dim", "time", "-j", 1)
    assert (code, found["error"]["type"]) == (5, "TargetExistsError")


def test_an_interrupt_is_one_line_whatever_workers_were_doing(hourly_archive, tmp_path):
    command = ["convert", *map(str, hourly_archive), f"{tmp_path}/out.icechunk", "--concat-dim", "time", "-j", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *command], start_new_session=True, stderr=subprocess.PIPE
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().strip() == "manifestry: interrupted"


INTERRUPTED = """
import os, signal
from manifestry.cli.application import main
from manifestry.conversion import pipeline

def interrupt(run, workers, sources):
    send(run, workers, sources)  # workers are being started: they import what they need
    os.killpg(0, signal.SIGINT)

send, pipeline.Run._send = pipeline.Run._send, interrupt
main()
"""
