"""What is refused because libhdf5 lost it, and what is not allocated because the file cannot hold it."""

import tracemalloc

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5f, h5p, h5s, h5t, h5z
from manifestry.plugin import MalformedFileError
from manifestry.testing.refusing import refuses
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.global_heap import SIGNATURE, GlobalHeap

VALUES = np.arange(8.0)


@pytest.fixture(params=[2, 4, 8])
def short(request, tmp_path):
    """A file whose addresses have so many bytes, with references of each form."""
    path, creation = tmp_path / "short.h5", h5p.create(h5p.FILE_CREATE)
    creation.set_sizes(request.param, 8)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, fcpl=creation)) as file:
        first, second = (file.create_group(name) for name in "ab")
        data = file.create_dataset("d", data=VALUES)
        scale = file.create_dataset("x", data=VALUES)
        scale.make_scale("x")
        data.dims[0].attach_scale(scale)
        references = [first.ref, second.ref]
        sequence = np.empty((), object)
        sequence[()] = np.array(references, object)
        record = np.dtype([("n", "i4"), ("r", h5py.ref_dtype)])
        file.attrs.create("one", second.ref, dtype=h5py.ref_dtype)
        file.attrs.create("array", references, dtype=h5py.ref_dtype)
        file.attrs.create("regions", [data.regionref[1:2]] * 2, dtype=h5py.regionref_dtype)
        file.attrs.create("sequence", sequence, shape=(), dtype=h5py.vlen_dtype(h5py.ref_dtype))
        file.attrs.create("records", np.array([(1, first.ref), (2, second.ref)], record))
    return path, request.param


def test_references_in_files_with_short_addresses(short):
    path, address_bytes = short
    tree = mf.parse(path)
    both = [mf.Reference("/a"), mf.Reference("/b")]
    assert tree.attributes["one"] == both[1]
    assert list(tree.attributes["sequence"]) == both
    assert [record["r"] for record in tree.attributes["records"]] == both
    assert tree.arrays["d"].dims == ("x",)
    refused = {issue.path: str(issue) for issue in tree.issues if "several references" in str(issue)}
    if address_bytes == 8:
        assert not refused
        assert list(tree.attributes["array"]) == both
    else:  # of which libhdf5 wrote only the first half or quarter
        assert set(refused) == {"@array", "@regions"}
        assert not {"array", "regions"} & set(tree.attributes)


def filtered(path, *filters, stored=None):
    """A dataset ``v`` behind filters, each a number and its client data; its first chunk as it is `stored`."""
    with h5py.File(path, "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((5,))
        for number, data in filters:
            if number == h5z.FILTER_SZIP:
                properties.set_szip(h5z.SZIP_NN_OPTION_MASK, 4)
            elif number == h5z.FILTER_SCALEOFFSET:
                properties.set_scaleoffset(*data)
            else:
                properties.set_filter(number, 0, data)
        made = h5d.create(file.id, b"v", h5t.IEEE_F64LE, h5s.create_simple(VALUES.shape), properties)
        if stored is None:
            h5py.Dataset(made)[...] = VALUES
        else:
            made.write_direct_chunk((0,), stored)
    return path


DEFLATE, SZIP, FLETCHER = (h5z.FILTER_DEFLATE, (6,)), (h5z.FILTER_SZIP, ()), (h5z.FILTER_FLETCHER32, ())
SHUFFLE, SCALED = (h5z.FILTER_SHUFFLE, ()), (h5z.FILTER_SCALEOFFSET, (h5z.SO_FLOAT_DSCALE, 2))


@pytest.mark.parametrize(
    ("filters", "feature"),
    [
        ((DEFLATE, SCALED), "filter 6 (scaleoffset) after another compression"),
        ((SZIP, SCALED), "filter 6 (scaleoffset) after another compression"),
        ((DEFLATE, SZIP), "filter 4 (szip) after another compression"),
        ((SCALED, SZIP), "filter 4 (szip) after another compression"),
        ((FLETCHER, SZIP), "filter 4 (szip) of 44 bytes in pixels of 8"),
    ],
)
def test_filters_that_lose_bytes_of_the_one_before_are_refused(tmp_path, filters, feature):
    path = filtered(tmp_path / "f.h5", *filters, stored=bytes(50))  # libhdf5 spoils memory with some of them
    tree = mf.parse(path, on_unsupported="skip")
    assert [issue.feature for issue in tree.issues] == [feature]


@pytest.mark.parametrize("filters", [(FLETCHER,), (SHUFFLE,), (SHUFFLE, FLETCHER)])
@pytest.mark.parametrize("size", [2, 41, 100])
def test_chunks_of_another_size_than_filters_leave_them(tmp_path, filters, size):
    path = filtered(tmp_path / "f.h5", *filters)
    assert mf.parse(path).arrays["v"].shape == VALUES.shape
    with h5py.File(path, "a") as file:
        file["v"].id.write_direct_chunk((0,), bytes(size), 0)
    with refuses(match=f"a chunk of {size} bytes where 4[04] are expected"):
        mf.parse(path)


@pytest.mark.parametrize("filters", [(SZIP,), (SCALED,), (SCALED, DEFLATE), (SZIP, DEFLATE), (SZIP, FLETCHER)])
def test_filters_in_an_order_that_loses_nothing(tmp_path, filters):
    path = filtered(tmp_path / "f.h5", *filters)
    with h5py.File(path) as file:
        assert read(path).tolist() == file["v"][...].tolist()


def read(path):
    return zarr.open_group(mf.open_store(mf.parse(path)), mode="r")["v"][...]


def test_a_small_chunk_that_a_filter_made_longer_is_copied(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("v", (3,), "u1", chunks=(2,), scaleoffset=0, compression="gzip")
        data[:2] = 7, 9
        data.id.write_direct_chunk((2,), b"\5\0", 3)
    assert read(path).tolist() == [7, 9, 5]


def test_parts_of_a_virtual_dataset_without_elements(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["full"] = np.arange(4)
        file.create_dataset("empty", (0,), "i8", chunks=(2,), maxshape=(None,))
        layout = h5py.VirtualLayout((2, 4), "i8")
        layout[0] = h5py.VirtualSource(file["full"])
        layout[1, :0] = h5py.VirtualSource(file["empty"])[:0]
        file.create_virtual_dataset("v", layout, fillvalue=3)
    assert read(path).tolist() == [[0, 1, 2, 3], [3, 3, 3, 3]]


def peak(action):
    """What an action returns, and the bytes that it took at most."""
    tracemalloc.start()
    try:
        return action(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_grid_of_many_chunks_of_which_few_are_stored_is_refused(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (1 << 40,), "u1", chunks=(1 << 14,), maxshape=(None,))[5] = 1
        file.create_dataset("few", (1 << 30,), "u1", chunks=(1 << 14,))[5] = 1
        file.create_dataset("none", (1 << 40,), "u1", chunks=(1 << 14,))
    tree, taken = peak(lambda: mf.parse(path, on_unsupported="skip"))
    assert [(issue.path, issue.feature) for issue in tree.issues] == [("v", "nearly empty chunk grid")]
    assert set(tree.arrays) == {"few", "none"}
    assert taken < 50 << 20


def test_elements_longer_than_the_file_are_refused(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (2,), f"V{1 << 28}")
        file.create_dataset("w", (2,), f"V{1 << 20}")
    tree, taken = peak(lambda: mf.parse(path, on_unsupported="skip"))
    assert [(issue.path, issue.feature) for issue in tree.issues] == [("v", f"elements of {1 << 28} bytes")]
    assert set(tree.arrays) == {"w"}
    assert taken < 50 << 20


def test_copied_arrays_do_not_take_what_their_chunks_would(tmp_path):
    path = tmp_path / "f.h5"
    record = np.dtype([("t", h5py.string_dtype()), ("n", "i4")])
    with h5py.File(path, "w") as file:
        values = np.array([("a" * 100, n) for n in range(3)], record)
        file.create_dataset("v", data=values, chunks=(1 << 20,), maxshape=(None,), compression="gzip")
    tree, taken = peak(lambda: mf.parse(path))
    assert tree.arrays["v"].metadata.chunk_grid.chunk_shape == (3,)
    assert read(path)["n"].tolist() == [0, 1, 2]
    assert taken < 100 << 20


def test_heap_collections_inside_others_are_refused():
    data = b""
    for _ in range(4):  # each is the only object of the one around it
        data = (
            SIGNATURE
            + (32 + len(data)).to_bytes(8, "little")
            + b"\1".ljust(8, b"\0")
            + len(data).to_bytes(8, "little")
            + data
        )
    superblock = Superblock(base=0, root=0, end=128, offset_size=8, length_size=8, size=128)
    heap = GlobalHeap(lambda start, stop: data[start:stop], superblock)
    assert len(heap.collection(0)[1]) == 96
    with pytest.raises(MalformedFileError, match="overlaps with others"):
        heap.collection(32)
