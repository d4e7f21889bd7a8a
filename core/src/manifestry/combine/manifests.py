"""Operations on the chunk grids of manifests: whole columns at a time, never a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manifestry.model.manifest import ChunkManifest

__all__ = ["insert_axis", "slice_manifest", "split_manifest", "transpose_manifest"]


def slice_manifest(manifest: ChunkManifest, axis: int, start: int, stop: int) -> ChunkManifest:
    """The chunks ``start:stop`` along one dimension of the grid."""
    if (start, stop) == (0, manifest.grid_shape[axis]):
        return manifest
    return manifest.rearrange(lambda grid: grid[(slice(None),) * axis + (slice(start, stop),)])


def insert_axis(manifest: ChunkManifest, axis: int) -> ChunkManifest:
    """The same chunks in a grid with one more dimension of length 1."""
    return manifest.rearrange(lambda grid: grid.reshape(*grid.shape[:axis], 1, *grid.shape[axis:]))


def transpose_manifest(manifest: ChunkManifest, order: Sequence[int]) -> ChunkManifest:
    """The same chunks with the dimensions of the grid in another order."""
    return manifest.rearrange(lambda grid: grid.transpose(tuple(order)))


def split_manifest(manifest: ChunkManifest, axis: int, parts: int, count: int) -> ChunkManifest:
    """Every chunk cut into `parts` of equal length along one dimension of the grid.

    The bytes of each part must be contiguous within the chunk. Of the parts along the dimension, the first `count`
    are kept: the others hold nothing of the array.
    """
    if parts == 1:
        return slice_manifest(manifest, axis, 0, count)
    kept = (slice(None),) * axis + (slice(count),)
    repeated = manifest.rearrange(lambda grid: np.repeat(grid, parts, axis)[kept])
    piece = np.asarray(repeated.lengths // np.uint64(parts))
    part = (np.arange(count, dtype="u8") % np.uint64(parts)).reshape(-1, *(1,) * (len(repeated.grid_shape) - axis - 1))
    width, first = (column.reshape(repeated.grid_shape if column.ndim else ()) for column in (piece, repeated.offsets))
    starts = np.broadcast_to(first + width * part, repeated.grid_shape).reshape(-1)
    starts.flags.writeable = piece.flags.writeable = False
    return repeated.with_columns(offsets=starts, lengths=piece)
