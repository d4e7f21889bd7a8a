"""What a stranger's file or store may not do: look at files of ours, steer the terminal, leave processes behind."""

import json
import signal
import subprocess
import sys

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
from manifestry.cli.application import run as run_command
from manifestry.testing.servers import range_server

from tests.support.processes import wait_for_end

NAME = "a\x1b[2J\x9b1m\u202eb"


@pytest.fixture
def steering(tmp_path):
    """A file whose names and attributes hold what steers terminals."""
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file[NAME] = np.arange(3)
        file[NAME].attrs[NAME] = NAME
        file[f"g{NAME}/x"] = h5py.SoftLink(f"/{NAME}gone")
    return tmp_path / "f.h5"


def printable(text):
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "-v"], ["inspect", "--on-unsupported", "raise"]])
def test_nothing_of_a_file_steers_the_terminal(steering, arguments):
    command = [sys.executable, "-c", "from manifestry.cli import main; main()", *arguments, str(steering)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert printable(done.stdout + done.stderr)
    assert "\\x1b[2J" in done.stdout + done.stderr


def test_names_are_escaped_wherever_they_are_shown(steering, tmp_path):
    tree = mf.parse(steering, on_unsupported="skip")
    assert repr(tree).isprintable()
    assert all(printable(repr(array) + str(array)) for _, array in tree.walk_arrays())
    assert all(printable(str(issue)) for issue in tree.issues)
    assert printable(str(mf.UnsupportedFeatureError(NAME, NAME, NAME)))
    error = mf.MalformedFileError("cut short")
    error.source = f"file:///{NAME}"
    assert printable(str(error))
    command = [sys.executable, "-c", "from manifestry.cli import main; main()", "inspect", str(steering)]
    subprocess.run([*command, "--html", str(tmp_path / "p.html")], check=True, capture_output=True, timeout=120)
    assert printable((tmp_path / "p.html").read_text())


def test_limits_are_flags_and_the_advice_of_a_refusal_names_them(tmp_path):
    array = {"zarr_format": 2, "shape": [10**7], "chunks": [1], "dtype": "|u1", "compressor": None, "filters": None}
    refs = {
        ".zgroup": '{"zarr_format": 2}',
        "a/.zarray": json.dumps(array | {"order": "C", "fill_value": 0}),
        "a/0": "x",
    }
    (tmp_path / "k.json").write_text(json.dumps({"version": 1, "refs": refs}))
    command = [sys.executable, "-c", "from manifestry.cli import main; main()", "inspect", str(tmp_path / "k.json")]

    def run(*more):
        return subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=120)

    assert "--limit max_empty_chunks=N" in run().stdout
    allowed = run("--limit", "max_empty_chunks=20000000")
    assert allowed.returncode == 0
    assert "--limit" not in allowed.stdout
    for wrong in ("max_nothing=1", "max_empty_chunks=many", "max_empty_chunks"):
        assert run("--limit", wrong).returncode == 2


@pytest.fixture
def stranger(tmp_path):
    """A folder on a server with a store, and what changes the sources that the store names."""
    with netCDF4.Dataset(tmp_path / "f.nc", "w") as file:
        file.createDimension("x", 600)
        file.createVariable("v", "i4", ("x",), zlib=True, chunksizes=(300,))[:] = range(600)
    with range_server({"/f.nc": (tmp_path / "f.nc").read_bytes()}) as server:
        mf.convert(f"{server.url}/f.nc", tmp_path / "o.json")

        def name(url):
            document = json.loads((tmp_path / "o.json").read_text())
            around = json.dumps({key: value for key, value in document.items() if key != "refs"})
            assert f"{server.url}/f.nc" in around
            forged = json.dumps(document | json.loads(around.replace(f"{server.url}/f.nc", url)))
            server.objects["/forged.json"] = forged.encode()
            (tmp_path / "forged.json").write_text(forged)
            return f"{server.url}/forged.json"

        yield server.url, name


def test_verify_asks_only_for_what_a_store_may_name(stranger, tmp_path):
    server, name = stranger
    (tmp_path / "diary.txt").write_text("x" * 87654)
    assert mf.verify(name(f"{server}/f.nc")).ok
    for url in (f"file://{tmp_path}/diary.txt", "http://127.0.0.1:9/x", "http://169.254.169.254/", "s3://other/x"):
        with pytest.raises(mf.SourceError, match="not allowed") as caught:
            mf.verify(name(url))
        assert "87654" not in str(caught.value)


def test_verify_of_a_local_store_asks_no_private_host_unasked(stranger, tmp_path):
    server, name = stranger
    name(f"{server}/other.nc")
    local = tmp_path / "forged.json"
    with pytest.raises(mf.SourceError, match="not allowed"):
        mf.verify(local)
    assert not mf.verify(local, allow=[server]).ok  # asked for, and gone


@pytest.mark.parametrize("options", [{}, {"allow": ["/"]}, {"allow": ["/"], "untrusted": False}])
def test_a_store_does_not_say_itself_what_it_may_name(tmp_path, options):
    """Options in the provenance of a stranger's store are what the stranger wrote."""
    (tmp_path / "secret.bin").write_bytes(bytes(range(16)))
    array = {"zarr_format": 2, "shape": [16], "chunks": [16], "dtype": "|u1", "compressor": None, "filters": None}
    metadata = {".zgroup": '{"zarr_format": 2}', "v/.zarray": json.dumps(array | {"order": "C", "fill_value": 0})}
    inner = {"version": 1, "refs": metadata | {"v/0": [f"file://{tmp_path}/secret.bin", 0, 16]}}
    with range_server({"/inner.json": json.dumps(inner).encode()}) as server:
        source = {"url": f"{server.url}/inner.json", "size": len(json.dumps(inner))}
        part = {"parser": "kerchunk-json", "version": "1", "options": options, "sources": [source]}
        outer = {"version": 1, "refs": metadata | {"v/0": [f"{server.url}/data", 0, 16]}}
        outer["manifestry"] = {"manifestry": {"schema_version": 1, "parsed": [part]}}
        server.objects |= {"/outer.json": json.dumps(outer).encode(), "/data": bytes(range(16))}
        [check] = mf.verify(f"{server.url}/outer.json").arrays
        assert (check.compared, check.failed) == (0, True)
        assert "secret.bin, which is not allowed" in check.message
        [check] = mf.verify(f"{server.url}/outer.json", allow=[server.url, str(tmp_path)]).arrays
        assert not check.failed


@pytest.mark.parametrize("command", ["inspect", "identify", "verify", "convert"])
def test_every_command_takes_what_to_allow(stranger, tmp_path, command, capsys):
    server, name = stranger
    name(f"{server}/f.nc")
    local = tmp_path / "forged.json"
    arguments = [command, str(local), *([str(tmp_path / "again.json"), "--overwrite"] if command == "convert" else [])]

    def run(*more):
        return run_command([*arguments, *more]), capsys.readouterr().err

    opens = command != "identify"
    code, message = run()
    assert code == (5 if opens else 0), message
    assert ("is not allowed, for its host is not public" in message) is opens
    assert run("--allow", server)[0] == 0
    assert run("--allow", f"{server}/other/")[0] == (5 if opens else 0)
    assert run("--untrusted")[0] == (5 if opens else 0)
    assert run("--allow", "nothing://x")[0] == 5


def test_sources_that_the_caller_names_are_verified_wherever_they_are(stranger, tmp_path):
    server, _ = stranger
    for target in ("again.json", "again.parq", "again.icechunk"):
        assert mf.convert(f"{server}/f.nc", tmp_path / target, verify="all").verified.ok


def test_workers_end_with_the_process_that_started_them():
    program = (
        "from manifestry.parallel.processes import Processes\n"
        "import os, time\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(2)\n"
        "    print(*{pool.submit(os.getpid).result() for _ in range(8)}, flush=True)\n"
        "    [pool.submit(time.sleep, 300) for _ in range(2)]\n"
        "    time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        workers = [int(number) for number in started.stdout.readline().split()]
        assert workers
        started.send_signal(signal.SIGKILL)
    wait_for_end(workers, 60, "workers outlive their parent")
