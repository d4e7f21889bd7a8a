"""The elements that a dataspace selection means, given the shape of its dataset.

They are counted in the order of the selection, in which HDF5 reads them: points as they are listed, all others in C order
of their coordinates. In a virtual dataset, the elements of two selections stand for each other in that order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError, ManifestryError, UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_hdf5.structures.data_objects.dataspace_message import UNLIMITED
from manifestry_hdf5.structures.encodings.dataspace_selection import (
    AllElements,
    Boxes,
    NoElements,
    Points,
    RegularHyperslab,
    Selection,
)

__all__ = [
    "element_count",
    "endless_axis",
    "endless_extent",
    "fixed_count",
    "flat_positions",
    "selected_box",
    "selection_rank",
    "slice_count",
]

_MAX_POSITION: Final = (1 << 63) - 1


def selection_rank(selection: Selection) -> int | None:
    """How many dimensions a selection has, None where it fits any."""
    match selection:
        case RegularHyperslab(start=start):
            return len(start)
        case Points(coordinates=corners) | Boxes(last=corners):
            return int(corners.shape[1])
    return None


def endless_axis(selection: Selection) -> int | None:
    """The dimension along which a selection has no end, where there is one."""
    if not isinstance(selection, RegularHyperslab):
        return None
    axes = (i for i, pair in enumerate(zip(selection.count, selection.block, strict=True)) if UNLIMITED in pair)
    return next(axes, None)


def slice_count(selection: RegularHyperslab, shape: Sequence[int]) -> int:
    """How many indices of a dataset of a shape are selected along the dimension without end.

    Of two selections without end that stand for each other, both are cut to the slices that both have.
    """
    axis = endless_axis(selection)
    assert axis is not None
    return _lengths(selection, shape, None)[axis]


def endless_extent(selection: RegularHyperslab, slices: int) -> int:
    """The least length of the dimension without end at which that many of its indices are selected.

    It is what a mapping without end makes of the length of a virtual dataset, with the slices that its source has.
    """
    axis = endless_axis(selection)
    assert axis is not None
    start, stride, block = selection.start[axis], selection.stride[axis], selection.block[axis]
    if not slices or block == UNLIMITED:
        return start + slices if slices else 0
    whole, part = divmod(slices - 1, block)
    return start + whole * stride + part + 1


def fixed_count(selection: Selection) -> int | None:
    """How many elements are selected, None where that depends on the shape of the dataset."""
    match selection:
        case AllElements():
            return None
        case NoElements():
            return 0
        case RegularHyperslab(count=count, block=block):
            return None if endless_axis(selection) is not None else math.prod((*count, *block))
        case Points(coordinates):
            return len(coordinates)
        case Boxes(first, last):
            sizes = last - first + 1
            if float(sizes.astype("f8").prod(axis=1).sum()) < 1 << 62:
                return int(sizes.prod(axis=1).sum())
            return sum(math.prod(map(int, size)) for size in sizes)  # more than 64 bits can say


def element_count(selection: Selection, shape: Sequence[int], slices: int | None = None) -> int:
    """How many elements of a dataset of a shape are selected.

    Parameters
    ----------
    slices
        How many indices are taken at most along the dimension without end.

    Raises
    ------
    MalformedFileError
        The selection has another number of dimensions.
    UnsupportedFeatureError
        It reaches beyond the shape along a dimension in which it has an end.
    """
    match selection:
        case RegularHyperslab():
            return math.prod(_lengths(selection, shape, slices))
        case Points(coordinates=last) | Boxes(last=last):
            _check_corners(last, shape)
    count = fixed_count(selection)
    return math.prod(shape) if count is None else count


def selected_box(
    selection: Selection, shape: Sequence[int], slices: int | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """First element and lengths of the box that a selection is, None where it is none.

    Points are one where they are listed in C order. Parameters and errors are those of `element_count`.
    """
    zeros = (0,) * len(shape)
    match selection:
        case AllElements():
            return zeros, tuple(shape)
        case NoElements():
            return zeros, zeros
        case RegularHyperslab():
            lengths = _lengths(selection, shape, slices)
            for stride, block, length in zip(selection.stride, selection.block, lengths, strict=True):
                if block not in (UNLIMITED, stride) and length > block:
                    return None
            return selection.start, lengths
        case Points(coordinates):
            count = element_count(selection, shape)
            low, high = coordinates.min(axis=0), coordinates.max(axis=0)
            size = _sizes(low, high)
            if math.prod(size) != count or (_flat(coordinates - low, size) != np.arange(count)).any():
                return None
            return _as_tuple(low), size
        case Boxes(first, last):
            count = element_count(selection, shape)
            low, size = first.min(axis=0), _sizes(first.min(axis=0), last.max(axis=0))
            return (_as_tuple(low), size) if math.prod(size) == count else None


def flat_positions(
    selection: Selection, shape: Sequence[int], slices: int | None = None, *, limit: int, refusal: ManifestryError
) -> NDArray[np.int64]:
    """C-order positions of the selected elements in a dataset of a shape, in the order of the selection.

    Parameters
    ----------
    limit
        How many there may be.

    Returns
    -------
    int64 ``(n,)``

    Raises
    ------
    ManifestryError
        `refusal`, where there are more; otherwise as `element_count`.
    """
    count = element_count(selection, shape, slices)
    if count > limit:
        raise refusal
    if count and math.prod(shape) > _MAX_POSITION:
        raise UnsupportedFeatureError(f"selection of a dataset of shape {tuple(shape)}, whose elements have no numbers")
    match selection:
        case RegularHyperslab() if count:
            lengths = _lengths(selection, shape, slices)
            flat = np.zeros(1, "i8")
            for axis, length in enumerate(lengths):
                flat = (flat[:, None] * shape[axis] + _indices(selection, axis, length)).reshape(-1)
            return flat
        case Points(coordinates):
            return _flat(coordinates, shape)
        case Boxes():
            return np.sort(_flat(_coordinates(selection), shape))
    return np.arange(count, dtype="i8")


def _lengths(selection: RegularHyperslab, shape: Sequence[int], slices: int | None) -> tuple[int, ...]:
    """How many indices are selected along each dimension."""
    _check_rank(len(selection.start), shape)
    lengths = []
    parts = zip(selection.start, selection.stride, selection.count, selection.block, shape, strict=True)
    for start, stride, count, block, length in parts:
        if UNLIMITED not in (count, block):
            _check_end(start + (count - 1) * stride + block, length, shape)
            lengths.append(count * block)
            continue
        rest = max(0, length - start)
        whole, part = divmod(rest, stride)
        selected = rest if block == UNLIMITED else whole * block + min(part, block)
        lengths.append(selected if slices is None else min(selected, slices))
    return tuple(lengths)


def _indices(selection: RegularHyperslab, axis: int, length: int) -> NDArray[np.int64]:
    """The first `length` indices that are selected along a dimension."""
    numbers = np.arange(length, dtype="i8")
    start, stride, block = selection.start[axis], selection.stride[axis], selection.block[axis]
    if length > block != UNLIMITED:
        numbers = numbers // block * stride + numbers % block
    return numbers + start


def _coordinates(boxes: Boxes) -> NDArray[np.int64]:
    """The coordinates of all elements of boxes, ``(n, rank)``."""
    sizes = boxes.last - boxes.first + 1
    volumes = sizes.prod(axis=1)
    of = np.repeat(np.arange(len(volumes)), volumes)
    numbers = np.arange(len(of)) - (np.cumsum(volumes) - volumes)[of]
    result = np.empty((len(of), sizes.shape[1]), "i8")
    for axis in reversed(range(sizes.shape[1])):
        length = sizes[of, axis]
        result[:, axis] = numbers % length + boxes.first[of, axis]
        numbers //= length
    return result


def _flat(coordinates: NDArray[np.int64], shape: Sequence[int]) -> NDArray[np.int64]:
    flat = np.zeros(len(coordinates), "i8")
    for axis, length in enumerate(shape):
        flat = flat * length + coordinates[:, axis]
    return flat


def _sizes(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[int, ...]:
    return _as_tuple(high - low + 1)


def _as_tuple(row: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(map(int, row))


def _check_rank(rank: int, shape: Sequence[int]) -> None:
    if rank != len(shape):
        raise MalformedFileError(
            f"dataspace selection: {rank} dimensions, and its dataset has the shape {tuple(shape)}"
        )


def _check_end(end: int, length: int, shape: Sequence[int]) -> None:
    if end > length:  # HDF5 reads elements that no dataset has as zeros, or as fill values of the one or the other
        raise UnsupportedFeatureError(f"dataspace selection that reaches beyond its dataset of shape {tuple(shape)}")


def _check_corners(last: NDArray[np.int64], shape: Sequence[int]) -> None:
    _check_rank(last.shape[1], shape)
    for end, length in zip(last.max(axis=0).tolist(), shape, strict=True):
        _check_end(end + 1, length, shape)
