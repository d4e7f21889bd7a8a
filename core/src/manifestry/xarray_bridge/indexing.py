"""Selections of whole chunks: what can be selected of an array without reading it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manifestry.combine.chunking import splits_along
from manifestry.combine.dimensions import drop_axis, expand_array
from manifestry.combine.manifests import slice_manifest, split_manifest
from manifestry.errors import UnsupportedFeatureError
from manifestry.model.datatypes import is_bool
from manifestry.model.metadata import RegularGrid
from manifestry.model.tree import VirtualArray

__all__ = ["select"]


def select(array: VirtualArray, key: Any) -> VirtualArray:
    """The array that a numpy key selects: slices and numbers on chunk boundaries, new axes, an ellipsis.

    Uncompressed arrays can be cut anywhere along the dimension that varies slowest.

    Raises
    ------
    UnsupportedFeatureError
        The selection cuts chunks, has a step, or is a list of positions.
    IndexError
        It is outside the array, or has too many parts.
    """
    axis = 0
    for part in _expand_key(key, array.metadata.ndim):
        if part is None:
            array = expand_array(array, None, axis=axis)
            axis += 1
            continue
        start, stop, drop = _bounds(part, array.shape[axis])
        if drop:
            array = drop_axis(_single(array, axis, start), axis)
        else:
            array = _slice(array, axis, start, stop)
            axis += 1
    return array


def _expand_key(key: Any, ndim: int) -> list[Any]:
    """The parts of a key, one for each dimension and each new one."""
    parts = list(key) if isinstance(key, tuple) else [key]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > ndim:
        raise IndexError(f"{used} indices are too many for {ndim} dimensions")
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    return [*parts[:at], *[slice(None)] * (ndim - used), *parts[at + 1 :]]


def _bounds(part: Any, length: int) -> tuple[int, int, bool]:
    """First element, the one after the last, and whether the dimension goes."""
    if isinstance(part, slice):
        picked = range(length)[part]
        if len(picked) > 1 and picked.step != 1:
            raise _refusal(f"a selection with the step {picked.step}")
        return (picked[0], picked[-1] + 1, False) if picked else (0, 0, False)
    if isinstance(part, np.ndarray | list) and np.asarray(part).ndim == 1:
        return _run(np.asarray(part), length)
    if isinstance(part, int | np.integer):
        at = int(part) + (length if part < 0 else 0)
        if not 0 <= at < length:
            raise IndexError(f"index {part} is outside a dimension of length {length}")
        return at, at + 1, True
    raise _refusal(f"a selection by {type(part).__name__}")


def _run(positions: np.ndarray[Any, Any], length: int) -> tuple[int, int, bool]:
    """A list of positions that is a range."""
    if is_bool(positions.dtype):
        positions = np.flatnonzero(positions)
    if not positions.size:
        return 0, 0, False
    if not np.array_equal(positions, np.arange(positions[0], positions[0] + positions.size)) or positions[0] < 0:
        raise UnsupportedFeatureError(
            "a selection of scattered positions",
            "",
            "a virtual array gives whole chunks in their order; where xarray fills what a dataset lacks, "
            "manifestry.concat(missing='fill') does",
        )
    if positions[-1] >= length:
        raise IndexError(f"index {positions[-1]} is outside a dimension of length {length}")
    return int(positions[0]), int(positions[-1]) + 1, False


def _single(array: VirtualArray, axis: int, at: int) -> VirtualArray:
    """One element along a dimension, in chunks of one."""
    if not isinstance(array.metadata.chunk_grid, RegularGrid):
        raise _refusal("a part of an array with a rectilinear chunk grid")
    chunk = array.metadata.chunk_shape[axis]
    if chunk == 1:
        return _slice(array, axis, at, at + 1)
    if not splits_along(array.metadata, axis):
        raise _refusal(f"the element {at} of chunks of {chunk} elements")
    whole = slice_manifest(array.manifest, axis, at // chunk, at // chunk + 1)
    shape = array.metadata.chunk_shape
    finer = array.metadata.with_(
        shape=(*array.shape[:axis], chunk, *array.shape[axis + 1 :]),
        chunk_grid=RegularGrid((*shape[:axis], 1, *shape[axis + 1 :])),
    )
    return _cut(VirtualArray(finer, split_manifest(whole, axis, chunk, chunk)), axis, at % chunk, at % chunk + 1, 1)


def _slice(array: VirtualArray, axis: int, start: int, stop: int) -> VirtualArray:
    length = array.shape[axis]
    if (start, stop) == (0, length):
        return array
    if not isinstance(array.metadata.chunk_grid, RegularGrid):
        raise _refusal("a part of an array with a rectilinear chunk grid")
    chunk = array.metadata.chunk_shape[axis]
    if start == stop:
        return _cut(array, axis, 0, 0, 0)
    if start % chunk == 0 and (stop % chunk == 0 or stop == length):
        return _cut(array, axis, start // chunk, -(-stop // chunk), stop - start)
    if not splits_along(array.metadata, axis):
        raise _refusal(f"the elements {start}:{stop} of chunks of {chunk} elements")
    size = math.gcd(chunk, start, stop if stop != length else chunk)
    parts = chunk // size
    metadata = array.metadata
    finer = metadata.with_(
        chunk_grid=RegularGrid((*metadata.chunk_shape[:axis], size, *metadata.chunk_shape[axis + 1 :]))
    )
    manifest = split_manifest(array.manifest, axis, parts, finer.grid_shape[axis])
    return _cut(VirtualArray(finer, manifest), axis, start // size, -(-stop // size), stop - start)


def _cut(array: VirtualArray, axis: int, first: int, last: int, length: int) -> VirtualArray:
    metadata = array.metadata
    shape = (*metadata.shape[:axis], length, *metadata.shape[axis + 1 :])
    return VirtualArray(metadata.with_(shape=shape), slice_manifest(array.manifest, axis, first, last))


def _refusal(feature: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        feature,
        "",
        "a virtual array gives whole chunks only; open the data with open_store(tree) or engine='manifestry'",
    )
