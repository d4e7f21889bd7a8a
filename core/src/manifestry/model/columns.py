"""Columns over a chunk grid: checked, in their own data types, constant where they can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manifestry.errors import IncompatibleArraysError, ManifestError
from manifestry.model.datatypes import is_integer

__all__ = [
    "collapse",
    "equal_runs",
    "flat_positions",
    "grid_of",
    "join_columns",
    "join_grids",
    "make_column",
    "narrow",
    "normalise_missing",
    "place_in",
    "position",
    "same_ranges",
    "scatter",
    "total",
]


def grid_of(shape: Sequence[int]) -> tuple[int, ...]:
    """A grid shape as plain integers, none of them negative."""
    grid = tuple(int(n) for n in shape)
    if any(n < 0 for n in grid):
        raise ManifestError(f"chunk grid {grid}: numbers of chunks must not be negative")
    return grid


def make_column(name: str, values: ArrayLike | int, dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """One column in its own dtype: checked, never wrapped around, not shared with the caller when writable."""
    if isinstance(values, int):  # one number for all is the most frequent column
        return np.array(_check_number(name, values, dtype), dtype)
    given = np.asarray(values)
    if given.size and not is_integer(given.dtype):
        raise ManifestError(f"{name} holds {given.dtype}, not integers")
    if given.ndim == 0:
        return np.array(_check_number(name, int(given), dtype), dtype)
    flat = given.reshape(-1)
    if flat.size != size:
        raise ManifestError(f"{name} has {flat.size} entries for {size} chunks")
    if flat.size and given.dtype != dtype:
        _check_number(name, int(flat.min()), dtype)
        _check_number(name, int(flat.max()), dtype)
    if given.dtype == dtype and flat.flags.carray:
        return flat.copy()
    own = np.require(flat, dtype, ["C_CONTIGUOUS", "ALIGNED"])  # views of a file's bytes may begin anywhere
    return own.copy() if own.flags.writeable and np.may_share_memory(own, given) else own


def _check_number(name: str, number: int, dtype: np.dtype[Any]) -> int:
    if not 0 <= number <= np.iinfo(dtype).max:
        raise ManifestError(f"{name} holds {number}, which does not fit into {dtype}")
    return number


def scatter(values: NDArray[Any], flat: NDArray[np.int64], size: int) -> NDArray[Any]:
    """A column of `size` entries with `values` at the positions `flat` and zeros elsewhere."""
    column = np.zeros(size, values.dtype)
    column[flat] = values
    column.flags.writeable = False  # so that nobody copies it again
    return column


def normalise_missing(
    index: NDArray[np.uint32], start: NDArray[np.uint64], count: NDArray[np.uint64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Give chunks that are not stored offset 0 and the file of the first stored chunk."""
    missing = count == 0
    if not missing.any():
        return index, start
    if missing.all():
        return np.zeros((), "u4"), np.zeros((), "u8")
    first = index if index.ndim == 0 else index[np.argmin(missing)]
    index = np.where(missing, first, index).astype("u4", copy=False) if index.ndim else index
    return index, np.where(missing, np.uint64(0), start)


def collapse(column: NDArray[Any]) -> NDArray[Any]:
    """One number for a column that holds one value throughout."""
    if column.ndim and (column.size == 1 or (column[0] == column[-1] and bool((column == column[0]).all()))):
        return np.array(column[0])
    return column


def narrow(lengths: NDArray[Any]) -> NDArray[Any]:
    """Lengths in 32 bits where all of them fit: few chunks have 4 GiB, and a fifth of the memory of a manifest goes."""
    if lengths.dtype == np.uint32 or (lengths.size and int(lengths.max()) > 0xFFFF_FFFF):
        return lengths
    return lengths.astype("u4")


def flat_positions(chunks: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Positions in C order from positions or coordinates, inside the grid or a ManifestError."""
    if chunks.size == 0 and not (chunks.ndim == 2 and chunks.shape[1] == 0):
        return np.empty(0, "i8")
    if chunks.size and not is_integer(chunks.dtype):
        raise ManifestError(f"chunk positions are {chunks.dtype}, not integers")
    if chunks.ndim == 2:
        if chunks.shape[1] != len(shape):
            raise ManifestError(f"chunk coordinates have {chunks.shape[1]} dimensions in a grid of {len(shape)}")
        flat = np.zeros(len(chunks), "i8")
        for axis, n in enumerate(shape):
            column = chunks[:, axis]
            if column.size and (int(column.min()) < 0 or int(column.max()) >= n):
                raise ManifestError(f"a chunk coordinate is outside the grid {shape} along dimension {axis}")
            flat = flat * n + column.astype("i8")
        return flat
    flat = chunks.reshape(-1)
    low, high = int(flat.min()), int(flat.max())
    if low < 0 or high >= math.prod(shape):
        raise ManifestError(f"chunk position {low if low < 0 else high} is outside the grid {shape}")
    return flat.astype("i8")


def join_grids(grids: Sequence[tuple[int, ...]], axis: int) -> tuple[int, ...]:
    """The shape of grids one after the other along a dimension; the others must be equal, or IncompatibleArraysError."""
    first = grids[0]
    for grid in grids:
        if (grid[:axis], grid[axis + 1 :]) != (first[:axis], first[axis + 1 :]):
            raise IncompatibleArraysError(
                f"chunk grids {first} and {grid} cannot be joined: all other dimensions must have equal chunk counts"
            )
    return (*first[:axis], sum(grid[axis] for grid in grids), *first[axis + 1 :])


def join_columns(columns: Sequence[NDArray[Any]], grids: Sequence[tuple[int, ...]], axis: int) -> NDArray[Any]:
    """Columns joined along one dimension of their grids; read-only, so that nobody copies them again."""
    joined = np.asarray(_join(columns, grids, axis))
    joined.flags.writeable = False
    return joined


def _join(columns: Sequence[NDArray[Any]], grids: Sequence[tuple[int, ...]], axis: int) -> NDArray[Any]:
    sizes = [math.prod(grid) for grid in grids]
    lead = math.prod(grids[0][:axis])
    if all(column.ndim == 0 for column in columns):
        values = np.array(columns)
        if (values == values[0]).all():
            return columns[0]
        if lead == 1:
            return np.repeat(values, sizes)
    full = [column if column.ndim else np.broadcast_to(column, (n,)) for column, n in zip(columns, sizes, strict=True)]
    if lead == 1:
        return np.concatenate(full)
    blocks = [column.reshape(lead, n // lead if lead else 0) for column, n in zip(full, sizes, strict=True)]
    return np.concatenate(blocks, axis=1).reshape(-1)


def place_in(
    columns: dict[str, NDArray[Any]], inline: int | None, rows: NDArray[np.uint32], base: int
) -> dict[str, NDArray[Any]]:
    """Columns where file `n` has become row ``rows[n]``, and inline chunks lie `base` bytes further on.

    Parameters
    ----------
    inline
        The file index of inline chunks, None where there are none.
    """
    index, offsets = columns["file_index"], columns["offsets"]
    if inline is None:
        return columns | {"file_index": rows[index]} if len(rows) else columns
    inlined = index == inline
    if len(rows):
        index = np.where(inlined, index, rows[np.where(inlined, 0, index)])
    moved = np.where(inlined, offsets + np.uint64(base), offsets) if base else offsets
    return columns | {"file_index": index, "offsets": moved}


def same_ranges(
    a: bytes, a_starts: NDArray[np.uint64], b: bytes, b_starts: NDArray[np.uint64], *, lengths: NDArray[np.uint64]
) -> bool:
    """Whether ranges of two blobs hold the same bytes."""
    if a == b and np.array_equal(a_starts, b_starts):
        return True
    ranges = zip(a_starts.tolist(), b_starts.tolist(), lengths.tolist(), strict=True)
    return all(a[i : i + n] == b[j : j + n] for i, j, n in ranges)


def equal_runs(column: NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Where a column of at least one entry stays the same: start, stop, value."""
    edges = np.concatenate([[0], np.flatnonzero(column[1:] != column[:-1]) + 1, [len(column)]])
    yield from zip(edges[:-1].tolist(), edges[1:].tolist(), column[edges[:-1]].tolist(), strict=True)


def total(lengths: NDArray[Any]) -> int:
    """The sum of lengths, which may pass 2**64."""
    low = lengths & np.uint64(0xFFFF_FFFF)  # in two halves
    return int(low.sum()) + (int((lengths >> np.uint64(32)).sum()) << 32)


def position(at: tuple[int, ...], grid: tuple[int, ...]) -> int:
    """The position in C order of the chunk at some coordinates, inside the grid or an IndexError."""
    if len(at) != len(grid) or not all(0 <= i < n for i, n in zip(at, grid, strict=True)):
        raise IndexError(f"chunk {at} is outside the grid {grid}")
    flat = 0
    for i, n in zip(at, grid, strict=True):
        flat = flat * n + i
    return flat
