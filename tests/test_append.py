"""Files are appended once: whatever others do at the same time, whatever became of the history, on any branch."""

import datetime as dt
import json
import multiprocessing
import os
import time

import icechunk
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import zarr
from manifestry.combine.values import inline_array, read_values
from manifestry.storage.registry import StoreRegistry
from s3_server import s3_server

SPAWN = multiprocessing.get_context("spawn")


def make_day(path, *days, units="days since 2000-01-01", chunks=None):
    """Days of one variable whose values are ten times the day; the file is named after the first of them."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createVariable("time", "f8", ("time",), chunksizes=chunks).units = units
        file["time"][:] = days
        file.createVariable("v", "f4", ("time",), zlib=True, chunksizes=(1,))[:] = [10 * day for day in days]
    return path


@pytest.fixture
def days(tmp_path):
    return [make_day(tmp_path / f"day_{day}.nc", day) for day in range(5)]


@pytest.fixture
def cube(tmp_path):
    return tmp_path / "cube.icechunk"


@pytest.fixture(scope="module")
def server():
    with s3_server("cubes") as running:
        yield running


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    """Where a repository goes, and the stores to reach it."""
    if request.param == "local":
        return tmp_path / "cube.icechunk", {}
    server = request.getfixturevalue("server")
    return f"s3://cubes/{tmp_path.name}/cube.icechunk", {"stores": {"s3://cubes": server.store()}}


def values(target, name="v", *, stores=None, **options):
    tree = mf.parse(target, stores=stores, **options)
    return read_values(tree[name], StoreRegistry(stores)).tolist()


def statuses(report):
    return [source.status for source in report.sources]


def repository(path):
    return icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))


def expire(path, keep=0.0):
    """Icechunk's own maintenance: only snapshots of the last `keep` seconds stay, and the tip."""
    time.sleep(0.01)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=keep)
    repository(path).expire_snapshots(older_than=before)


# Two runs at once


class OtherRun:
    """A preprocess function: when a source is parsed, after the look at the output, another run appends."""

    def __init__(self, when, sources, target, **options):
        self.when, self.sources, self.target, self.options = str(when), sources, target, options

    def __call__(self, tree):
        if self.sources and any(url.endswith(self.when) for url in tree.files.urls):
            sources, self.sources = self.sources, ()
            mf.convert(sources, self.target, append_dim="time", **self.options)
        return tree


def reachable(place, days):
    """Where local files cannot be named by a remote repository: the same files in the bucket."""
    target, options = place
    if not options:
        return days
    store = options["stores"]["s3://cubes"]
    base = str(target).removeprefix("s3://cubes/").rpartition("/")[0]
    for path in days:
        store.put(f"{base}/{path.name}", path.read_bytes())
    return [f"s3://cubes/{base}/{path.name}" for path in days]


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_that_another_run_added_meanwhile_is_refused(place, days, resume):
    target, options = place
    days = reachable(place, days)
    how = {"concat_dim": "time", "resume": True} if resume else {"append_dim": "time"}
    mf.convert(days[0], target, concat_dim="time", **options)
    other = OtherRun("day_2.nc", [days[2]], target, **options)
    with pytest.raises(
        mf.WriteError, match=r"another run has added .*/day_2\.nc in the meantime; run the command again"
    ):
        mf.convert(days[1:4], target, preprocess=other, **how, **options)
    assert values(target, **options) == [0, 20]
    assert statuses(mf.convert(days, target, **how, **options)) == [
        "present", "written", "present", "written", "written"
    ]  # fmt: skip
    assert sorted(values(target, **options)) == [0, 10, 20, 30, 40]


def test_a_file_of_a_later_slab_that_another_run_added_meanwhile(place, days):
    target, options = place
    days = reachable(place, days)
    other = OtherRun("day_3.nc", [days[3]], target, **options)
    with pytest.raises(mf.WriteError, match=r"another run has added .*/day_3\.nc in the meantime"):
        mf.convert(days, target, concat_dim="time", slab_files=1, preprocess=other, **options)
    assert values(target, **options) == [0, 10, 30, 20]


def test_other_files_that_another_run_added_meanwhile_are_kept(place, days):
    target, options = place
    days = reachable(place, days)
    mf.convert(days[0], target, concat_dim="time", **options)
    other = OtherRun("day_1.nc", [days[2]], target, **options)
    assert statuses(mf.convert(days[1], target, append_dim="time", preprocess=other, **options)) == ["written"]
    assert values(target, **options) == [0, 20, 10]


def between(monkeypatch, what):
    """Something happens between staging and the next commit."""
    committed, waiting = icechunk.Session.commit, [what]

    def commit(self, *arguments, **keywords):
        if waiting:
            waiting.pop()()
        return committed(self, *arguments, **keywords)

    monkeypatch.setattr(icechunk.Session, "commit", commit)


@pytest.mark.parametrize("parts", [{}, {"references_per_commit": 1000}])
def test_commits_that_collide_in_an_object_store(server, tmp_path, days, monkeypatch, parts):
    options = {"stores": {"s3://cubes": server.store()}}
    target = f"s3://cubes/{tmp_path.name}/cube.icechunk"
    days = reachable((target, options), days)
    mf.convert(days[0], target, concat_dim="time", **options)
    between(monkeypatch, lambda: mf.convert(days[1], target, append_dim="time", **options))
    with pytest.raises(mf.WriteError, match=r"another run has added .*/day_1\.nc in the meantime"):
        mf.convert(days[1:3], target, append_dim="time", write=parts, **options)
    assert values(target, **options) == [0, 10]
    between(monkeypatch, lambda: mf.convert(days[2], target, append_dim="time", **options))
    mf.convert(days[3], target, append_dim="time", write=parts, **options)
    assert values(target, **options) == [0, 10, 20, 30]
    between(monkeypatch, lambda: mf.convert(days[3:], target, append_dim="time", **options))
    seventh, asked = make_and_put(tmp_path, options, 7), {"on_conflict": "raise"}
    with pytest.raises(mf.WriteError, match="somebody else committed"):
        mf.convert(seventh, target, append_dim="time", write=asked, **options)
    assert values(target, **options) == [0, 10, 20, 30, 40]


def make_and_put(tmp_path, options, day):
    path = make_day(tmp_path / f"day_{day}.nc", day)
    return reachable((f"s3://cubes/{tmp_path.name}/cube.icechunk", options), [path])[0]


def test_a_new_branch_of_two_runs_is_not_taken_from_the_other(server, tmp_path, days, monkeypatch):
    options = {"stores": {"s3://cubes": server.store()}, "write": {"branch": "dev"}}
    stores = {"stores": options["stores"]}
    target = f"s3://cubes/{tmp_path.name}/cube.icechunk"
    days = reachable((target, options), days)
    mf.convert(days[0], target, concat_dim="time", **stores)
    between(monkeypatch, lambda: mf.convert(days[1], target, append_dim="time", **options))
    with pytest.raises(mf.WriteError, match="another run has added"):
        mf.convert(days[1], target, append_dim="time", **options)
    assert values(target, branch="dev", **stores) == [0, 10]


def test_what_another_program_changed_meanwhile_is_looked_at_again(days, cube):
    mf.convert(days[0], cube, concat_dim="time")

    def resized(tree):
        session = repository(cube).writable_session("main")
        zarr.open_array(session.store, path="v").resize((5,))
        session.commit("by hand")
        return tree

    with pytest.raises(mf.WriteError, match="another program has changed it in the meantime"):
        mf.convert(days[1], cube, append_dim="time", preprocess=resized)


@pytest.mark.parametrize("cut", [True, False])
def test_a_history_that_was_changed_meanwhile(days, cube, cut):
    mf.convert(days[0], cube, concat_dim="time")
    first = repository(cube).lookup_branch("main")
    mf.convert(days[1], cube, append_dim="time")

    def change(tree):
        if cut:
            mf.convert(days[2], cube, append_dim="time")
            expire(cube)
        else:
            repository(cube).reset_branch("main", first)
        return tree

    with pytest.raises(mf.WriteError, match="history was cut or its branch moved in the meantime"):
        mf.convert(days[3], cube, append_dim="time", preprocess=change)
    assert values(cube) == ([0, 10, 20] if cut else [0])


def append_each(barrier, sources, target, options, results):
    icechunk.set_logs_filter("error")
    for source in sources:
        barrier.wait(60)
        try:
            results.put((source.name, *statuses(mf.convert(source, target, **options))))
        except mf.WriteError as error:
            results.put((source.name, "added" if "another run has added" in str(error) else str(error)))


def race(tmp_path, count, processes, **options):
    cube = tmp_path / f"{len(options)}.icechunk"
    days = [make_day(tmp_path / f"{day:03}.nc", day) for day in range(count + 1)]
    mf.convert(days[0], cube, concat_dim="time")
    barrier, results = SPAWN.Barrier(processes), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=append_each, args=(barrier, days[1:], cube, options, results)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=120) for _ in range(count * processes)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert {status for _, status in found} <= {"written", "added", "present"}
    assert sorted(name for name, status in found if status == "written") == [day.name for day in days[1:]]
    assert values(cube) == [10 * day for day in range(count + 1)]


def test_processes_that_append_the_same_files(tmp_path):
    race(tmp_path, 5, 2, append_dim="time")


@pytest.mark.skipif("MANIFESTRY_LONG_TESTS" not in os.environ, reason="long: set MANIFESTRY_LONG_TESTS to run it")
def test_many_rounds_of_processes_that_append_the_same_files(tmp_path):
    race(tmp_path, 50, 4, append_dim="time")
    race(tmp_path, 50, 4, concat_dim="time", resume=True)


# History that is gone


def one_by_one(days, target):
    mf.convert(days[0], target, concat_dim="time")
    for day in days[1:]:
        mf.convert(day, target, append_dim="time")


@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("resume", [False, True])
def test_snapshots_were_expired(days, cube, resume, collect):
    how = {"concat_dim": "time", "resume": True} if resume else {"append_dim": "time"}
    one_by_one(days[:3], cube)
    expire(cube)
    if collect:
        repository(cube).garbage_collect(dt.datetime.now(dt.UTC))
    assert statuses(mf.convert(days[:4], cube, **how)) == ["present"] * 3 + ["written"]
    assert statuses(mf.convert(days, cube, **how)) == ["present"] * 4 + ["written"]
    assert values(cube) == [0, 10, 20, 30, 40]


def test_snapshots_are_expired_every_day(days, cube):
    for count in range(1, 6):
        mf.convert(days[:count], cube, concat_dim="time", resume=True)
        expire(cube)
    assert values(cube) == [0, 10, 20, 30, 40]


def test_the_commit_that_overwrote_was_expired(days, cube):
    one_by_one(days[:3], cube)
    mf.convert(days[2:4], cube, concat_dim="time", overwrite=True)
    mf.convert(days[4], cube, append_dim="time")
    expire(cube)
    report = mf.convert(days, cube, append_dim="time")
    assert statuses(report) == ["written", "written", "present", "present", "present"]
    assert values(cube) == [20, 30, 40, 0, 10]


def test_a_branch_that_was_reset(days, cube):
    mf.convert(days[0], cube, concat_dim="time")
    first = repository(cube).lookup_branch("main")
    mf.convert(days[1:3], cube, append_dim="time")
    repository(cube).reset_branch("main", first)
    assert statuses(mf.convert(days[:2], cube, append_dim="time")) == ["present", "written"]
    assert values(cube) == [0, 10]


@pytest.mark.parametrize("method", ["new_commit", "amend"])
def test_manifests_were_rewritten(days, cube, method):
    one_by_one(days[:3], cube)
    repository(cube).rewrite_manifests("tidied", branch="main", commit_method=method)
    assert statuses(mf.convert(days[:4], cube, append_dim="time")) == ["present"] * 3 + ["written"]
    assert values(cube) == [0, 10, 20, 30]


def add_mask(target, *, amend):
    session = repository(target).writable_session("main")
    zarr.create_array(session.store, name="own/mask", shape=(3,), dtype="i1", dimension_names=["x"])
    (session.amend if amend else session.commit)("a mask")


@pytest.mark.parametrize("amend", [False, True])
def test_commits_of_other_programs(days, cube, amend):
    copied = {"inline_below": 10_000}
    mf.convert(days[0], cube, concat_dim="time", read=copied, group="g")
    mf.convert(days[1], cube, append_dim="time", read=copied, group="g")
    add_mask(cube, amend=amend)
    if amend:  # what the commit said of day_1 is gone, and no reference names it
        with pytest.raises(mf.UnsupportedFeatureError, match=r"some steps of time are copies.*overwrite=True"):
            mf.convert(days[:3], cube, append_dim="time", read=copied, group="g")
    else:
        report = mf.convert(days[:3], cube, append_dim="time", read=copied, group="g")
        assert statuses(report) == ["present", "present", "written"]


def test_files_that_another_program_appended(days, cube):
    mf.convert(days[0], cube, concat_dim="time")
    session = repository(cube).writable_session("main")
    mf.write(mf.parse(days[1]), session, append_dim="time")
    session.commit("by a program of its own")
    report = mf.convert(days[:3], cube, append_dim="time")
    assert statuses(report) == ["present", "present", "written"]
    assert values(cube) == [0, 10, 20]


def test_copies_whose_commits_are_gone_are_refused(days, cube):
    copied = {"inline_below": 10_000}
    mf.convert(days[0], cube, concat_dim="time", read=copied)
    mf.convert(days[1], cube, append_dim="time", read=copied)
    mf.convert(days[2], cube, append_dim="time", read=copied)
    expire(cube)
    for how in ({"append_dim": "time"}, {"concat_dim": "time", "resume": True}):
        with pytest.raises(mf.UnsupportedFeatureError, match="does not say which sources it has"):
            mf.convert(days[:4], cube, read=copied, **how)
    assert statuses(mf.convert(days[2], cube, append_dim="time", read=copied)) == ["present"]
    assert values(cube) == [0, 10, 20]


def test_sources_that_refer_to_other_files_when_commits_are_gone(days, cube, tmp_path):
    documents = [tmp_path / f"{day.stem}.json" for day in days[:4]]
    for day, document in zip(days, documents, strict=False):
        mf.write(mf.parse(day), document)
    one_by_one(documents[:3], cube)
    assert statuses(mf.convert(documents[:3], cube, append_dim="time")) == ["present"] * 3
    expire(cube)
    with pytest.raises(mf.UnsupportedFeatureError, match=r"refers to file://.*/day_0\.nc already"):
        mf.convert(documents, cube, append_dim="time")
    assert statuses(mf.convert(documents[2:], cube, append_dim="time")) == ["present", "written"]
    assert values(cube) == [0, 10, 20, 30]


def days_of(path, document, *steps):
    """A Kerchunk document of some steps of a file."""
    mf.convert(path, document)
    found = json.loads(document.read_text())
    references = found["refs"]
    for name in ("time", "v"):
        chunks = [references.pop(f"{name}/{step}") for step in range(4)]
        shape = {**json.loads(references[f"{name}/.zarray"]), "shape": [len(steps)]}
        references[f"{name}/.zarray"] = json.dumps(shape)
        references |= {f"{name}/{at}": chunks[step] for at, step in enumerate(steps)}
    document.write_text(json.dumps(found))
    return document


@pytest.mark.parametrize("parts", [[(0, 1)], [(2, 3)], [(0, 1, 2)], [(0, 1), (0, 1)]])
@pytest.mark.parametrize("resume", [False, True])
def test_a_file_of_which_a_part_is_there_when_commits_are_gone(days, cube, tmp_path, parts, resume):
    how = {"concat_dim": "time", "resume": True} if resume else {"append_dim": "time"}
    whole = make_day(tmp_path / "whole.nc", 10, 11, 12, 13, chunks=(1,))
    documents = [days_of(whole, tmp_path / f"{i}.json", *steps) for i, steps in enumerate(parts)]
    one_by_one([*documents, days[0]], cube)
    expire(cube)
    before = values(cube)
    with pytest.raises(mf.UnsupportedFeatureError, match="refers to a part of this source only"):
        mf.convert([whole, days[1]], cube, **how)
    assert values(cube) == before


def test_a_file_that_is_there_in_parts_when_commits_are_gone(days, cube, tmp_path):
    whole = make_day(tmp_path / "whole.nc", 10, 11, 12, 13, chunks=(1,))
    parts = [days_of(whole, tmp_path / f"{steps[0]}.json", *steps) for steps in ((0, 1), (2, 3))]
    one_by_one([*parts, days[0]], cube)
    expire(cube)
    assert statuses(mf.convert([whole, days[1]], cube, append_dim="time")) == ["present", "written"]
    assert values(cube) == [100, 110, 120, 130, 0, 10]


def test_a_source_that_is_gone_when_commits_are_gone(days, cube):
    one_by_one(days[:2], cube)
    expire(cube)
    days[0].unlink()
    assert statuses(mf.convert(days[:3], cube, append_dim="time")) == ["changed", "present", "written"]


@pytest.mark.parametrize("ending", ["icechunk", "parquet", "json"])
def test_outputs_as_sources_are_appended_once(days, cube, tmp_path, ending):
    sources = [tmp_path / f"{day.stem}.{ending}" for day in days[:3]]
    for day, source in zip(days, sources, strict=False):
        mf.convert(day, source, to={"parquet": "kerchunk-parquet", "json": "kerchunk-json"}.get(ending, ending))
    mf.convert(sources[:2], cube, concat_dim="time")
    assert statuses(mf.convert(sources, cube, append_dim="time")) == ["present", "present", "written"]
    assert statuses(mf.convert(sources, cube, append_dim="time")) == ["present"] * 3
    assert values(cube) == [0, 10, 20]


# Branches


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("group", ["", "a/b"])
def test_the_branch_that_is_written_is_looked_at(days, cube, resume, group):
    how = {"concat_dim": "time", "resume": True} if resume else {"append_dim": "time"}
    where = {**how, "group": group, "write": {"branch": "dev"}}
    name = f"{group}/v".strip("/")
    mf.convert(days[0], cube, concat_dim="time", group=group)
    assert statuses(mf.convert(days[:2], cube, **where)) == ["present", "written"]
    assert statuses(mf.convert(days[:2], cube, **where)) == ["present", "present"]
    assert (values(cube, name, branch="dev"), values(cube, name)) == ([0, 10], [0])
    mf.convert(days[1:3], cube, group=group, **how)
    assert statuses(mf.convert(days[:4], cube, **where)) == ["present", "present", "written", "written"]
    assert (values(cube, name, branch="dev"), values(cube, name)) == ([0, 10, 20, 30], [0, 10, 20])


def test_a_branch_that_lacks_what_main_has(days, cube):
    mf.convert(days[0], cube, concat_dim="time")
    repository(cube).create_branch("old", repository(cube).lookup_branch("main"))
    mf.convert(days[1], cube, append_dim="time")
    assert statuses(mf.convert(days[1], cube, append_dim="time", write={"branch": "old"})) == ["written"]
    assert values(cube, branch="old") == [0, 10]


def test_the_output_is_compared_and_verified_on_its_branch(days, cube, tmp_path):
    other = make_day(tmp_path / "hours.nc", 24, units="hours since 2000-01-01")
    mf.convert(days[0], cube, concat_dim="time")
    branch = {"write": {"branch": "dev"}}
    mf.convert(other, cube, concat_dim="time", overwrite=True, **branch)
    later = make_day(tmp_path / "later.nc", 48, units="hours since 2000-01-01")
    report = mf.convert(later, cube, append_dim="time", verify="all", **branch)
    assert values(cube, "time", branch="dev") == [24, 48]
    assert sorted(check.url.rpartition("/")[2] for check in report.verified.sources) == ["hours.nc", "later.nc"]
    mf.convert(days[3], cube, append_dim="time", **branch)  # counts in days, which become hours of the branch
    assert values(cube, "time", branch="dev") == [24, 48, 72]


# Order


def features(report):
    return [(issue.feature, issue.message) for issue in report.issues if issue.path == "time"]


def test_order_is_reported_across_slabs_as_within_one(tmp_path):
    numbers = [0, 3, 1, 2, 1]
    days = [make_day(tmp_path / f"{i}.nc", day) for i, day in enumerate(numbers)]
    found = [
        features(mf.convert(days, tmp_path / f"{n}.icechunk", concat_dim="time", slab_files=n)) for n in (1, 2, None)
    ]
    assert found[0] == found[1] == found[2]
    assert [feature for feature, _ in found[0]] == [
        "coordinate not monotonic", "duplicate coordinate values"
    ]  # fmt: skip
    assert str(days[2]) in found[0][0][1]
    assert f"first 1.0 in file://{days[2]} and file://{days[4]}" in found[0][1][1]


@pytest.mark.parametrize(
    ("there", "added", "expected"),
    [
        ([0, 1, 2, 3], [1], {"coordinate not monotonic", "sources overlap", "duplicate coordinate values"}),
        ([2, 3], [1], {"coordinate not monotonic"}),
        ([0, 1], [1], {"duplicate coordinate values"}),
        ([5, 4], [3, 2], set()),
        ([5, 4], [6], {"coordinate not monotonic"}),
        ([1], [2], set()),
        ([0, 0, 1], [2], set()),
        ([0, 1], [2, 2], {"duplicate coordinate values"}),
    ],
)
@pytest.mark.parametrize("write", [False, True])
def test_order_is_reported_against_the_output(tmp_path, cube, there, added, expected, write):
    first, later = make_day(tmp_path / "first.nc", *there), make_day(tmp_path / "later.nc", *added)
    if write:
        mf.write(mf.parse(first), cube)
        report = mf.write(mf.parse(later), cube, append_dim="time")
    else:
        mf.convert(first, cube, concat_dim="time")
        report = mf.convert(later, cube, append_dim="time")
    found = dict(features(report))
    assert set(found) == expected
    assert all(issue.severity == "reported" for issue in report.issues)
    assert all("later.nc" in message for message in found.values())
    assert values(cube, "time") == [*there, *added]


def test_order_is_reported_in_the_units_of_the_output(days, cube, tmp_path):
    mf.convert(days[:3], cube, concat_dim="time")
    again = make_day(tmp_path / "hours.nc", 24, units="hours since 2000-01-01")
    report = mf.convert(again, cube, append_dim="time")
    assert {feature for feature, _ in features(report)} >= {"coordinate not monotonic", "duplicate coordinate values"}


def test_order_of_an_output_that_refers_to_its_coordinate(days, cube):
    mf.write(mf.parse(days[1]), cube)
    assert mf.convert(days[2], cube, append_dim="time").issues == ()
    found = dict(features(mf.convert(days[0], cube, append_dim="time")))
    assert "day_0.nc after" in found["coordinate not monotonic"]


def test_order_into_a_session_of_the_caller(days, cube):
    mf.write(mf.parse(days[1]), cube, group="g")
    opened = repository(cube)
    access = dict.fromkeys(opened.config.virtual_chunk_containers, icechunk.Credentials.LocalFileSystemAccess())
    session = opened.reopen(authorize_virtual_chunk_access=access).writable_session("main")
    report = mf.write(mf.parse(days[1]), session, group="g", append_dim="time")
    assert [issue.feature for issue in report.issues] == ["duplicate coordinate values"]


def test_order_that_nobody_can_look_at(tmp_path, cube):
    days = [make_day(tmp_path / f"{day}.nc", day, chunks=(1,)) for day in (1, 0)]
    trees = [mf.parse(day) for day in days]
    mf.write(trees[0], cube)
    days[0].unlink()
    report = mf.write(trees[1], cube, append_dim="time")
    assert [(issue.feature, issue.severity) for issue in report.issues] == [
        ("order of the coordinate not looked at", "reported")
    ]


def test_order_of_names(tmp_path, cube):
    def named(*names):
        time = inline_array(np.array(names, np.dtypes.StringDType()), ("station",))
        return mf.VirtualGroup({"station": time})

    mf.write(named("a", "b"), cube)
    assert mf.write(named("c"), cube, append_dim="station").issues == ()
    report = mf.write(named("b"), cube, append_dim="station")
    assert [issue.feature for issue in report.issues] == ["coordinate not monotonic", "duplicate coordinate values"]
    assert "b" in report.issues[0].message
