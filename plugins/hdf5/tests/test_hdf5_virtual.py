"""Virtual datasets: what they show is what libhdf5 reads, by references or by copied values, or is refused."""

import contextlib

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from examples import examples
from h5py import h5d, h5p, h5s, h5t
from hypothesis import HealthCheck, given, settings, strategies as st

KINDS = {
    "i4": np.arange(12, dtype="i4"),
    "texts": np.array([f"text {i}" for i in range(12)], object),
    "S": np.array([f"{i}" for i in range(12)], "S4"),
    "records": np.array([(i, i / 2) for i in range(12)], [("a", "<i2"), ("b", ">f8")]),
}


def virtual(file, name, kind, mappings, shape, fill=None):
    """A virtual dataset of ``(selection here, file, path, selection there)``."""
    properties = h5p.create(h5p.DATASET_CREATE)
    if fill is not None:
        properties.set_fill_value(np.array(fill))
    for here, other, path, there in mappings:
        properties.set_virtual(here, other.encode(), path.encode(), there)
    return h5d.create(file.id, name.encode(), kind, h5s.create_simple(shape, (h5s.UNLIMITED,) * len(shape)), properties)


def selected(shape, *slabs, maximum=None):
    space = h5s.create_simple(shape, maximum)
    for number, slab in enumerate(slabs):
        space.select_hyperslab(*slab, op=h5s.SELECT_OR if number else h5s.SELECT_SET)
    return space


def check(path, name="d"):
    """Compare a virtual dataset with what libhdf5 reads; returns its array."""
    tree = mf.parse(path)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    with contextlib.chdir(path.parent), h5py.File(path) as file:
        expected = file[name][...]
    got = root[name][...]
    assert got.shape == expected.shape
    if expected.dtype == object:
        expected = np.array([v.decode() for v in expected.reshape(-1)], object).reshape(expected.shape)
    assert got.tolist() == expected.tolist()
    return tree.arrays[name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunks", [None, (4,), (5,)])
def test_sources_of_every_layout(tmp_path, kind, chunks):
    values = KINDS[kind]
    with h5py.File(tmp_path / "source.h5", "w") as file:
        dtype = h5py.string_dtype() if kind == "texts" else values.dtype
        file.create_dataset("x", data=values, dtype=dtype, chunks=chunks)
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        layout = h5py.VirtualLayout((20,), dtype)
        source = h5py.VirtualSource("source.h5", "x", (12,))
        layout[4:12] = source[4:12]
        layout[12:15] = source[0:3]
        file.create_virtual_dataset("d", layout)
    check(path)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_selections(tmp_path, data):
    """Steps, blocks, several slabs, other ranks: elements stand for each other in the order of the selections."""
    rank = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.lists(st.integers(2, 7), min_size=rank, max_size=rank)))

    def slab(lengths):
        start, count, stride, block = [], [], [], []
        for n in lengths:
            b = data.draw(st.integers(1, n))
            s = data.draw(st.integers(b, n))
            c = data.draw(st.integers(1, (n - b) // s + 1))
            start.append(data.draw(st.integers(0, n - (c - 1) * s - b)))
            block.append(b), stride.append(s), count.append(c)
        return tuple(start), tuple(count), tuple(stride), tuple(block)

    there = selected(shape, *(slab(shape) for _ in range(data.draw(st.integers(1, 2)))))
    count = there.get_select_npoints()
    with h5py.File(tmp_path / "source.h5", "w") as file:
        chunks = data.draw(st.sampled_from([None, tuple(max(1, n // 2) for n in shape)]))
        file.create_dataset("x", data=np.arange(np.prod(shape), dtype="i4").reshape(shape) + 1, chunks=chunks)
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        here = selected((count + 3,), ((data.draw(st.integers(0, 3)),), (count,)))
        virtual(file, "d", h5t.STD_I32LE, [(here, "source.h5", "/x", there)], (count + 3,), np.int32(-1))
    check(path)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_boxes_of_several_sources(tmp_path, data):
    """Boxes of one, two or three dimensions, with some of the length 1, in their places of a larger whole."""
    rank = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.lists(st.integers(2, 8), min_size=rank, max_size=rank)))
    chunks = data.draw(st.sampled_from([None, "whole", "rows"]))
    path, taken = tmp_path / "file.h5", np.zeros(shape, bool)
    with h5py.File(path, "w", libver="latest") as file:
        mappings = []
        for number in range(data.draw(st.integers(1, 3))):
            start = [data.draw(st.integers(0, n - 1)) for n in shape]
            count = [data.draw(st.integers(1, n - a)) for n, a in zip(shape, start, strict=True)]
            box = tuple(slice(a, a + n) for a, n in zip(start, count, strict=True))
            if taken[box].any():
                continue
            taken[box] = True
            before = [data.draw(st.integers(0, 2)) for _ in count]
            whole = [a + n + data.draw(st.integers(0, 2)) for a, n in zip(before, count, strict=True)]
            values = np.arange(np.prod(whole), dtype="i4").reshape(whole) + 1000 * number
            options = {None: {}, "whole": {"chunks": tuple(whole)}, "rows": {"chunks": (1, *whole[1:])}}[chunks]
            file.create_dataset(f"x{number}", data=values, **options)
            there = selected(tuple(whole), (tuple(before), tuple(count)))
            mappings.append((selected(shape, (tuple(start), tuple(count))), ".", f"/x{number}", there))
        virtual(file, "d", h5t.STD_I32LE, mappings, shape, np.int32(-1))
    check(path)


def test_a_series_of_files_with_a_gap_after_it(tmp_path):
    for number in (0, 1, 3):
        with h5py.File(tmp_path / f"part{number}.h5", "w") as file:
            file["x"] = np.arange(4) + 10 * number
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        here = h5s.create_simple((4,), (h5s.UNLIMITED,))
        here.select_hyperslab((0,), (h5s.UNLIMITED,), (4,), (4,))
        virtual(file, "d", h5t.STD_I64LE, [(here, "part%b.h5", "/x", h5s.create_simple((4,)))], (4,))
    array = check(path)
    assert array.shape == (8,)
    assert len(array.manifest.files) == 2


def test_the_longest_of_several_sources_without_an_end(tmp_path):
    for name, length in (("a", 3), ("b", 5)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("x", data=np.arange(length), maxshape=(None,), chunks=(2,))
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        mappings = []
        for row, name in enumerate("ab"):
            here = selected((1, 2), ((0, row), (h5s.UNLIMITED, 1)), maximum=(h5s.UNLIMITED, 2))
            there = selected((1,), ((0,), (h5s.UNLIMITED,)), maximum=(h5s.UNLIMITED,))
            mappings.append((here, f"{name}.h5", "/x", there))
        virtual(file, "d", h5t.STD_I64LE, mappings, (1, 2), np.int64(-7))
    assert check(path).shape == (5, 2)


@pytest.mark.parametrize(
    ("own", "other", "refused"),
    [
        ("i8", "i4", False),
        ("f8", "f4", False),
        ("S5", "S3", False),
        ("i4", "i8", True),
        ("i4", "f4", True),
        ("S3", "S5", True),
    ],
)
def test_sources_of_another_type(tmp_path, own, other, refused):
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["x"] = np.arange(6).astype(other)
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        layout = h5py.VirtualLayout((6,), own)
        layout[:] = h5py.VirtualSource("source.h5", "x", (6,))
        file.create_virtual_dataset("d", layout)
    if not refused:
        check(path)
        return
    with pytest.raises(mf.UnsupportedFeatureError, match="source of another type"):
        mf.parse(path)


def test_a_text_is_no_fixed_string(tmp_path):
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["x"] = np.array([b"ab", b"c"])
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        layout = h5py.VirtualLayout((2,), h5py.string_dtype())
        layout[:] = h5py.VirtualSource("source.h5", "x", (2,))
        file.create_virtual_dataset("d", layout)
    with pytest.raises(mf.UnsupportedFeatureError, match="source of another type"):
        mf.parse(path)


def test_virtual_datasets_that_are_their_own_source(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for name, source in (("a", "/b"), ("b", "/a"), ("c", "/c")):
            virtual(file, name, h5t.STD_I32LE, [(h5s.create_simple((4,)), ".", source, h5s.create_simple((4,)))], (4,))
        here = selected((2,), ((0,), (h5s.UNLIMITED,)), maximum=(h5s.UNLIMITED,))
        virtual(file, "endless", h5t.STD_I32LE, [(here, ".", "/endless", here)], (2,))
    tree = mf.parse(path, on_unsupported="skip")
    assert {issue.path for issue in tree.issues} == {"a", "b", "c", "endless"}
    assert {issue.feature for issue in tree.issues} == {"virtual dataset that is its own source"}
