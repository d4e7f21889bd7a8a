"""ChunkManifest and FileTable: columns, canonical form, size, pickling, equality, indexing."""

import gc
import math
import pickle
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.errors import IncompatibleArraysError, ManifestError, UnsupportedFeatureError
from manifestry.model.codecs import Codec
from manifestry.model.files import FileTable, SourceFile
from manifestry.model.limits import Budget, Limits
from manifestry.model.manifest import INLINE, ChunkManifest, ChunkReference
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray
from manifestry.model.validation import validate_array
from manifestry.testing.strategies import chunk_manifests, file_tables

A, B = SourceFile("file:///a", 1000), SourceFile("s3://b/c", None, '"tag"', datetime(2020, 1, 2, tzinfo=UTC))


def references(manifest):
    """What a manifest says, chunk by chunk, through its index."""
    return [manifest[at] for at in np.ndindex(*manifest.grid_shape)]


def contents(manifest):
    """Over the grid, what each chunk is; of inline chunks the bytes, wherever they lie in the blob."""
    grid = np.empty(manifest.size, object)
    grid[:] = [r if r is None or r.data is None else r.data for r in references(manifest)]
    return grid.reshape(manifest.grid_shape)


CHANGES = {
    "turned": np.transpose,
    "flat": np.ravel,
    "one more dimension": lambda grid: grid[None],
    "three times": lambda grid: np.broadcast_to(grid, (3, *grid.shape)),
    "without the first": lambda grid: grid.reshape(-1)[1:],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@given(manifest=chunk_manifests())
@settings(max_examples=examples(20), deadline=None)
def test_a_rearranged_manifest_has_the_references_at_their_new_places(change, manifest):
    assert contents(manifest.rearrange(change)).tolist() == change(contents(manifest)).tolist()


@given(chunk_manifests(), st.data())
@settings(max_examples=examples(40), deadline=None)
def test_a_joined_manifest_has_the_references_of_its_parts(manifest, data):
    manifest = manifest.rearrange(np.atleast_1d)
    axis = data.draw(st.integers(0, len(manifest.grid_shape) - 1))
    parts = [manifest, manifest.rearrange(np.flip)]
    if manifest.size:
        parts.append(manifest.with_inline(np.array([0]), 1, 2, b"abc"))
        assert contents(parts[-1]).flat[0] == b"bc"
    joined = ChunkManifest.concatenate(parts, axis)
    assert contents(joined).tolist() == np.concatenate([contents(part) for part in parts], axis).tolist()
    taller = manifest.rearrange(lambda grid: np.concatenate([grid[None]] * 2))
    with pytest.raises(IncompatibleArraysError, match="cannot be joined"):
        ChunkManifest.concatenate([taller, manifest.rearrange(lambda grid: grid[None])], 1)


def test_constant_columns_stay_constant():
    manifest = ChunkManifest.from_columns((2, 500_000_000), [A], 0, 7, 3)
    moved = manifest.rearrange(lambda grid: grid[:, None])
    joined = ChunkManifest.concatenate([moved, moved], 0)
    assert [column.ndim for column in (joined.file_index, joined.offsets, joined.lengths)] == [0, 0, 0]
    assert joined.grid_shape == (4, 1, 500_000_000)
    assert joined[3, 0, 9] == ChunkReference(A, 7, 3)


@given(chunk_manifests())
@settings(max_examples=examples(100), deadline=None)
def test_columns_index_dict_runs_and_pickle_agree(manifest):
    index, offsets, lengths = (column.tolist() for column in manifest.columns())
    found = references(manifest)
    for reference, row, offset, length in zip(found, index, offsets, lengths, strict=True):
        if length == 0:
            assert reference is None
        elif row == INLINE:
            assert reference == ChunkReference(None, offset, length, manifest.inline[offset : offset + length])
        else:
            assert reference == ChunkReference(manifest.files[row], offset, length)
    assert list(manifest.to_dict().values()) == [reference for reference in found if reference is not None]
    assert manifest.stored.tolist() == [length > 0 for length in lengths]
    assert manifest.inlined.tolist() == [
        length > 0 and row == INLINE for row, length in zip(index, lengths, strict=True)
    ]
    assert (manifest.stored_count, manifest.stored_bytes) == (sum(n > 0 for n in lengths), sum(lengths))
    runs = [run.file for run in manifest.runs() for _ in range(run.start, run.stop)]
    assert runs == [None if n == 0 else row for row, n in zip(index, lengths, strict=True)]
    copy = pickle.loads(pickle.dumps(manifest))
    assert copy == manifest
    assert hash(copy) == hash(manifest)
    assert not copy.lengths.flags.writeable


@given(chunk_manifests(), st.randoms())
@settings(max_examples=examples(50), deadline=None)
def test_equality_is_of_references_not_of_tables(manifest, random):
    rows = list(range(len(manifest.files)))
    random.shuffle(rows)
    table = manifest.files.take(np.array(rows, "i8"))
    new_row = np.append(np.argsort(rows).astype("u4"), INLINE).astype("u4")
    index, offsets, lengths = manifest.columns()
    moved = new_row[np.where(index == INLINE, len(rows), index)]
    shuffled = ChunkManifest.from_columns(manifest.grid_shape, table, moved, offsets, lengths, inline=manifest.inline)
    assert shuffled == manifest
    if manifest.stored_count:
        at = np.flatnonzero(lengths)[0]
        longer = lengths.copy()
        longer[at] += 1
        assert (
            ChunkManifest.from_columns(manifest.grid_shape, table, moved, offsets, longer, inline=manifest.inline)
            != manifest
        )
    if (manifest.stored & ~manifest.inlined).any():
        other = FileTable([SourceFile(file.url + "x", file.size) for file in table])
        assert (
            ChunkManifest.from_columns(manifest.grid_shape, other, moved, offsets, lengths, inline=manifest.inline)
            != manifest
        )


def test_equality_of_inline_chunks_is_of_bytes():
    one = ChunkManifest.from_columns((2,), [], INLINE, [0, 1], [1, 1], inline=b"ab")
    other = ChunkManifest.from_columns((2,), [], INLINE, [3, 0], [1, 1], inline=b"b..a")
    assert one == other
    assert one != ChunkManifest.from_columns((2,), [], INLINE, [3, 0], [1, 1], inline=b"c..a")
    assert one != ChunkManifest.from_columns((2,), [A], 0, [0, 1], [1, 1])
    assert one != "ab"


def test_columns_are_constant_where_they_can_be():
    manifest = ChunkManifest.from_columns((4,), [A], [0, 0, 0, 0], [0, 10, 20, 30], [10, 10, 10, 10])
    assert (manifest.file_index.shape, manifest.offsets.shape, manifest.lengths.shape) == ((), (4,), ())
    nothing = ChunkManifest.missing((10**6, 10**6))
    assert nothing.nbytes < 100
    assert nothing.stored_count == nothing.stored_bytes == 0
    assert nothing[5, 999_999] is None


def test_missing_chunks_have_one_form():
    one = ChunkManifest.from_columns((3,), [A, B], [7, 1, 9], [5, 6, 7], [0, 2, 0])
    other = ChunkManifest.from_columns((3,), [A, B], [1, 1, 1], [0, 6, 0], [0, 2, 0])
    assert one == other
    assert pickle.dumps(one) == pickle.dumps(other)


def test_scalar_and_empty_grids():
    scalar = ChunkManifest.single(A, 8, 4)
    assert scalar[()] == ChunkReference(A, 8, 4)
    assert scalar.to_dict() == {"0": ChunkReference(A, 8, 4)}
    empty = ChunkManifest.from_columns((0, 3), [A], [], [], [])
    assert (empty.size, empty.stored_count, list(empty.runs()), empty.to_dict()) == (0, 0, [], {})


@pytest.mark.parametrize("at", [3, -1, (0, 0), ()])
def test_chunks_outside_the_grid(at):
    with pytest.raises(IndexError, match="outside the grid"):
        ChunkManifest.missing((3,))[at]


@pytest.mark.parametrize(
    ("index", "offsets", "lengths", "message"),
    [
        (0, [0, 1, 2], [1, 1], "offsets has 3 entries"),
        (0, [-1, 1], [1, 1], "offsets holds -1"),
        (0, [0.0, 1.0], [1, 1], "offsets holds float64"),
        (2**32, 0, 1, "file_index holds 4294967296"),
        (2, [0, 1], [1, 1], "file index 2 is outside the table of 2 files"),
        ([0, 5], [0, 1], [1, 1], "file index 5 is outside the table of 2 files"),
        (0, 0, np.array([1, -5]), "lengths holds -5"),
        (0, 0, [True, False], "lengths holds bool"),
    ],
)
def test_columns_that_are_none(index, offsets, lengths, message):
    with pytest.raises(ManifestError, match=message):
        ChunkManifest.from_columns((2,), [A, B], index, offsets, lengths)
    with pytest.raises(ManifestError, match=message):
        ChunkManifest.from_sparse((5,), [A, B], [1, 3], offsets, lengths, file_index=index)


def test_negative_grids():
    with pytest.raises(ManifestError, match=r"^chunk grid .*must not be negative"):
        ChunkManifest.missing((-2, -3))


def test_columns_are_not_shared_with_the_caller():
    offsets = np.array([0, 5, 7], "u8")
    manifest = ChunkManifest.from_columns((3,), [A], 0, offsets, 1)
    offsets[0] = 99
    assert manifest[0].offset == 0
    with pytest.raises(ValueError, match="read-only"):
        manifest.offsets[0] = 1
    big = ChunkManifest.from_columns((3,), [A], 0, offsets.astype(">i4"), 1)
    assert big.offsets.tolist() == offsets.tolist()


def test_sparse_takes_positions_or_coordinates():
    flat = ChunkManifest.from_sparse((2, 3), [A], [5, 1], [50, 10], [5, 1])
    assert flat == ChunkManifest.from_sparse((2, 3), [A], [[1, 2], [0, 1]], [50, 10], [5, 1])
    assert list(flat.to_dict()) == ["0.1", "1.2"]
    assert ChunkManifest.from_sparse((), [A], [()], 4, 2) == ChunkManifest.single(A, 4, 2)
    assert ChunkManifest.from_sparse((3,), [A], [], [], []) == ChunkManifest.missing((3,))


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([6], "position 6"), ([-1, 2], "position -1"), ([1, 1], "twice"), ([[0, 3]], "dimension 1"), ([[0]], "1 dimensions"),
        ([1.5], "float64"),
    ],
)  # fmt: skip
def test_sparse_positions_outside_the_grid(chunks, message):
    with pytest.raises(ManifestError, match=message):
        ChunkManifest.from_sparse((2, 3), [A], chunks, 0, 1)


def test_sparse_does_not_allocate_what_a_forged_shape_asks_for():
    with pytest.raises(UnsupportedFeatureError, match=r"too many chunks .*max_chunks=N"):
        ChunkManifest.from_sparse((10**6, 10**6), [A], [3], 0, 1)
    with pytest.raises(UnsupportedFeatureError, match=r"nearly empty chunk grid .*max_empty_chunks=N"):
        ChunkManifest.from_sparse((10**4, 10**4), [A], [3], 0, 1)


def test_empty_chunks_of_all_grids_of_a_source_count_together():
    budget = Budget(Limits(max_empty_chunks=100))
    for _ in range(2):  # 16 empty chunks for each stored one are not counted
        ChunkManifest.from_sparse((67,), [A], [3], 0, 1, budget=budget)
    with pytest.raises(UnsupportedFeatureError, match="101 chunks that are not stored, more than 100"):
        ChunkManifest.from_sparse((18,), [A], [3], 0, 1, budget=budget)
    ChunkManifest.from_sparse((17,), [A], [3], 0, 1, budget=budget)
    ChunkManifest.from_sparse((10**9,), [A], [], 0, 1, budget=budget)  # nothing is stored, nothing is taken


def test_a_large_source_may_have_more_empty_chunks():
    large = Budget(Limits(max_empty_chunks=100), lambda: 6400)
    large.spend_grid(201, 1)
    large.spend_grid(33, 1)
    with pytest.raises(UnsupportedFeatureError, match="201 chunks that are not stored, more than 200"):
        large.spend_grid(18, 1)


def test_inline_chunks():
    manifest = ChunkManifest.from_inline((3,), {2: b"xyz", 0: b"a"})
    assert [None if r is None else r.data for r in references(manifest)] == [b"a", None, b"xyz"]
    with pytest.raises(ManifestError, match="no bytes"):
        ChunkManifest.from_inline((1,), [b""])


def test_stored_bytes_beyond_64_bits():
    manifest = ChunkManifest.from_columns((3,), [A], 0, 0, np.array([2**64 - 1, 2**64 - 1, 1], "u8"))
    assert manifest.stored_bytes == 2 * (2**64 - 1) + 1


@given(file_tables(0, 5), file_tables(0, 5))
def test_union_of_file_tables(one, other):
    merged = {file.url: file for file in one}
    if any(merged.setdefault(file.url, file) != file for file in other):
        with pytest.raises(ValueError, match="changed while it was being read"):
            FileTable.union([one, other])
        return
    table, maps = FileTable.union([one, other])
    assert list(table) == list(merged.values())
    for rows, old in zip(maps, (one, other), strict=True):
        assert [table[row] for row in rows.tolist()] == list(old)


@given(file_tables(1, 5))
def test_file_tables_keep_what_they_are_given(table):
    rows = list(table)
    again = FileTable(rows)
    assert again == table
    assert hash(again) == hash(table)
    assert pickle.loads(pickle.dumps(table)) == table
    assert list(table[1:]) == rows[1:]
    assert table.take(np.array([len(rows) - 1]))[0] == rows[-1]


def test_file_tables_name_what_is_listed_twice():
    with pytest.raises(ValueError, match=r"twice: file:///a$"):
        FileTable([A, A])
    with pytest.raises(ValueError, match="time zone"):
        FileTable([SourceFile("x", None, None, datetime(2020, 1, 1))])


N, FILES = 1_000_000, 1000


def million():
    """Columns of a million references over a thousand files, of different lengths."""
    files = FileTable([SourceFile(f"s3://bucket/{'deep/' * 12}{i:05}.nc", 10**9) for i in range(FILES)])
    index = np.repeat(np.arange(FILES, dtype="u4"), N // FILES)
    offsets = np.tile(np.arange(N // FILES, dtype="u8") * 900_000, FILES)
    return files, index, offsets, np.arange(N, dtype="u8") % 777 + 1


def test_a_million_references_take_twenty_bytes_each():
    files, index, offsets, lengths = million()
    gc.collect()
    tracemalloc.start()
    manifest = ChunkManifest.from_columns((1000, 1000), files, index, offsets, lengths)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    own = manifest.nbytes - files.nbytes
    assert own <= 20 * N
    assert abs(held - own) < 20_000
    assert len(pickle.dumps(manifest)) <= 20 * N + 200 * FILES
    assert files.nbytes < 300 * FILES


def test_no_object_for_a_chunk():
    """Building, validating, pickling, comparing and splitting allocate blocks by the dozen, not by the chunk."""
    files, index, offsets, lengths = million()
    metadata = ArrayMetadata(
        shape=(1000, 1000),
        dtype=np.dtype("f4"),
        chunk_grid=RegularGrid((1, 1)),
        codecs=(Codec("bytes", {"endian": "little"}), Codec("gzip")),
        fill_value=0,
    )
    gc.collect()
    tracemalloc.start()
    try:
        manifest = ChunkManifest.from_columns((1000, 1000), files, index, offsets, lengths)
        validate_array(VirtualArray(metadata, manifest))
        copy = pickle.loads(pickle.dumps(manifest))
        assert copy == manifest
        runs = list(manifest.runs())
        blocks = sum(stat.count for stat in tracemalloc.take_snapshot().statistics("filename"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(runs) == FILES
    assert blocks < 20 * FILES  # per file there are a few, per chunk there are none
    assert peak < 200 * N


def test_size_is_that_of_the_grid():
    assert ChunkManifest.missing((3, 4, 5)).size == math.prod((3, 4, 5))


def test_lengths_take_half_the_memory_where_they_can():
    """32 bits below 4 GiB, whatever they were given in; who asks for columns gets 64, so that nothing wraps around."""
    for dtype in ("u4", "u8", "i8"):
        manifest = ChunkManifest.from_columns(
            (2,), [A], 0, [0, 2**40], np.array([7, 2**32 - 1 if dtype != "i8" else 9], dtype)
        )
        assert manifest.lengths.dtype == np.dtype("u4")
        assert manifest.columns()[2].dtype == np.dtype("u8")
        assert (manifest.offsets + manifest.lengths).dtype == np.dtype("u8")
    long = ChunkManifest.from_columns((2,), [A], 0, [0, 2**40], [7, 2**32])
    assert long.lengths.dtype == np.dtype("u8")
    assert long.stored_bytes == 2**32 + 7
    assert long != manifest
    many = ChunkManifest.from_columns(
        (1000,), FileTable([A, B]), np.arange(1000) % 2, np.arange(1000), np.arange(1000) + 1
    )
    assert many.nbytes - many.files.nbytes == 16 * 1000


def test_inline_chunks_by_position():
    chunks = {0: b"abc", 5: b"de"}
    assert ChunkManifest.from_inline((2, 3), chunks).inline_chunks() == chunks
    assert ChunkManifest.missing((2, 3)).inline_chunks() == {}
    assert ChunkManifest.from_columns((2,), [A], 0, [0, 4], 4).inline_chunks() == {}


@pytest.mark.parametrize("shift", range(8))
def test_columns_of_views_that_begin_at_any_byte_are_aligned(shift):
    """Writers in compiled languages take no others; numpy reads them, but they stay where the file has them."""
    data = bytes(shift) + np.array([30, 10, 20], "u8").tobytes()
    offsets = np.frombuffer(data, "u8", offset=shift)
    manifest = ChunkManifest.from_columns((3,), [A], 0, offsets, 5)
    assert manifest.offsets.flags.aligned
    assert manifest.offsets.tolist() == [30, 10, 20]
