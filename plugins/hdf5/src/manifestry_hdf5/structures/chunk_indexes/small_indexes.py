"""The small indexes of many datasets, read together: most files have many of them and no other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import IndexReader
from manifestry_hdf5.structures.chunk_indexes.chunks import ChunkTable, Extent
from manifestry_hdf5.structures.chunk_indexes.fixed_array import read_small_fixed_arrays
from manifestry_hdf5.structures.data_objects.data_layout_message import ChunkIndex, ChunkLayout
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.btree_v1 import read_only_leaves

__all__ = ["is_small", "read_small_arrays", "read_small_trees"]

_ELEMENTS = 1024
"""Of the largest array that may be small: libhdf5 divides larger ones into pages."""


def is_small(layout: ChunkLayout, extent: Extent, superblock: Superblock) -> bool:
    """Whether the index of a dataset may be read with those of others."""
    if layout.address is None or layout.address >= superblock.size - superblock.base or layout.edges_unfiltered:
        return False
    if layout.index is ChunkIndex.FIXED_ARRAY:  # whose elements are in the order of the chunks if it cannot grow
        return extent.max_grid == extent.grid and math.prod(extent.grid) <= _ELEMENTS
    return layout.index is ChunkIndex.BTREE_V1


def read_small_trees(
    trees: Sequence[tuple[ChunkLayout, Extent]], superblock: Superblock
) -> IndexReader[list[ChunkTable | None]]:
    """The stored chunks of many datasets of one rank, whose version 1 B-trees are small; None for one that is not, or is damaged."""
    ndim = len(trees[0][1].grid)
    addresses = [layout.address or 0 for layout, _ in trees]
    leaves, counts, good = yield from read_only_leaves(superblock, addresses, ndim)
    numbers = np.repeat(np.arange(len(trees)), counts)
    grids = np.array([extent.grid for _, extent in trees], "u8").reshape(-1, ndim)[numbers]
    shapes = np.array([layout.chunk_shape for layout, _ in trees], "u8").reshape(-1, ndim)[numbers]
    coordinates, remainders = np.divmod(leaves.coordinates, shapes)
    wrong = remainders.any(axis=1) | (coordinates >= grids).any(axis=1)
    positions = np.zeros(len(numbers), "i8")
    for axis in range(ndim):
        positions = positions * grids[:, axis].astype("i8") + coordinates[:, axis].astype("i8")
    wrong[1:] |= (numbers[1:] == numbers[:-1]) & (positions[1:] <= positions[:-1])
    good[numbers[wrong]] = False
    offsets, sizes, masks = leaves.addresses + np.uint64(superblock.base), leaves.sizes, leaves.masks
    tables = _divided(ChunkTable(positions, offsets, sizes, masks), counts)
    return [table if fits else None for table, fits in zip(tables, good.tolist(), strict=True)]


def read_small_arrays(
    arrays: Sequence[tuple[ChunkLayout, Extent]], superblock: Superblock
) -> IndexReader[list[ChunkTable | None]]:
    """The stored chunks of many datasets with a fixed array each; None for one that is not small, or is damaged."""
    addresses = np.array([layout.address for layout, _ in arrays], "i8")
    elements = np.array([math.prod(extent.grid) for _, extent in arrays], "i8")
    chunk_bytes = np.array([layout.chunk_bytes for layout, _ in arrays], "u8")
    tables: list[ChunkTable | None] = [None] * len(arrays)
    for part in (yield from read_small_fixed_arrays(superblock, addresses, elements, chunk_bytes)):
        entries = part.entries
        table = ChunkTable(entries.places, entries.addresses + np.uint64(superblock.base), entries.sizes, entries.masks)
        for number, found in zip(part.numbers.tolist(), _divided(table, part.counts), strict=True):
            tables[number] = found
    return tables


def _divided(table: ChunkTable, counts: NDArray[np.int64]) -> Iterator[ChunkTable]:
    """The chunks of each of some datasets from those of all, one after the other."""
    positions, offsets, sizes, masks = table
    stops = np.cumsum(counts)
    for start, stop in zip((stops - counts).tolist(), stops.tolist(), strict=True):
        yield ChunkTable(positions[start:stop], offsets[start:stop], sizes[start:stop], masks[start:stop])
