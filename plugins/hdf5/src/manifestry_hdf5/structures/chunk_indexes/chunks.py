"""The index of one dataset as a table of chunks, whatever its kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import IndexReader
from manifestry_hdf5.structures.chunk_indexes.array_elements import Entries
from manifestry_hdf5.structures.chunk_indexes.extensible_array import read_extensible_array
from manifestry_hdf5.structures.chunk_indexes.fixed_array import read_fixed_array
from manifestry_hdf5.structures.data_objects.data_layout_message import ChunkIndex, ChunkLayout
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.btree_v1 import Leaves, read_btree_v1
from manifestry_hdf5.structures.infrastructure.btree_v2 import read_btree_v2
from manifestry_hdf5.structures.infrastructure.key_order import check_ascending, check_levels

__all__ = ["ChunkTable", "Extent", "read_chunks"]


class ChunkTable(NamedTuple):
    """The stored chunks of a dataset, in any order.

    Attributes
    ----------
    positions
        Position in the chunk grid of the present shape, C order, int64.
    offsets, sizes
        Absolute position and stored bytes.
    masks
        Filter masks: bit ``i`` set means that filter ``i`` was skipped.
    """

    positions: NDArray[np.int64]
    offsets: NDArray[np.uint64]
    sizes: NDArray[np.uint64]
    masks: NDArray[np.uint32]


class Extent(NamedTuple):
    """The chunk grid of a dataset as it is, and as it may become.

    Attributes
    ----------
    grid
        Chunks along each dimension.
    max_grid
        Chunks along each dimension at most; None without limit.
    cut
        Whether the last chunk along a dimension reaches over the edge of the array.
    """

    grid: tuple[int, ...]
    max_grid: tuple[int | None, ...]
    cut: tuple[bool, ...]

    @classmethod
    def of(cls, shape: Sequence[int], maximum: Sequence[int], chunk_shape: Sequence[int]) -> Extent:
        """From shapes in elements; a negative maximum means that there is no limit."""
        grid = tuple([-(-n // c) for n, c in zip(shape, chunk_shape, strict=True)])
        limits: tuple[int | None, ...] = grid
        if maximum != shape:
            limits = tuple([None if n < 0 else -(-n // c) for n, c in zip(maximum, chunk_shape, strict=True)])
        return cls(grid, limits, tuple([n % c != 0 for n, c in zip(shape, chunk_shape, strict=True)]))


def read_chunks(
    layout: ChunkLayout, superblock: Superblock, extent: Extent, max_chunks: int
) -> IndexReader[ChunkTable]:
    """The stored chunks of a dataset.

    Raises
    ------
    MalformedFileError
        The index is damaged; the message names the structure and its place.
    """
    reader = _read(layout, superblock, extent, max_chunks)
    return _with_edges(reader, extent) if layout.edges_unfiltered else reader


def _with_edges(reader: IndexReader[ChunkTable], extent: Extent) -> IndexReader[ChunkTable]:
    return _mark_edges((yield from reader), extent)


def _mark_edges(table: ChunkTable, extent: Extent) -> ChunkTable:
    """Set all bits of the masks of chunks that reach over an edge: the index does not say that no filter was used."""
    edge = np.zeros(len(table.positions), bool)
    for index, n, cut in zip(np.unravel_index(table.positions, extent.grid), extent.grid, extent.cut, strict=True):
        if cut:
            edge |= index == n - 1
    return table._replace(masks=np.where(edge, np.uint32(0xFFFF_FFFF), table.masks))


def _read(layout: ChunkLayout, superblock: Superblock, extent: Extent, max_chunks: int) -> IndexReader[ChunkTable]:
    address, ndim = layout.address, len(layout.chunk_shape)
    if address is None:
        return _empty()
    match layout.index:
        case ChunkIndex.BTREE_V1:
            tree = f"version 1 B-tree at {address:#x}"
            leaves = yield from read_btree_v1(superblock, address, ndim, max_chunks)
            parts = [
                _table(_count_in_chunks(part, layout.chunk_shape, tree), extent, superblock, tree) for part in leaves
            ]
            table = _concatenate(parts)
            check_ascending(table.positions[:-1], table.positions[1:], tree)
            return table
        case ChunkIndex.BTREE_V2:
            tree = f"version 2 B-tree at {address:#x}"
            levels = yield from read_btree_v2(superblock, address, ndim, layout.chunk_bytes, max_chunks)
            tables = [
                _concatenate([_table(part, extent, superblock, tree) for part in level.parts]) for level in levels
            ]
            check_levels([(table.positions, level.counts) for table, level in zip(tables, levels, strict=True)], tree)
            return _concatenate(tables)
        case ChunkIndex.FIXED_ARRAY:
            entries = yield from read_fixed_array(
                superblock, address, layout.chunk_bytes, math.prod(n or 0 for n in extent.max_grid), max_chunks
            )
        case ChunkIndex.EXTENSIBLE_ARRAY:
            entries = yield from read_extensible_array(superblock, address, layout.chunk_bytes, max_chunks)
        case ChunkIndex.IMPLICIT:
            entries = _implicit_elements(layout, address, extent, superblock)
        case ChunkIndex.SINGLE:
            size = layout.chunk_bytes if layout.single_size is None else layout.single_size
            place, mask = np.zeros(1, "i8"), np.array([layout.single_mask], "u4")
            entries = Entries(place, np.array([address], "u8"), np.array([size], "u8"), mask)
    return _from_entries(entries, extent, superblock)


def _empty() -> ChunkTable:
    return ChunkTable(np.empty(0, "i8"), np.empty(0, "u8"), np.empty(0, "u8"), np.empty(0, "u4"))


def _implicit_elements(layout: ChunkLayout, address: int, extent: Extent, superblock: Superblock) -> Entries:
    """Chunks one after the other, all of them, in the order of the largest grid (section VII.B)."""
    count = math.prod(n or 0 for n in extent.max_grid)
    grid = math.prod(extent.grid)
    if count < grid:
        raise MalformedFileError("implicit chunk index: the array is larger than its maximum shape")
    superblock.place(address, "implicit chunk index", count * layout.chunk_bytes)
    places = np.arange(count) if count == grid else _numbers(extent)
    addresses = np.uint64(address) + places.astype("u8") * np.uint64(layout.chunk_bytes)
    return Entries(places, addresses, np.full(len(places), layout.chunk_bytes, "u8"), np.zeros(len(places), "u4"))


def _numbers(extent: Extent) -> NDArray[np.int64]:
    """The numbers, in the largest grid, of the chunks of the present one."""
    numbers = np.zeros(1, "i8")
    for count, max_count in zip(extent.grid, extent.max_grid, strict=True):
        numbers = (numbers[:, None] * (max_count or 0) + np.arange(count)).reshape(-1)
    return numbers


def _concatenate(parts: Sequence[ChunkTable]) -> ChunkTable:
    if len(parts) == 1:
        return parts[0]
    return ChunkTable(*map(np.concatenate, zip(*parts, strict=True))) if parts else _empty()


def _count_in_chunks(part: Leaves, chunk_shape: Sequence[int], tree: str) -> Leaves:
    """Leaves whose coordinates count chunks in place of elements."""
    coordinates, remainders = np.divmod(part.coordinates, np.array(chunk_shape, "u8"))
    if remainders.any():
        raise MalformedFileError(f"{tree}: a chunk begins inside another")
    return part._replace(coordinates=coordinates)


def _table(part: Leaves, extent: Extent, superblock: Superblock, tree: str) -> ChunkTable:
    """Chunks by their place; all lie in the array, since libhdf5 takes the others away when it makes an array smaller."""
    coordinates = part.coordinates
    if not (coordinates < np.array(extent.grid, "u8")).all():
        raise MalformedFileError(f"{tree}: a chunk lies outside the array")
    positions = np.zeros(len(coordinates), "i8")
    for axis, n in enumerate(extent.grid):
        positions = positions * n + coordinates[:, axis].astype("i8")
    return ChunkTable(positions, part.addresses + np.uint64(superblock.base), part.sizes, part.masks)


def _from_entries(entries: Entries, extent: Extent, superblock: Superblock) -> ChunkTable:
    """Chunks from their numbers, which run through the largest grid with an unlimited dimension in front."""
    order = sorted(range(len(extent.grid)), key=lambda axis: extent.max_grid[axis] is not None)
    places = entries.places
    sizes = [extent.max_grid[axis] for axis in order]
    if order == list(range(len(order))) and sizes[1:] == list(extent.grid[1:]):
        positions = places
        keep = places < math.prod(extent.grid)
    else:
        coordinates: dict[int, NDArray[np.int64]] = {}
        for axis, size in zip(reversed(order[1:]), reversed(sizes[1:]), strict=True):
            assert size is not None
            places, coordinates[axis] = np.divmod(places, max(size, 1))
        if order:
            coordinates[order[0]] = places
        positions, keep = np.zeros(len(places), "i8"), np.ones(len(places), bool)
        for axis, n in enumerate(extent.grid):
            keep &= coordinates[axis] < n
            positions = positions * n + coordinates[axis]
    offsets = entries.addresses + np.uint64(superblock.base)
    if keep.all():
        return ChunkTable(positions, offsets, entries.sizes, entries.masks)
    return ChunkTable(positions[keep], offsets[keep], entries.sizes[keep], entries.masks[keep])
