"""Exit codes and messages for targets that cannot be written: read-only, full, without permission, in use.

Each in a namespace of its own, where root has no right to overlook permissions.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import pytest

ENDINGS = (".json", ".parq", ".icechunk")
PROGRAM = """
import sys
from manifestry.cli.application import run

for target in sys.argv[2:]:
    print(target.rpartition(".")[2], run(["convert", sys.argv[1], target]), flush=True)
"""


def namespace(*command):
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", *command]


def can_isolate():
    if shutil.which("unshare") is None:
        return False
    mount = subprocess.run(namespace("mount -t tmpfs none /mnt"), check=False, capture_output=True)
    return mount.returncode == 0


pytestmark = pytest.mark.skipif(not can_isolate(), reason="no file system can be mounted here")


@pytest.fixture
def source(tmp_path):
    with netCDF4.Dataset(tmp_path / "f.nc", "w") as file:
        file.createDimension("x", 6000)
        file.createVariable("v", "i4", ("x",), chunksizes=(1,))[:] = range(6000)
    return tmp_path / "f.nc"


def outcomes(done):
    """The exit code for each format, and what was said of each."""
    codes = {name: int(code) for name, code in (line.split() for line in done.stdout.splitlines() if " " in line)}
    return codes, [line for line in done.stderr.splitlines() if line.startswith("manifestry: ")]


def convert(command, source, directory):
    targets = [f"{directory}/out{ending}" for ending in ENDINGS]
    done = subprocess.run([*command, sys.executable, "-c", PROGRAM, source, *targets], check=False, text=True,
                          capture_output=True, timeout=240)  # fmt: skip
    codes, said = outcomes(done)
    assert codes == dict.fromkeys(("json", "parq", "icechunk"), 5), done.stdout + done.stderr
    assert len(said) == len(ENDINGS)
    for line, ending in zip(said, ENDINGS, strict=True):
        assert f"out{ending}" in line
        assert "failed: OSError" not in line
    return said


@pytest.mark.parametrize(("options", "reason"), [("ro", "read-only file system"), ("size=8k", "no space left")])
def test_a_file_system_that_takes_nothing(source, tmp_path, options, reason):
    place = tmp_path / "place"
    place.mkdir()
    mount = f'mount -t tmpfs -o {options} none "$0" && exec "$@"'
    for line in convert([*namespace(mount), place], source, place):
        assert reason in line.lower()


def test_no_permission(source, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o555)
    try:
        for line in convert(["unshare", "--user"], source, place):
            assert "permission denied" in line.lower()
        assert os.listdir(place) == []
    finally:
        place.chmod(0o755)


def test_a_source_without_permission(source, tmp_path):
    source.chmod(0)
    command = ["unshare", "--user", sys.executable, "-c", "from manifestry.cli import main; main()", "inspect", source]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 5
    assert "permission denied" in done.stderr
    assert Path(source).stat().st_size
