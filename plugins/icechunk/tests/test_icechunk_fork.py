"""A process that is forked after Icechunk was used is told so, and does not hang."""

import pickle
import subprocess
import sys

import pytest
from manifestry.testing.trees import make_sample

PROGRAM = """
import os, sys, pickle
import manifestry as mf

tree = pickle.loads(open({tree!r}, "rb").read())
target, work, warm = {target!r}, sys.argv[1], sys.argv[2] == "warm"
if warm:
    mf.write(tree, target)
child = os.fork()
if child == 0:
    try:
        if work == "write":
            mf.write(tree, target + "2", format="icechunk")
        elif work == "append":
            mf.convert(target + ".none", target, append_dim="x")
        elif work == "parse":
            mf.parse(target)
        else:
            mf.write(tree, target + ".json")
            mf.parse(target + ".json")
    except mf.ManifestryError as error:
        print(type(error).__name__, error, flush=True)
        os._exit(3)
    os._exit(0)
_, status = os.waitpid(child, 0)
if warm:
    mf.parse(target)  # nothing has happened to the one that forked
print("code", os.waitstatus_to_exitcode(status), flush=True)
os._exit(0)  # once in many runs, the end of Python with threads of Icechunk was a segmentation fault
"""


@pytest.mark.parametrize("work", ["write", "append", "parse", "json"])
@pytest.mark.parametrize("warm", ["warm", "cold"])
def test_forks_are_refused_only_where_they_would_hang(tmp_path, work, warm):
    if warm == "cold" and work in ("append", "parse"):
        pytest.skip("nothing is there")
    sample = make_sample("groups", tmp_path / "source")
    (tmp_path / "tree").write_bytes(pickle.dumps(sample.tree))
    program = PROGRAM.format(tree=str(tmp_path / "tree"), target=str(tmp_path / "out.icechunk"))
    command = [sys.executable, "-W", "ignore", "-c", program, work, warm]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    if warm == "warm" and work != "json":
        assert "code 3" in done.stdout
        assert "was forked from one that had used Icechunk already" in done.stdout
        assert "start processes with spawn" in done.stdout
    else:
        assert "code 0" in done.stdout, done.stdout
