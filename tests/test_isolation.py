"""Work in a process of its own: what happens there, and when it dies."""

import os
import signal
import subprocess
import sys

import manifestry as mf
import netCDF4
import numpy as np
import pytest
from manifestry.formats import isolation
from manifestry.formats.isolation import call_isolated
from obstore.store import MemoryStore

from tests.support.processes import has_ended, wait_for_end


def die(number):
    os.kill(os.getpid(), number)


def spin():
    while True:
        pass


def grow():
    return len(bytearray(64 << 30))


def fail(error):
    raise error


class OddError(Exception):
    """One that cannot be received."""

    def __init__(self, one, two):
        super().__init__(one)


def odd():
    raise OddError(1, 2)


def noisy():
    sys.stdout.write("no answer\n")
    os.system("echo no answer either")
    return os.getpid()


def test_the_process_is_another_one_and_stays():
    process = call_isolated("asking", os.getpid)
    assert process != os.getpid()
    assert call_isolated("asking", noisy) == process == call_isolated("asking", os.getpid)
    data = np.arange(3_000_000)
    assert np.array_equal(call_isolated("sorting", np.sort, data[::-1]), data)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGFPE, signal.SIGKILL])
def test_a_death_is_an_error_and_the_next_call_has_a_new_process(number):
    before = call_isolated("asking", os.getpid)
    with pytest.raises(mf.MalformedFileError, match=f"reading it: the process for it died of {number.name}"):
        call_isolated("reading it", die, number)
    assert call_isolated("asking", os.getpid) != before
    with pytest.raises(mf.MalformedFileError, match="ended with exit code 3"):
        call_isolated("reading it", os._exit, 3)


def test_time_and_memory_are_limited(monkeypatch):
    monkeypatch.setattr(isolation, "SECONDS", 0.5)
    with pytest.raises(mf.MalformedFileError, match="took more than 0 s of processor time"):
        call_isolated("reading it", spin)
    with pytest.raises(MemoryError):
        call_isolated("reading it", grow)


def test_errors_are_raised_here():
    with pytest.raises(mf.UnsupportedFeatureError, match="some feature"):
        call_isolated("reading it", fail, mf.UnsupportedFeatureError("some feature", "a/b", "do"))
    with pytest.raises(mf.PluginError, match="OddError: 1"):
        call_isolated("reading it", odd)
    with pytest.raises(mf.OptionError, match="cannot be done in another process"):
        call_isolated("reading it", fail, MemoryStore())


def test_parsing_there_is_parsing(tmp_path):
    with netCDF4.Dataset(tmp_path / "f.nc", "w") as file:
        file.createDimension("x", 6)
        file.createVariable("v", "i4", ("x",), zlib=True)[:] = range(6)
    here, there = (mf.parse(tmp_path / "f.nc", isolate=isolate, include=["v"]) for isolate in (False, True))
    assert here == there
    assert here.provenance == there.provenance
    with pytest.raises(mf.OptionError, match="did you mean 'include'"):
        mf.parse(tmp_path / "f.nc", isolate=True, includes=["v"])
    with pytest.raises(mf.SourceError, match="does not exist"):
        mf.parse(tmp_path / "g.nc", isolate=True)


def test_a_script_needs_no_main_guard_and_leaves_nothing_behind(tmp_path):
    program = (
        "from manifestry.formats.isolation import call_isolated\n"
        "import os\n"
        "print('begun', call_isolated('asking', os.getpid), flush=True)\n"
    )
    (tmp_path / "script.py").write_text(program)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True, timeout=60
    )
    (line,) = done.stdout.splitlines()
    assert done.stderr == ""
    assert has_ended(int(line.split()[1]))
    (tmp_path / "killed.py").write_text(program + "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run(
        [sys.executable, tmp_path / "killed.py"], capture_output=True, text=True, check=False, timeout=60
    )
    wait_for_end([int(done.stdout.split()[1])], 30, "the process outlives its parent")


def test_a_forked_process_has_one_of_its_own():
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    program = (
        "import os\n"
        "from manifestry.formats.isolation import call_isolated\n"
        "first = call_isolated('asking', os.getpid)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if call_isolated('asking', os.getpid) != first else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert call_isolated('asking', os.getpid) == first\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)
