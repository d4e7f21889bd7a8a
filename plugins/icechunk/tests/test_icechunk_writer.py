"""Targets, modes, containers, checksums, manifests: what the writer does beside the values."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import icechunk
import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.formats.options import describe_options
from manifestry.plugin import ChunkManifest, Mode, Placement, SourceFile, Target, WriteContext
from manifestry.testing.building import TreeBuilder
from manifestry_icechunk.options import IcechunkReadOptions, IcechunkWriteOptions
from manifestry_icechunk.writer import IcechunkWriter


def numbers(directory, name="x", values=None, **more):
    directory.mkdir(parents=True, exist_ok=True)
    b = TreeBuilder(directory)
    b.array(name, np.arange(6.0) if values is None else values, (2,), dims=("t",), **more)
    return b.tree()


def opened(path, branch="main"):
    storage = icechunk.local_filesystem_storage(str(path))
    config = icechunk.Repository.fetch_config(storage)
    access = {prefix: icechunk.Credentials.LocalFileSystemAccess() for prefix in config.virtual_chunk_containers or {}}
    return icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)


def group_of(path, branch="main"):
    return zarr.open_group(opened(path).readonly_session(branch).store, mode="r")


def snapshot_of_tree(directory):
    return {str(p): p.read_bytes() for p in sorted(Path(directory).rglob("*")) if p.is_file()}


# Targets and modes


def test_an_existing_repository_is_refused_and_untouched(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(numbers(tmp_path / "a"), target)
    before = snapshot_of_tree(target)
    with pytest.raises(mf.TargetExistsError, match="holds data already"):
        mf.write(numbers(tmp_path / "b"), target)
    assert snapshot_of_tree(target) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_repository_is_never_touched(tmp_path, overwrite):
    target = tmp_path / "precious.icechunk"
    target.mkdir()
    (target / "data.nc").write_bytes(b"precious")
    with pytest.raises(mf.TargetExistsError, match="not an Icechunk repository"):
        mf.write(numbers(tmp_path / "a"), target, overwrite=overwrite)
    file = tmp_path / "file.icechunk"
    file.write_bytes(b"precious")
    with pytest.raises(mf.TargetExistsError):
        mf.write(numbers(tmp_path / "a"), file, overwrite=overwrite)
    assert file.read_bytes() == (target / "data.nc").read_bytes() == b"precious"


def test_an_empty_directory_and_a_fresh_repository_are_written(tmp_path):
    (tmp_path / "empty.icechunk").mkdir()
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "fresh.icechunk")))
    for name in ("empty", "fresh", "new/deep"):
        mf.write(numbers(tmp_path / "a"), tmp_path / f"{name}.icechunk")
        assert group_of(tmp_path / f"{name}.icechunk")["x"][2] == 2
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_overwriting_leaves_nothing_of_the_old_tree(tmp_path):
    target = tmp_path / "out.icechunk"
    old = mf.VirtualGroup(
        {**numbers(tmp_path / "a").arrays}, groups={"old": numbers(tmp_path / "a2")}, attributes={"title": "old"}
    )
    first = mf.write(old, target)
    mf.write(numbers(tmp_path / "b", values=np.arange(6.0) + 10, missing=[(1,)]), target, overwrite=True)
    root = group_of(target)
    assert dict(root.attrs) == {}
    assert [name for name, _ in root.members()] == ["x"]
    np.testing.assert_array_equal(root["x"][...], [10, 11, 0, 0, 14, 15])
    then = zarr.open_group(opened(target).readonly_session(snapshot_id=first.details["snapshot"]).store, mode="r")
    assert then["old/x"][1] == 1


def test_groups_are_written_beside_each_other(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(numbers(tmp_path / "a").with_(attributes={"title": "root"}), target)
    mf.write(numbers(tmp_path / "b", "y"), target, group="one/two")
    with pytest.raises(mf.TargetExistsError, match="the group 'one'"):
        mf.write(numbers(tmp_path / "c"), target, group="one")
    with pytest.raises(mf.TargetExistsError):
        mf.write(numbers(tmp_path / "c"), target, group="x/below")
    mf.write(numbers(tmp_path / "c", "z"), target, group="one", overwrite=True)
    root = group_of(target)
    assert sorted(path for path, _ in root.members(max_depth=None)) == ["one", "one/z", "x"]
    assert dict(root.attrs) == {"title": "root"}


def test_branches_and_tags(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(numbers(tmp_path / "a"), target, branch="dev", tag="v1")
    repository = opened(target)
    assert repository.list_branches() == {"main", "dev"}
    assert repository.lookup_tag("v1") == repository.lookup_branch("dev")
    with pytest.raises(mf.TargetExistsError, match="the tag 'v1' exists"):
        mf.write(numbers(tmp_path / "b"), target, branch="dev", overwrite=True, tag="v1")
    assert repository.lookup_tag("v1") == opened(target).lookup_branch("dev")


def test_options_are_described_and_checked(tmp_path):
    for struct in (IcechunkWriteOptions, IcechunkReadOptions):
        assert all(option.description for option in describe_options(struct))
    with pytest.raises(mf.OptionError, match="metadata is not JSON"):
        mf.write(numbers(tmp_path / "a"), tmp_path / "out.icechunk", metadata={"a": float("nan")})
    with pytest.raises(mf.OptionError, match="did you mean 'branch'"):
        mf.write(numbers(tmp_path / "a"), tmp_path / "out.icechunk", branche="x")
    assert not (tmp_path / "out.icechunk").exists()


# Objects of the caller's


def repository_with(tmp_path, *directories):
    config = icechunk.RepositoryConfig.default()
    for directory in directories:
        store = icechunk.local_filesystem_store(str(directory))
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(f"file://{directory}/", store))
    access = {f"file://{d}/": icechunk.Credentials.LocalFileSystemAccess() for d in directories}
    return icechunk.Repository.create(icechunk.in_memory_storage(), config, icechunk.containers_credentials(access))


def test_a_session_is_left_uncommitted(tmp_path):
    repository = repository_with(tmp_path, tmp_path / "a")
    for target in ("session", "store"):
        session = repository.writable_session("main")
        tree = numbers(tmp_path / "a", target)
        report = mf.write(tree, session if target == "session" else session.store, group="here")
        assert session.has_uncommitted_changes
        assert report.details["snapshot"] == ""
        session.commit("mine")
        root = zarr.open_group(repository.readonly_session("main").store, mode="r")
        assert root[f"here/{target}"][3] == 3
        repository.reset_branch("main", next(s for s in repository.ancestry(branch="main") if s.parent_id is None).id)


def test_a_session_without_the_container_is_refused_with_the_line_to_add(tmp_path):
    session = repository_with(tmp_path).writable_session("main")
    with pytest.raises(mf.UnsupportedFeatureError, match="set_virtual_chunk_container"):
        mf.write(numbers(tmp_path / "a"), session)
    assert not session.has_uncommitted_changes


def test_a_failed_write_discards_what_a_clean_session_got(tmp_path, monkeypatch):
    session = repository_with(tmp_path, tmp_path / "a").writable_session("main")
    tree = numbers(tmp_path / "a")
    monkeypatch.setattr("manifestry_icechunk.writing.staging.set_references", _fail)
    with pytest.raises(mf.WriteError, match="no space"):
        mf.write(tree, session)
    assert not session.has_uncommitted_changes


def _fail(*_):
    raise OSError(28, "no space left on device")


def test_a_repository_is_committed_to(tmp_path):
    repository = repository_with(tmp_path)
    report = mf.write(numbers(tmp_path / "a"), repository, message="from the object")
    commit = next(iter(repository.ancestry(branch="main")))
    assert (commit.id, commit.message) == (report.details["snapshot"], "from the object")


def test_a_read_only_session_is_refused(tmp_path):
    session = repository_with(tmp_path).readonly_session("main")
    with pytest.raises(mf.WriteError, match="read-only"):
        mf.write(numbers(tmp_path / "a"), session)


# Containers and locations


def containers(path):
    return sorted(
        icechunk.Repository.fetch_config(icechunk.local_filesystem_storage(str(path))).virtual_chunk_containers
    )


def test_a_container_is_the_longest_clean_parent_and_others_stay(tmp_path):
    target = tmp_path / "out.icechunk"
    first = numbers(tmp_path / "in" / "a b" / "c")
    report = mf.write(first, target)
    assert containers(target) == report.details["containers"] == [f"file://{tmp_path}/in/"]
    mf.write(numbers(tmp_path / "in" / "z"), target, group="covered")
    mf.write(numbers(tmp_path / "other"), target, group="new")
    assert containers(target) == [f"file://{tmp_path}/in/", f"file://{tmp_path}/other/"]
    assert group_of(target)["new/x"][5] == 5


@pytest.mark.parametrize("odd", ["with space", "größe 世界", "a#b", "100%25", "what?", "a+b&c=d;e'(f)"])
def test_directories_of_any_name(tmp_path, odd, fresh):
    tree = numbers(tmp_path / odd)
    report = mf.write(tree, tmp_path / f"{odd}.icechunk")
    np.testing.assert_array_equal(fresh.read(report)["arrays"]["x"][0], np.arange(6.0))


def test_a_first_directory_whose_name_needs_encoding(fresh):
    import shutil
    import tempfile

    top = Path(tempfile.mkdtemp(prefix="größe % #", dir="/"))
    try:
        report = mf.write(numbers(top / "in"), top / "out.icechunk")
        np.testing.assert_array_equal(fresh.read(report)["arrays"]["x"][0], np.arange(6.0))
        with pytest.raises(mf.UnsupportedFeatureError, match="needs encoding"):
            mf.write(numbers(top / "in"), top / "relative.icechunk", relative=True)
    finally:
        shutil.rmtree(top)


def test_relative_locations_let_the_sources_move(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(numbers(tmp_path / "in" / "a b"), target, relative=True)
    (tmp_path / "in").rename(tmp_path / "moved")
    storage = icechunk.local_filesystem_storage(str(target))
    config = icechunk.RepositoryConfig.default()
    prefix = f"file://{tmp_path}/moved/"
    store = icechunk.local_filesystem_store(str(tmp_path / "moved"))
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store, "in"))
    access = icechunk.containers_credentials({prefix: icechunk.Credentials.LocalFileSystemAccess()})
    repository = icechunk.Repository.open(storage, config, access)
    root = zarr.open_group(repository.readonly_session("main").store, mode="r")
    np.testing.assert_array_equal(root["x"][...], np.arange(6.0))


def pointing_at(url, **known):
    metadata = mf.ArrayMetadata(
        shape=(4,),
        dtype=np.dtype("u1"),
        chunk_grid=mf.RegularGrid((4,)),
        codecs=(mf.Codec("bytes"),),
        fill_value=np.uint8(0),
        dims=("t",),
    )
    return mf.VirtualGroup({"x": mf.VirtualArray(metadata, ChunkManifest.single(SourceFile(url, **known), 0, 4, (1,)))})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/" + "x" * 1013, "takes 1025 bytes"),
        ("file:///tmp/" + "ü" * 180, "takes 1092 bytes"),
        ("file:///data/new\nline", "control character"),
        ("file:///in-the-root", "root directory"),
        ("file:///#top/x.nc", "begins with ? or #"),
        ("memory://m/x", "no virtual references to memory://"),
    ],
)
def test_locations_that_readers_cannot_look_up_are_refused(tmp_path, url, said):
    with pytest.raises(mf.UnsupportedFeatureError, match="source URL that Icechunk cannot read"):
        mf.write(pointing_at(url), tmp_path / "out.icechunk")
    report = mf.write(pointing_at(url), tmp_path / "out.icechunk", on_unsupported="skip")
    assert said in report.issues[0].message
    assert report.arrays == 0


def test_a_location_of_exactly_1024_bytes_is_taken(tmp_path):
    mf.write(pointing_at("s3://bucket/" + "x" * 1012), tmp_path / "out.icechunk", sources={"region": "us-east-1"})
    assert [f.url for f in mf.parse(tmp_path / "out.icechunk").files] == ["s3://bucket/" + "x" * 1012]


# Checksums


def test_a_source_that_changed_is_noticed_unless_checksums_are_off(tmp_path):
    tree = numbers(tmp_path / "a")
    mf.write(tree, tmp_path / "checked.icechunk")
    mf.write(tree, tmp_path / "unchecked.icechunk", checksums=False)
    assert group_of(tmp_path / "checked.icechunk")["x"][0] == 0
    later = time.time() + 5
    os.utime(tmp_path / "a" / "data.bin", (later, later))
    with pytest.raises(icechunk.IcechunkError, match="checksum"):
        group_of(tmp_path / "checked.icechunk")["x"][...]
    assert group_of(tmp_path / "unchecked.icechunk")["x"][0] == 0


def test_times_are_rounded_up_and_each_file_has_its_own(tmp_path):
    directory = tmp_path / "a"
    directory.mkdir()
    b = TreeBuilder(directory)
    b.array("x", np.arange(24.0).reshape(4, 6), (1, 2), dims=("t", "x"), files=("one.bin", "two.bin", "three.bin"))
    b.tree()
    for seconds, name in enumerate(("one", "two", "three")):
        os.utime(directory / f"{name}.bin", (1e9 + seconds + 0.25, 1e9 + seconds + 0.25))
    target = tmp_path / "out.icechunk"
    mf.write(b.tree(), target)
    np.testing.assert_array_equal(group_of(target)["x"][...], np.arange(24.0).reshape(4, 6))
    os.utime(directory / "two.bin", (1e9 + 3, 1e9 + 3))
    x = group_of(target)["x"]
    assert x[0, 0] == 0
    with pytest.raises(icechunk.IcechunkError, match="checksum"):
        x[0, 2]
    assert x[0, 4] == 4


def test_times_that_icechunk_cannot_hold_are_left_out(tmp_path):
    early = datetime(1960, 1, 1, tzinfo=UTC)
    mf.write(pointing_at(f"file://{tmp_path}/x", last_modified=early), tmp_path / "out.icechunk")


# Manifests and slabs


def test_large_grids_are_split_over_manifests(tmp_path):
    target = tmp_path / "out.icechunk"
    tree = numbers(tmp_path / "a", "data set (1)", values=np.arange(10_000, dtype="u1"))
    report = mf.write(tree, target, references_per_manifest=1000)
    manifests = opened(target).list_manifest_files(report.details["snapshot"])
    assert len(manifests) == 5
    assert max(m.num_chunk_refs for m in manifests) == 1000
    np.testing.assert_array_equal(group_of(target)["data set (1)"][...], np.arange(10_000, dtype="u1"))


def test_what_is_staged_is_stored_in_parts_and_appears_at_once(tmp_path):
    target = tmp_path / "out.icechunk"
    first = mf.write(numbers(tmp_path / "a"), target)
    values = np.arange(9000, dtype="u1")
    report = mf.write(numbers(tmp_path / "b", values=values), target, overwrite=True, references_per_commit=1000)
    repository = opened(target)
    history = [(s.message, s.id) for s in repository.ancestry(branch="main")]
    assert sum(message == "part of a larger commit" for message, _ in history) == 4
    assert history[-2][1] == first.details["snapshot"]
    assert history[0][1] == report.details["snapshot"]
    assert repository.list_branches() == {"main"}
    np.testing.assert_array_equal(group_of(target)["x"][...], values)


def test_a_failure_after_parts_leaves_no_trace(tmp_path, monkeypatch):
    target = tmp_path / "out.icechunk"
    first = mf.write(numbers(tmp_path / "a"), target)
    monkeypatch.setattr("manifestry_icechunk.writing.transactions.OwnTransaction._save_config", _fail)
    values = np.arange(9000, dtype="u1")
    with pytest.raises(mf.WriteError, match="no space"):
        mf.write(numbers(tmp_path / "b", values=values), target, overwrite=True, references_per_commit=1000)
    repository = opened(target)
    assert repository.list_branches() == {"main"}
    assert repository.lookup_branch("main") == first.details["snapshot"]


def test_more_references_than_one_manifest_holds_are_refused_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr("manifestry_icechunk.writing.staging._MAX_UNSPLIT", 2)
    session = repository_with(tmp_path, tmp_path / "a").writable_session("main")
    with pytest.raises(mf.UnsupportedFeatureError, match="3 references in one manifest file"):
        mf.write(numbers(tmp_path / "a"), session)
    assert not session.has_uncommitted_changes


class PanicException(BaseException):
    """As Rust code panics: nothing that derives from Exception."""


def test_a_panic_inside_icechunk_is_an_error_of_ours(tmp_path, monkeypatch):
    target = tmp_path / "out.icechunk"
    first = mf.write(numbers(tmp_path / "a"), target)

    def panic(*_, **__):
        raise PanicException("attempt to overflow")

    monkeypatch.setattr(icechunk.Session, "commit", panic)
    with pytest.raises(mf.WriteError, match="icechunk failed internally \\(attempt to overflow\\)"):
        mf.write(numbers(tmp_path / "b"), target, overwrite=True)
    assert opened(target).lookup_branch("main") == first.details["snapshot"]


def test_trees_that_come_later_bring_their_containers_into_a_new_repository(tmp_path):
    target = tmp_path / "out.icechunk"
    session = IcechunkWriter().open(Target.of(target), Mode.CREATE, IcechunkWriteOptions(), WriteContext())
    session.write(numbers(tmp_path / "a"))
    session.write(numbers(tmp_path / "b"), Placement(append_dim="t"))
    session.commit({})
    np.testing.assert_array_equal(group_of(target)["x"][...], [*range(6), *range(6)])
