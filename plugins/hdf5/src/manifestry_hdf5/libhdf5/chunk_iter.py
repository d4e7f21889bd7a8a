"""The table of chunks through libhdf5, for files whose structures this package does not read itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from manifestry_hdf5.structures.chunks import ChunkTable, Extent

__all__ = ["read_chunks_by_library"]


def read_chunks_by_library(
    dataset_id: Any, extent: Extent, chunk_shape: tuple[int, ...], *, extensible: bool
) -> ChunkTable:
    """The stored chunks of an open dataset.

    Parameters
    ----------
    extensible
        Whether the index is an extensible array. libhdf5 (up to 2.0 at least) then turns element numbers into
        coordinates as if the unlimited dimension were the first; they are turned back and decoded anew.
    """
    infos: list[Any] = []
    dataset_id.chunk_iter(infos.append)
    ndim = len(chunk_shape)
    coordinates = np.array([info.chunk_offset for info in infos], "i8").reshape(len(infos), ndim) // np.array(
        chunk_shape
    )
    growing = [axis for axis, n in enumerate(extent.max_grid) if n is None]
    if extensible and growing and growing[0] > 0:
        coordinates = _repair(coordinates, extent, growing[0])
    inside = ((coordinates >= 0) & (coordinates < np.array(extent.grid))).all(axis=1)
    positions = np.zeros(len(infos), "i8")
    for axis, n in enumerate(extent.grid):
        positions = positions * n + coordinates[:, axis]
    columns = [
        np.array([getattr(info, name) for info in infos], dtype)
        for name, dtype in (("byte_offset", "u8"), ("size", "u8"), ("filter_mask", "u4"))
    ]
    return ChunkTable(positions[inside], *(column[inside] for column in columns))


def _repair(coordinates: np.ndarray[Any, Any], extent: Extent, unlimited: int) -> np.ndarray[Any, Any]:
    """True coordinates from those that libhdf5 reports."""
    numbers = coordinates[:, unlimited].copy()
    for axis in range(unlimited + 1, len(extent.max_grid)):
        numbers = numbers * (extent.max_grid[axis] or 1) + coordinates[:, axis]
    repaired = coordinates.copy()
    for axis in reversed([a for a in range(len(extent.max_grid)) if a != unlimited]):
        numbers, repaired[:, axis] = np.divmod(numbers, extent.max_grid[axis] or 1)
    repaired[:, unlimited] = numbers
    return repaired
