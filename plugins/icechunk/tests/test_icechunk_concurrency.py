"""Several writers at once, and writers that die: no commit is lost and nothing that was there is harmed."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import icechunk
import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.plugin import Mode, Placement, Target, WriteContext
from manifestry.testing.building import TreeBuilder
from manifestry_icechunk.options import IcechunkWriteOptions
from manifestry_icechunk.repository.locking import LOCK_NAME, RepositoryLock
from manifestry_icechunk.writer import IcechunkWriter

SPAWN = multiprocessing.get_context("spawn")


def step(directory, number):
    directory.mkdir(parents=True, exist_ok=True)
    b = TreeBuilder(directory)
    b.array("x", np.array([[number, number]], "i4"), (1, 2), dims=("t", "x"))
    return b.tree()


def stored(target):
    storage = icechunk.local_filesystem_storage(str(target))
    config = icechunk.Repository.fetch_config(storage)
    access = {p: icechunk.Credentials.LocalFileSystemAccess() for p in config.virtual_chunk_containers}
    repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    return zarr.open_group(repository.readonly_session("main").store, mode="r")["x"][...]


def append_ten(base, worker):
    for i in range(10):
        number = 100 * worker + i
        mf.write(step(base / f"{number}", number), base / "out.icechunk", append_dim="t")


def test_four_processes_with_ten_commits_each_keep_all_forty(tmp_path):
    mf.write(step(tmp_path / "first", -1), tmp_path / "out.icechunk")
    workers = [SPAWN.Process(target=append_ten, args=(tmp_path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    found = stored(tmp_path / "out.icechunk")
    expected = Counter([-1, *(100 * n + i for n in range(4) for i in range(10))])
    assert Counter(found[:, 0].tolist()) == Counter(found[:, 1].tolist()) == expected


def test_the_lock_is_waited_for_and_given_up_on_time(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(step(tmp_path / "a", 0), target)
    holder = RepositoryLock(target, 0)
    holder.acquire()
    with pytest.raises(mf.WriteError, match="another process has been writing"):
        mf.write(step(tmp_path / "b", 1), target, append_dim="t", lock_timeout=0.05)
    holder.release()
    mf.write(step(tmp_path / "b", 1), target, append_dim="t")
    assert stored(target)[:, 0].tolist() == [0, 1]
    assert (target / LOCK_NAME).exists()


def append_begun(tmp_path, **options):
    """A session that has staged an append, while a program that knows no lock appends too."""
    target = tmp_path / "out.icechunk"
    mf.write(step(tmp_path / "a", 0), target)
    tree, at = step(tmp_path / "b", 1), Placement("t")
    session = IcechunkWriter().open(Target.of(target), Mode.APPEND, IcechunkWriteOptions(**options), WriteContext())
    assert session.check(tree, at) == []
    session.write(tree, at)
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
    other = repository.writable_session("main")
    array = zarr.open_array(other.store, path="x")
    array.resize((2, 2))
    array[1] = 77
    other.commit("from elsewhere")
    return session, target


def test_a_conflicting_commit_is_an_error_and_nothing_is_stored(tmp_path):
    session, target = append_begun(tmp_path)
    with pytest.raises(mf.WriteError, match="somebody else committed"):
        session.commit({})
    session.abort()
    assert stored(target)[:, 0].tolist() == [0, 77]


def test_a_conflicting_commit_is_retried_on_the_new_tip(tmp_path):
    session, target = append_begun(tmp_path, on_conflict="retry")
    session.commit({})
    assert stored(target)[:, 0].tolist() == [0, 77, 1]


def test_a_conflict_of_parts_is_retried_too(tmp_path):
    session, target = append_begun(tmp_path, on_conflict="retry")
    session._transaction.relieve()
    session.commit({})
    assert stored(target)[:, 0].tolist() == [0, 77, 1]
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
    assert repository.list_branches() == {"main"}


def test_changes_that_do_not_contradict_are_joined(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(step(tmp_path / "a", 0), target)
    session = IcechunkWriter().open(Target.of(target, "g"), Mode.CREATE, IcechunkWriteOptions(), WriteContext())
    session.write(step(tmp_path / "b", 1))
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
    other = repository.writable_session("main")
    zarr.open_group(other.store).create_group("elsewhere")
    other.commit("from elsewhere")
    session.commit({})
    root = zarr.open_group(
        icechunk.Repository.open(icechunk.local_filesystem_storage(str(target))).readonly_session("main").store,
        mode="r",
    )
    assert sorted(root.group_keys()) == ["elsewhere", "g"]


def test_a_commit_that_vanished_from_the_branch_is_an_error(tmp_path, monkeypatch):
    target = tmp_path / "out.icechunk"
    first = mf.write(step(tmp_path / "a", 0), target)
    committed = icechunk.Session.commit

    def lose(self, *args, **kwargs):
        snapshot = committed(self, *args, **kwargs)
        repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
        repository.reset_branch("main", first.details["snapshot"])  # what the race of two local commits comes to
        return snapshot

    monkeypatch.setattr(icechunk.Session, "commit", lose)
    with pytest.raises(mf.WriteError, match="is not on the branch main"):
        mf.write(step(tmp_path / "b", 1), target, append_dim="t")


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import manifestry_icechunk.writing.staging as staging
from test_icechunk_concurrency import step
import manifestry as mf
real = staging.set_references
def hang(*args):
    real(*args)
    Path({base!r}, "staged").touch()
    time.sleep(60)
staging.set_references = hang
mf.write(step(Path({base!r}, "killed"), 5), Path({base!r}, {name!r}), **{options!r})
"""


@pytest.mark.parametrize(("name", "options"), [("new.icechunk", {}), ("old.icechunk", {"append_dim": "t"})])
def test_a_killed_writer_harms_nothing(tmp_path, name, options):
    mf.write(step(tmp_path / "a", 0), tmp_path / "old.icechunk")
    code = KILLED.format(tests=str(Path(__file__).parent), base=str(tmp_path), name=name, options=options)
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "ICECHUNK_LOG": "error"})
    deadline = time.monotonic() + 100
    while not (tmp_path / "staged").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
        assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert stored(tmp_path / "old.icechunk")[:, 0].tolist() == [0]
    assert not (tmp_path / "new.icechunk").exists()
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert len(left) == (0 if options else 1)
    for path in left:
        os.utime(path, (0, 0))  # what is young could be a writer's that has not locked it yet
    mf.write(step(tmp_path / "b", 1), tmp_path / name, **options)  # no lock and no rest is in the way
    assert stored(tmp_path / name)[:, 0].tolist() == ([0, 1] if options else [1])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_branches_of_killed_writers_are_deleted(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(step(tmp_path / "a", 0), target)
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
    repository.create_branch("manifestry-0123456789ab", repository.lookup_branch("main"))
    repository.create_branch("mine", repository.lookup_branch("main"))
    mf.write(step(tmp_path / "b", 1), target, append_dim="t")
    assert repository.list_branches() == {"main", "mine"}


def write_on_a_full_disk(base, names):
    """Files may have 200 bytes: what a full disk is to whoever writes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    trees = [(step(base / f"src-{name}", 7), base / name, options) for name, options in names]
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    for tree, target, options in trees:
        try:
            mf.write(tree, target, **options)
        except mf.WriteError:
            continue
        os._exit(3)
    os._exit(0)


def test_a_full_disk_harms_nothing(tmp_path):
    mf.write(step(tmp_path / "a", 0), tmp_path / "old.icechunk")
    cases = [("new.icechunk", {}), ("old.icechunk", {"append_dim": "t"}), ("old.icechunk", {"overwrite": True})]
    child = SPAWN.Process(target=write_on_a_full_disk, args=(tmp_path, cases))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    assert stored(tmp_path / "old.icechunk")[:, 0].tolist() == [0]
    assert not [p.name for p in tmp_path.iterdir() if "new.icechunk" in p.name and not p.name.startswith("src")]
