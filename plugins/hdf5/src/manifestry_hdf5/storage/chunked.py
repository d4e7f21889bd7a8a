"""Chunked datasets: from the table of stored chunks and the filter pipeline to references and codecs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from manifestry import Budget
from manifestry.plugin import (
    ChunkManifest,
    MalformedFileError,
    ManifestryError,
    ParseContext,
    UnsupportedFeatureError,
)
from numpy.typing import NDArray

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.filters import Chain, codec_chain, optional_chain
from manifestry_hdf5.storage.chunk_bytes import decode_chunk, encode_chunk, remaining_filters
from manifestry_hdf5.storage.copying import SMALL
from manifestry_hdf5.structures.batched_reads import read_together
from manifestry_hdf5.structures.chunk_indexes.chunks import ChunkTable, Extent, read_chunks
from manifestry_hdf5.structures.chunk_indexes.small_indexes import is_small, read_small_arrays, read_small_trees
from manifestry_hdf5.structures.data_objects.data_layout_message import ChunkIndex, ChunkLayout
from manifestry_hdf5.structures.data_objects.filter_pipeline_message import FilterNumber

if TYPE_CHECKING:
    from manifestry_hdf5.open_files import Hdf5File

__all__ = ["SkippedFiltersError", "chunked_storage", "read_tables", "usual_mask"]

_SAME_SIZE: Final = frozenset({FilterNumber.SHUFFLE, FilterNumber.FLETCHER32})
"""Filters after which a chunk has a size that does not depend on what it holds."""

_CHECKSUM_BYTES: Final = 4

_INDEXES_AT_ONCE: Final = 2048
"""Small indexes that are in memory at once; a node of a B-tree takes 2 to 5 kB, an array at most as much."""

_ARRAYS: Final = -1


class SkippedFiltersError(UnsupportedFeatureError):
    """No chain of codecs fits all chunks of a dataset, because filters were skipped for some."""


def read_tables(datasets: Sequence[Dataset], context: ParseContext) -> list[ChunkTable | ManifestryError]:
    """The stored chunks of chunked datasets of one file; the indexes of all of them are read together.

    Returns
    -------
    list
        A table for each dataset, or the error that ended reading its index.
    """
    file = datasets[0].file
    grids = [
        (dataset.layout, dataset.extent)
        for dataset in datasets
        if isinstance(dataset.layout, ChunkLayout) and dataset.extent is not None
    ]
    tables: list[Any] = _read_small_indexes(grids, file)
    rest = [number for number, table in enumerate(tables) if table is None]
    limit = context.limits.max_chunks
    readers = [read_chunks(grids[n][0], file.superblock, grids[n][1], limit) for n in rest]
    for number, table in zip(rest, read_together(readers, file.fetch_index), strict=True):
        tables[number] = table
    return tables


def _read_small_indexes(grids: Sequence[tuple[ChunkLayout, Extent]], file: Hdf5File) -> list[ChunkTable | None]:
    """The chunks of those datasets that have a small index; None for others, and for damaged ones."""
    tables: list[ChunkTable | None] = [None] * len(grids)
    small = [number for number, (layout, extent) in enumerate(grids) if is_small(layout, extent, file.superblock)]
    for some in batched(small, _INDEXES_AT_ONCE):
        alike: dict[int, list[int]] = {}  # B-trees by rank, and arrays
        for number in some:
            layout, extent = grids[number]
            kind = len(extent.grid) if layout.index is ChunkIndex.BTREE_V1 else _ARRAYS
            alike.setdefault(kind, []).append(number)
        readers = [
            (read_small_arrays if kind == _ARRAYS else read_small_trees)([grids[n] for n in numbers], file.superblock)
            for kind, numbers in alike.items()
        ]
        for numbers, found in zip(alike.values(), read_together(readers, file.fetch_index), strict=True):
            if not isinstance(found, ManifestryError):  # reading each alone says what it is
                for number, table in zip(numbers, found, strict=True):
                    tables[number] = table
    return tables


def chunked_storage(dataset: Dataset, table: ChunkTable, context: ParseContext) -> tuple[ChunkManifest, Chain]:
    """References to the stored chunks, and the codecs that decode them.

    A filter that was skipped for all chunks is left out. One that was skipped for some of them is made optional, or
    those chunks are encoded anew and kept in the manifest.

    Raises
    ------
    SkippedFiltersError
        No chain of codecs fits all chunks.
    UnsupportedFeatureError
        No codec decodes a filter.
    """
    assert dataset.extent is not None
    if len(table.sizes) and not table.sizes.all():
        raise MalformedFileError(f"{dataset.path}: the chunk index lists a chunk of no bytes")
    grid = (*dataset.extent.grid, *(1 for _ in dataset.element.shape))
    chunk_bytes, masks = dataset.chunk_bytes, table.masks
    if not masks.any():
        _check_sizes(dataset, table)
        chain = codec_chain(dataset.filters, dataset.element, chunk_bytes, dataset.ndim)
        return _references(dataset, grid, table, context.budget), chain
    masks = masks & np.uint32((1 << len(dataset.filters)) - 1)
    usual = usual_mask(dataset, table)
    odd = masks != usual
    chain = codec_chain(remaining_filters(dataset, usual), dataset.element, chunk_bytes, dataset.ndim)
    if not odd.any():
        return _references(dataset, grid, table, context.budget), chain
    small = int(np.count_nonzero(odd)) * chunk_bytes <= SMALL
    optional = None if small else _optional_chain(dataset, masks, table)
    if optional is not None:
        return _references(dataset, grid, table, context.budget), optional
    encoded = _encode_odd(dataset, table, odd, usual, context)
    if encoded is None:
        optional = _optional_chain(dataset, masks, table)
        if optional is None:
            raise SkippedFiltersError("filters skipped for some chunks", dataset.path, "repack the file (h5repack)")
        return _references(dataset, grid, table, context.budget), optional
    return _with_inline(_references(dataset, grid, table, context.budget), table, odd, encoded), chain


def usual_mask(dataset: Dataset, table: ChunkTable) -> int:
    """The filter mask that most chunks have."""
    if not table.masks.any():
        return 0
    distinct, counts = np.unique(table.masks & np.uint32((1 << len(dataset.filters)) - 1), return_counts=True)
    return int(distinct[int(np.argmax(counts))])


def _check_sizes(dataset: Dataset, table: ChunkTable) -> None:
    """Make sure that chunks have their size where no filter changes it by what they hold."""
    numbers = [item.number for item in dataset.filters]
    if not numbers or not _SAME_SIZE.issuperset(numbers):
        return
    expected = dataset.chunk_bytes + _CHECKSUM_BYTES * numbers.count(FilterNumber.FLETCHER32)
    odd = table.sizes[table.sizes != expected]
    if len(odd):
        raise MalformedFileError(f"{dataset.path}: a chunk of {odd[0]} bytes where {expected} are expected")


def _optional_chain(dataset: Dataset, masks: NDArray[np.uint32], table: ChunkTable) -> Chain | None:
    """The codecs that decode all chunks where one filter is optional; see `optional_chain`."""
    return optional_chain(
        dataset.filters, dataset.element, dataset.chunk_bytes, dataset.ndim, masks=masks, sizes=table.sizes
    )


def _references(dataset: Dataset, grid: tuple[int, ...], table: ChunkTable, budget: Budget) -> ChunkManifest:
    positions, files = table.positions, dataset.file.files
    if len(positions) == math.prod(grid) and bool((positions == np.arange(len(positions))).all()):
        return ChunkManifest.from_columns(grid, files, 0, table.offsets, table.sizes)
    return ChunkManifest.from_sparse(grid, files, positions, table.offsets, table.sizes, budget=budget)


def _with_inline(
    references: ChunkManifest, table: ChunkTable, odd: NDArray[np.bool_], encoded: Sequence[bytes]
) -> ChunkManifest:
    """References to the usual chunks, and the odd ones as bytes."""
    lengths = np.fromiter(map(len, encoded), "u8", len(encoded))
    return references.with_inline(table.positions[odd], np.cumsum(lengths) - lengths, lengths, b"".join(encoded))


def _encode_odd(
    dataset: Dataset, table: ChunkTable, odd: NDArray[np.bool_], usual: int, context: ParseContext
) -> list[bytes] | None:
    """Some chunks as the usual filters encode them; None when they cannot be."""
    if np.count_nonzero(odd) * dataset.chunk_bytes > context.limits.max_inline_bytes:
        return None
    encoded = []
    columns = (column[odd].tolist() for column in (table.offsets, table.sizes, table.masks))
    for offset, length, mask in zip(*columns, strict=True):
        plain = decode_chunk(dataset, dataset.file.read(offset, offset + length), mask)
        again = encode_chunk(dataset, plain, usual)
        if again is None:
            return None
        encoded.append(again)
    return encoded
