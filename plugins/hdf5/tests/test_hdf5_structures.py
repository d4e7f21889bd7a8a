"""The readers of chunk indexes against libhdf5's own listing, and against damage."""

import os
import struct
from contextlib import closing

import h5py
import manifestry as mf
import numpy as np
import pytest
from examples import examples
from hdf5_library import address_of, chunks_of, opened
from hypothesis import HealthCheck, given, settings, strategies as st
from manifestry.plugin import MalformedFileError, Source
from manifestry_hdf5.file_bytes import LocalFile
from manifestry_hdf5.structures.batched_reads import Blocks, read_together, remote_fetch
from manifestry_hdf5.structures.checksum import check_blocks, lookup3_of
from manifestry_hdf5.structures.chunk_indexes.chunks import Extent, read_chunks
from manifestry_hdf5.structures.data_objects.data_layout_message import LAYOUT_MESSAGE, ChunkIndex, parse_layout

LATEST = ("v114", "v114")
LONG = "MANIFESTRY_LONG_TESTS" in os.environ


def tables(path, name="d"):
    """The chunks of a dataset as read from the bytes, as libhdf5 lists them, and the kind of the index."""
    with opened(path) as (file, library):
        dataset = h5py.h5d.open(library.id, name.encode())
        header = file.objects.header(address_of(dataset))
        layout = parse_layout(next(m.data for m in header if m.kind == LAYOUT_MESSAGE), file.superblock)
        space = dataset.get_space()
        maximum = [-1 if n == h5py.h5s.UNLIMITED else n for n in space.get_simple_extent_dims(maxdims=True)]
        extent = Extent.of(dataset.shape, maximum, layout.chunk_shape)
        [own] = read_together([read_chunks(layout, file.superblock, extent, 1 << 40)], file.fetch_index)
        if isinstance(own, Exception):
            raise own
        extensible = layout.index is ChunkIndex.EXTENSIBLE_ARRAY
        other = chunks_of(dataset, extent, layout.chunk_shape, extensible=extensible)
    return sorted_table(own), sorted_table(other), layout.index


def sorted_table(table):
    order = np.argsort(table.positions)
    return [column[order].tolist() for column in table]


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_own_reader_agrees_with_libhdf5(tmp_path, data):
    ndim = data.draw(st.integers(1, 3))
    shape = data.draw(st.lists(st.integers(1, 30), min_size=ndim, max_size=ndim))
    chunks = [data.draw(st.integers(1, n)) for n in shape]
    maximum = [data.draw(st.sampled_from([n, n + 7, None])) for n in shape]
    libver = data.draw(st.sampled_from(["earliest", LATEST]))
    filters = data.draw(st.sampled_from([{}, {"compression": "gzip"}, {"compression": "lzf", "fletcher32": True}]))
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=libver) as file:
        dataset = file.create_dataset("d", shape, "i2", chunks=tuple(chunks), maxshape=maximum, **filters)
        for _ in range(data.draw(st.integers(0, 3))):
            corner = [data.draw(st.integers(0, n - 1)) for n in shape]
            dataset[tuple(slice(a, None) for a in corner)] = 3
        if maximum[0] is None and data.draw(st.booleans()):
            dataset.resize(data.draw(st.integers(1, 40)), axis=0)
    own, other, _ = tables(path)
    assert own == other


@pytest.mark.parametrize(
    ("libver", "maximum", "kind"),
    [
        ("earliest", None, ChunkIndex.BTREE_V1),
        (LATEST, None, ChunkIndex.FIXED_ARRAY),
        (LATEST, (None, 2), ChunkIndex.EXTENSIBLE_ARRAY),
        (LATEST, (150_000, None), ChunkIndex.EXTENSIBLE_ARRAY),
        (LATEST, (None, None), ChunkIndex.BTREE_V2),
    ],
)
def test_large_indexes(tmp_path, libver, maximum, kind):
    """Several levels (two full nodes of a version 2 B-tree hold 7,225 chunks), and pages, some of them never written.

    Data blocks of extensible arrays have pages behind the first 131,056 elements.
    """
    path = tmp_path / "file.h5"
    written = [(0, 100_000 if LONG else 5_000), (104_000, 105_000), (131_000, 133_000), (146_000, 150_000)]
    with h5py.File(path, "w", libver=libver) as file:
        dataset = file.create_dataset("d", (150_000, 2), "i1", chunks=(1, 2), maxshape=maximum)
        for first, end in written:
            dataset[first:end] = 1
    own, other, index = tables(path)
    assert index is kind
    assert len(own[0]) == sum(end - first for first, end in written)
    assert own == other


def test_checksums():
    """The examples of Jenkins' lookup3.c, of bytes and of rows."""
    texts = {b"": 0xDEADBEEF, b"Four score and seven years ago": 0x17770551}
    for text, expected in texts.items():
        assert lookup3_of(text) == expected
        row = np.frombuffer(text + expected.to_bytes(4, "little"), "u1")
        check_blocks(np.stack([row, row]), len(text), np.array([7, 9]), "node")
        with pytest.raises(MalformedFileError, match="node at byte 9"):
            check_blocks(np.stack([row, row ^ 1]), len(text), np.array([7, 9]), "node")


@pytest.fixture(params=["earliest", "latest"])
def sample(request, tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w", libver=request.param) as file:
        for name, maximum in (("fixed", None), ("extensible", (None, 12)), ("tree", (None, None))):
            data = np.arange(240).reshape(20, 12)
            file.create_dataset(name, data=data, chunks=(3, 4), maxshape=maximum, compression="gzip")
        file["group/text"] = ["one", "two"]
        file["group"].attrs["title"] = "sample"
    return path


def parse_or_refuse(path):
    """What parsing a damaged file may do: give a tree, or raise one of our own errors."""
    try:
        return mf.parse(path, on_unsupported="skip", format="hdf5")
    except mf.PluginError:
        raise  # what no code of ours foresaw
    except mf.ManifestryError as error:
        return str(error)


def test_truncated_files(sample, tmp_path):
    data = sample.read_bytes()
    path = tmp_path / "cut.h5"
    for size in range(0, len(data), 512):
        path.write_bytes(data[:size])
        parse_or_refuse(path)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 1 << 30), bit=st.integers(0, 7))
def test_flipped_bits(sample, tmp_path, position, bit):
    data = bytearray(sample.read_bytes())
    data[position % len(data)] ^= 1 << bit
    path = tmp_path / "flipped.h5"
    path.write_bytes(data)
    parse_or_refuse(path)


def damaged(path, signature, change, which=0):
    """Change the bytes after the signature of a structure."""
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(which + 1):
        at = data.index(signature, at + 1)
    change(data, at)
    path.write_bytes(data)


@pytest.mark.parametrize("signature", [b"FADB", b"EAIB", b"EADB", b"BTLF", b"FAHD", b"EAHD", b"BTHD"])
def test_damaged_structures_are_named(tmp_path, signature):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=LATEST) as file:
        for name, maximum in (("fixed", None), ("extensible", (None, 12)), ("tree", (None, None))):
            file.create_dataset(name, data=np.ones((40, 12), "i2"), chunks=(1, 2), maxshape=maximum)

    def wipe(data, at):
        data[at : at + 4] = b"????"

    damaged(path, signature, wipe)
    tree = mf.parse(path, on_unsupported="skip")
    assert len(tree.arrays) == 2
    [issue] = tree.issues
    assert issue.feature == "malformed"
    assert "at byte" in issue.message


def test_cycle_in_a_btree(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("d", data=np.ones(2000, "i2"), chunks=(1,))

    def point_at_itself(data, at):
        first_child = at + 24 + 24  # header, then a key of one dimension and the element size
        data[first_child : first_child + 8] = struct.pack("<Q", at)

    data = path.read_bytes()
    nodes = [i for i in range(len(data)) if data.startswith(b"TREE\x01", i)]
    root = next(i for i in nodes if data[i + 5] > 0)
    changed = bytearray(data)
    point_at_itself(changed, root)
    path.write_bytes(changed)
    [issue] = mf.parse(path, on_unsupported="skip").issues
    assert "version 1 B-tree node" in issue.message


def test_absurd_counts_are_bounded(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=LATEST) as file:
        file.create_dataset("d", (10**15,), "i1", chunks=(1,), maxshape=(None,))
        file.create_dataset("e", (10**15,), "i1", chunks=(10**9,))
    tree = mf.parse(path, on_unsupported="skip")
    assert tree.arrays["d"].manifest.nbytes < 10_000
    assert tree.arrays["e"].manifest.stored_count == 0


def test_blocks_are_the_same_from_memory_and_from_ranges(tmp_path):
    from obstore.store import MemoryStore

    data = np.random.default_rng(0).integers(0, 256, 300_000, "u1").tobytes()
    path = tmp_path / "data.bin"
    path.write_bytes(data)
    store = MemoryStore()
    store.put("data.bin", data)
    wanted = [Blocks(np.array([5, 299_990, 70_000, 60]), 100), Blocks(np.array([400_000]), 8), Blocks(np.array([0]), 0)]
    with closing(LocalFile(path, len(data))) as file:
        local = file.fetch(wanted)
    remote = remote_fetch(Source("memory://here/data.bin", {"memory://here": store}))(wanted)
    for a, b in zip(local, remote, strict=True):
        assert np.array_equal(a, b)
    assert local[0][0].tobytes() == data[5:105]
    assert local[0][1].tobytes() == data[299_990:] + bytes(90)
