"""Operations on the chunk grids of manifests: whole columns at a time, never a chunk at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifestry.errors import IncompatibleArraysError, translated
from manifestry.model.files import FileTable
from manifestry.model.manifest import INLINE, ChunkManifest

__all__ = ["FileMerger", "concat_manifests", "insert_axis", "slice_manifest", "split_manifest", "transpose_manifest"]


class FileMerger:
    """Joins file tables, each set of tables once: the arrays of one source usually share one table."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[Any, FileTable, list[NDArray[np.uint32]]]] = {}

    def union(self, tables: Sequence[FileTable]) -> tuple[FileTable, list[NDArray[np.uint32]]]:
        """One table, and for each of `tables` the new row of its every old row.

        Raises
        ------
        IncompatibleArraysError
            A file changed between two of them.
        """
        key = tuple(map(id, tables))
        if key not in self._known:
            with translated(ValueError, IncompatibleArraysError):
                files, maps = FileTable.union(tables)
            self._known[key] = (list(tables), files, maps)  # the tables are kept, so that no id is used again
        return self._known[key][1:]


def concat_manifests(manifests: Sequence[ChunkManifest], axis: int, merger: FileMerger | None = None) -> ChunkManifest:
    """One manifest of several along a dimension of the chunk grid; the other dimensions have equal grids.

    Raises
    ------
    IncompatibleArraysError
        The other dimensions differ, or a file changed between two manifests.
    """
    if len(manifests) == 1:
        return manifests[0]
    first = manifests[0].grid_shape
    for manifest in manifests:
        if _without(manifest.grid_shape, axis) != _without(first, axis):
            raise IncompatibleArraysError(
                f"chunk grids {first} and {manifest.grid_shape} cannot be joined: all other dimensions must have equal chunk counts"
            )
    grid = (*first[:axis], sum(m.grid_shape[axis] for m in manifests), *first[axis + 1 :])
    files, maps = (merger or FileMerger()).union([m.files for m in manifests])
    bases = np.cumsum([0, *(len(m.inline) for m in manifests)])
    index = [_remap(m, rows) for m, rows in zip(manifests, maps, strict=True)]
    offsets = [_shift(m, int(base)) for m, base in zip(manifests, bases, strict=False)]
    return ChunkManifest.from_columns(
        grid,
        files,
        file_index=_join(index, manifests, axis),
        offsets=_join(offsets, manifests, axis),
        lengths=_join([m.lengths for m in manifests], manifests, axis),
        inline=b"".join(m.inline for m in manifests),
    )


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _remap(manifest: ChunkManifest, rows: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The file index in the rows of the joined table."""
    index = manifest.file_index
    if not len(rows):
        return index
    if not manifest.inline:
        return rows[index]
    return np.where(index == INLINE, np.uint32(INLINE), rows[np.where(index == INLINE, 0, index)])


def _shift(manifest: ChunkManifest, base: int) -> NDArray[np.uint64]:
    """The offsets, those of inline chunks in a blob that has `base` bytes before theirs."""
    if not base or not manifest.inline:
        return manifest.offsets
    return np.where(manifest.file_index == INLINE, manifest.offsets + np.uint64(base), manifest.offsets)


def _join(columns: Sequence[NDArray[Any]], manifests: Sequence[ChunkManifest], axis: int) -> NDArray[Any]:
    """Columns joined along one dimension of the grid; read-only, so that nobody copies them again."""
    joined = np.asarray(_concatenate(columns, manifests, axis))
    joined.flags.writeable = False
    return joined


def _concatenate(columns: Sequence[NDArray[Any]], manifests: Sequence[ChunkManifest], axis: int) -> NDArray[Any]:
    if all(column.ndim == 0 for column in columns):
        values = np.array(columns)
        if (values == values[0]).all():
            return columns[0]
        lead = math.prod(manifests[0].grid_shape[:axis])
        if lead == 1:
            return np.repeat(values, [m.size for m in manifests])
    lead = math.prod(manifests[0].grid_shape[:axis])
    if lead == 1:
        return np.concatenate([_expand(c, m.size) for c, m in zip(columns, manifests, strict=True)])
    blocks = [
        _expand(c, m.size).reshape(lead, m.size // lead if lead else 0) for c, m in zip(columns, manifests, strict=True)
    ]
    return np.concatenate(blocks, axis=1).reshape(-1)


def _expand(column: NDArray[Any], size: int) -> NDArray[Any]:
    return column if column.ndim else np.broadcast_to(column, (size,))


def slice_manifest(manifest: ChunkManifest, axis: int, start: int, stop: int) -> ChunkManifest:
    """The chunks ``start:stop`` along one dimension of the grid."""
    if (start, stop) == (0, manifest.grid_shape[axis]):
        return manifest
    return _map_columns(manifest, lambda grid: grid[(slice(None),) * axis + (slice(start, stop),)])


def insert_axis(manifest: ChunkManifest, axis: int) -> ChunkManifest:
    """The same chunks in a grid with one more dimension of length 1."""
    grid = (*manifest.grid_shape[:axis], 1, *manifest.grid_shape[axis:])
    return ChunkManifest.from_columns(
        grid,
        manifest.files,
        file_index=manifest.file_index,
        offsets=manifest.offsets,
        lengths=manifest.lengths,
        inline=manifest.inline,
    )


def transpose_manifest(manifest: ChunkManifest, order: Sequence[int]) -> ChunkManifest:
    """The same chunks with the dimensions of the grid in another order."""
    return _map_columns(manifest, lambda grid: grid.transpose(tuple(order)))


def split_manifest(manifest: ChunkManifest, axis: int, parts: int, count: int) -> ChunkManifest:
    """Every chunk cut into `parts` of equal length along one dimension of the grid.

    The bytes of each part must be contiguous within the chunk. Of the parts along the dimension, the first `count`
    are kept: the others hold nothing of the array.
    """
    if parts == 1:
        return slice_manifest(manifest, axis, 0, count)
    shape = manifest.grid_shape
    lead, trail = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    index, offsets, lengths = (column.reshape(lead, shape[axis], 1, trail) for column in manifest.columns())
    piece = lengths // np.uint64(parts)
    starts = offsets + piece * np.arange(parts, dtype="u8").reshape(1, 1, parts, 1)
    full = (lead, shape[axis], parts, trail)
    starts = np.where(lengths == 0, np.uint64(0), starts)

    def column(values: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(values, full).reshape(lead, shape[axis] * parts, trail)[:, :count].reshape(-1)

    grid = (*shape[:axis], count, *shape[axis + 1 :])
    return ChunkManifest.from_columns(
        grid,
        manifest.files,
        file_index=column(index),
        offsets=column(starts),
        lengths=column(piece),
        inline=manifest.inline,
    )


def _map_columns(manifest: ChunkManifest, change: Callable[[NDArray[Any]], NDArray[Any]]) -> ChunkManifest:
    """The manifest with every column, seen as an array over the grid, put through `change`."""
    kept = (manifest.file_index, manifest.offsets, manifest.lengths)
    full = (np.broadcast_to(column, (manifest.size,)).reshape(manifest.grid_shape) for column in kept)
    index, offsets, lengths = map(change, full)
    return ChunkManifest.from_columns(
        index.shape,
        manifest.files,
        file_index=index.reshape(-1),
        offsets=offsets.reshape(-1),
        lengths=lengths.reshape(-1),
        inline=manifest.inline,
    )
