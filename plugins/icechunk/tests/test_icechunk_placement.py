"""Append and region: right where they go, refused before anything is changed where they do not."""

import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.plugin import Codec, VirtualArray
from manifestry.testing.building import TreeBuilder

ZLIB = (Codec("bytes", {"endian": "little"}), Codec("numcodecs.zlib", {"level": 1}))
UNITS = {"units": "days since 2000-01-01"}


def month(directory, start, count=4, *, chunk=2, units=UNITS, fill=None, codecs=ZLIB, missing=(), lat=None, extra=()):
    """A file of `count` steps along time: data, a coordinate in one chunk, and a constant."""
    directory.mkdir(parents=True, exist_ok=True)
    b = TreeBuilder(directory)
    data = np.arange(start * 3.0, (start + count) * 3.0, dtype="f4").reshape(count, 3)
    b.array("t2m", data, (chunk, 3), dims=("time", "lat"), codecs=codecs, fill=fill, missing=missing)
    b.array("time", np.arange(start, start + count, dtype="f8"), dims=("time",), attributes=units)
    b.array("lat", np.array([1.0, 2.0, 3.0]) if lat is None else lat, dims=("lat",))
    for name in extra:
        b.array(name, np.arange(count), dims=("time",))
    return b.tree()


def values(path, name="t2m"):
    import icechunk

    storage = icechunk.local_filesystem_storage(str(path))
    config = icechunk.Repository.fetch_config(storage)
    access = {prefix: icechunk.Credentials.LocalFileSystemAccess() for prefix in config.virtual_chunk_containers or {}}
    repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    return zarr.open_group(repository.readonly_session("main").store, mode="r")[name][...]


def commits(path):
    import icechunk

    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
    return [snapshot.id for snapshot in repository.ancestry(branch="main")]


@pytest.fixture
def store(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(month(tmp_path / "a", 0), target)
    return target


def test_append_continues_every_array(tmp_path, store, fresh):
    report = mf.write(month(tmp_path / "b", 4, 3), store, append_dim="time")  # the last chunk is partial
    read = fresh.read(report)
    np.testing.assert_array_equal(read["arrays"]["t2m"][0], np.arange(21, dtype="f4").reshape(7, 3))
    np.testing.assert_array_equal(read["arrays"]["time"][0], np.arange(7.0))
    np.testing.assert_array_equal(read["arrays"]["lat"][0], [1, 2, 3])
    assert read["decoded"]["time"][6] == np.datetime64("2000-01-07")


def test_a_coordinate_whose_chunks_do_not_continue_is_stored_anew(tmp_path, store):
    mf.write(month(tmp_path / "b", 4, 2), store, append_dim="time")
    mf.write(month(tmp_path / "c", 6, 8), store, append_dim="time")
    np.testing.assert_array_equal(values(store, "time"), np.arange(14.0))
    np.testing.assert_array_equal(values(store), np.arange(42, dtype="f4").reshape(14, 3))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chunk": 4}, "do not continue chunks of"),
        ({"codecs": (Codec("bytes", {"endian": "big"}),)}, "the codec pipeline"),
        ({"fill": 7.0, "missing": [(0, 0)]}, "what missing chunks read as"),
        ({"units": {"units": "hours since 2000-01-01"}}, "the attribute units"),
        ({"units": {**UNITS, "scale_factor": 2.0}}, "the attribute scale_factor"),
        ({"lat": np.array([1.0, 2.0, 4.0])}, "other values than the stored array"),
        ({"lat": np.array([1, 2, 3], "f4")}, "the data type"),
        ({"extra": ("wind",)}, "there is no such array"),
    ],
)
def test_append_refuses_what_would_change_values(tmp_path, store, changes, said):
    before = commits(store)
    with pytest.raises(mf.IncompatibleArraysError, match=said):
        mf.write(month(tmp_path / "b", 4, **changes), store, append_dim="time", rewrite_below=40)
    assert commits(store) == before
    np.testing.assert_array_equal(values(store), np.arange(12, dtype="f4").reshape(4, 3))


def test_append_refuses_to_leave_an_array_shorter(tmp_path, store):
    with pytest.raises(mf.IncompatibleArraysError, match="time: is stored with the dimension 'time' and missing"):
        mf.write(month(tmp_path / "b", 4).select(exclude=["time"]), store, append_dim="time")


def test_append_refuses_a_partial_last_chunk(tmp_path):
    target = tmp_path / "out.icechunk"
    mf.write(month(tmp_path / "a", 0, 3), target)
    with pytest.raises(mf.IncompatibleArraysError, match="does not begin at 3"):
        mf.write(month(tmp_path / "b", 3), target, append_dim="time", rewrite_below=32)
    mf.write(month(tmp_path / "c", 3), target, append_dim="time")  # small enough to be stored anew
    np.testing.assert_array_equal(values(target), np.arange(21, dtype="f4").reshape(7, 3))


def test_what_is_advised_helps(tmp_path, store):
    """An array that is not stored is left out by its path; what is stored is not left out for being different."""
    more = month(tmp_path / "b", 4, extra=("wind",))
    with pytest.raises(
        mf.IncompatibleArraysError, match=r"wind: there is no such array.*select\(exclude=\['/wind'\]\)"
    ):
        mf.write(more, store, append_dim="time")
    mf.write(more.select(exclude=["/wind"]), store, append_dim="time")
    np.testing.assert_array_equal(values(store), np.arange(24, dtype="f4").reshape(8, 3))
    with pytest.raises(mf.IncompatibleArraysError, match="other values than the stored array") as caught:
        mf.write(month(tmp_path / "c", 8, lat=np.array([1.0, 2.0, 4.0])), store, append_dim="time")
    assert "exclude" not in str(caught.value)


def test_storing_anew_is_advised_where_it_is_exact(tmp_path):
    def lossy(path, array):
        codecs = (Codec("numcodecs.bitround", {"keepbits": 20}), *array.metadata.codecs)
        return VirtualArray(array.metadata.with_(codecs=codecs), array.manifest) if path == "t2m" else array

    first, second = month(tmp_path / "a", 0, 3), month(tmp_path / "b", 3)
    exact, rounded = tmp_path / "exact.icechunk", tmp_path / "rounded.icechunk"
    mf.write(first, exact)
    with pytest.raises(mf.IncompatibleArraysError, match=r"rewrite_below=32 bytes are stored anew .* takes 48"):
        mf.write(second, exact, append_dim="time", rewrite_below=32)
    mf.write(second, exact, append_dim="time", rewrite_below=48)
    np.testing.assert_array_equal(values(exact), np.arange(21, dtype="f4").reshape(7, 3))
    mf.write(first.map_arrays(lossy), rounded)
    with pytest.raises(mf.IncompatibleArraysError, match=r"cannot be stored anew exactly with numcodecs\.bitround$"):
        mf.write(second.map_arrays(lossy), rounded, append_dim="time", rewrite_below=32)


def test_append_needs_a_dimension_of_the_tree_and_a_repository(tmp_path, store):
    with pytest.raises(mf.IncompatibleArraysError, match="no array of the tree has the dimension 'z'"):
        mf.write(month(tmp_path / "b", 4), store, append_dim="z")
    with pytest.raises(mf.SourceError, match="no Icechunk repository"):
        mf.write(month(tmp_path / "b", 4), tmp_path / "none.icechunk", append_dim="time")


def test_region_replaces_references_and_deletes_stale_ones(tmp_path, store):
    gap = month(tmp_path / "b", 100, 2, missing=[(0, 0)]).select(include=["t2m"])
    mf.write(gap, store, region={"time": (2, 4)})
    np.testing.assert_array_equal(values(store)[2:], np.zeros((2, 3), "f4"))
    np.testing.assert_array_equal(values(store)[:2], np.arange(6, dtype="f4").reshape(2, 3))


@pytest.mark.parametrize(
    ("region", "count", "said"),
    [
        ((1, 3), 2, "does not begin at 1"),
        ((0, 3), 3, "does not end at 3"),
        ((2, 6), 4, "lies outside of 0:4"),
        ((0, 4), 2, "and \\(4, 3\\) is needed"),
    ],
)
def test_region_refuses_what_is_not_aligned(tmp_path, store, region, count, said):
    tree = month(tmp_path / "b", 100, count).select(include=["t2m"])
    with pytest.raises(mf.IncompatibleArraysError, match=said):
        mf.write(tree, store, region={"time": region}, rewrite_below=0)
    np.testing.assert_array_equal(values(store), np.arange(12, dtype="f4").reshape(4, 3))


def test_negative_zeros_survive_storing_anew(tmp_path):
    for name, data in (("a", [1.0, 2.0, 3.0]), ("b", [-0.0, -0.0, -0.0])):
        (tmp_path / name).mkdir()
        b = TreeBuilder(tmp_path / name)
        b.array("x", np.array(data), dims=("t",))
        if name == "a":
            mf.write(b.tree(), tmp_path / "out.icechunk")
        else:
            mf.write(b.tree(), tmp_path / "out.icechunk", append_dim="t")
    assert np.signbit(values(tmp_path / "out.icechunk", "x")).tolist() == [False] * 3 + [True] * 3
