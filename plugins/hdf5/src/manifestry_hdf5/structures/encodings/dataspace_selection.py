"""Dataspace selection: which elements of a dataset a reference or a mapping means (specification, section VIII.B).

Heap objects of virtual datasets and of region references hold selections, in the form in which HDF5 serializes them.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_hdf5.structures.data_objects.dataspace_message import UNLIMITED
from manifestry_hdf5.structures.fields import Fields, integers

__all__ = [
    "AllElements",
    "Boxes",
    "NoElements",
    "Points",
    "RegularHyperslab",
    "Selection",
    "parse_selection",
]

_NONE, _POINTS, _HYPERSLAB, _ALL = range(4)
_REGULAR: Final = 0x01
_FORMS: Final = {2: "H", 4: "I", 8: "Q"}
"""The widths of coordinates and counts, and how `struct` calls them."""

_MAX_DIMENSIONS: Final = 32
_MAX_POSITION: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class AllElements:
    """Every element, however many there are."""


@dataclass(frozen=True, slots=True)
class NoElements:
    """No element."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Single elements in the order of the list; `coordinates` is int64 ``(n, rank)``."""

    coordinates: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularHyperslab:
    """`count` blocks of `block` indices along each dimension, `stride` apart.

    Along one dimension, either of count and block may be `UNLIMITED`: the selection goes on as far as there are elements.
    """

    start: tuple[int, ...]
    stride: tuple[int, ...]
    count: tuple[int, ...]
    block: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Several boxes that have no element in common, by their first and last corners: int64 ``(n, rank)``, both inclusive."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]


type Selection = AllElements | NoElements | Points | RegularHyperslab | Boxes


def parse_selection(fields: Fields, rank: int | None = None) -> Selection:
    """The selection that begins at the next field; the field after it is the next then.

    Parameters
    ----------
    rank
        How many dimensions the dataset has, None where that is not known. Selections of all elements and of none do not
        say it.

    Raises
    ------
    MalformedFileError
        It is too short, or contradicts itself or `rank`.
    UnsupportedFeatureError
        Its kind or version is not known, or it consists of overlapping boxes.
    """
    kind, version = fields.take(4), fields.take(4)
    match kind, version:
        case (0 | 3, 1):
            fields.octets(8)  # reserved, and a length of 0
            return NoElements() if kind == _NONE else AllElements()
        case (1, 1 | 2):
            return _points(fields, version, rank)
        case (2, 1 | 2 | 3):
            return _hyperslab(fields, version, rank)
    if kind > _ALL:
        raise UnsupportedFeatureError(f"dataspace selection of kind {kind}")
    raise UnsupportedFeatureError(f"dataspace selection of kind {kind} in version {version}")


def _expect(condition: bool, fields: Fields, problem: str) -> None:  # noqa: FBT001 reads like an assertion
    if not condition:
        raise MalformedFileError(f"{fields.structure}: dataspace selection: {problem}")


def _width(fields: Fields) -> int:
    width = fields.take(1)
    _expect(width in _FORMS, fields, f"coordinates of {width} bytes where 2, 4 or 8 are expected")
    return width


def _rank(fields: Fields, expected: int | None) -> int:
    rank = fields.take(4)
    _expect(0 < rank <= _MAX_DIMENSIONS, fields, f"{rank} dimensions where 1 to {_MAX_DIMENSIONS} are expected")
    _expect(expected in (None, rank), fields, f"{rank} dimensions, and {expected} of the dataset that it is of")
    return rank


def _corners(fields: Fields, *shape: int, width: int) -> NDArray[np.int64]:
    """An array of coordinates. How many there are is what the file says: that many bytes have to be there first."""
    data = np.frombuffer(fields.octets(math.prod(shape) * width), "u1")
    numbers = integers(data.reshape(-1, width))
    _expect(not (numbers >= _MAX_POSITION).any(), fields, "coordinates that no dataset reaches")
    return numbers.astype("i8").reshape(shape)


def _points(fields: Fields, version: int, expected: int | None) -> Points:
    if version == 1:
        fields.skip(8)  # reserved, and a length that HDF5 does not look at
    width = 4 if version == 1 else _width(fields)
    rank, count = _rank(fields, expected), fields.take(width)
    _expect(count > 0, fields, "a list of no points")
    return Points(_corners(fields, count, rank, width=width))


def _hyperslab(fields: Fields, version: int, expected: int | None) -> Selection:
    flags = 0 if version == 1 else fields.take(1)
    _expect(not flags & ~_REGULAR, fields, f"flags {flags:#x} that do not exist")
    if version < 3:
        fields.skip(8 if version == 1 else 4)  # as above
    width = {1: 4, 2: 8}.get(version) or _width(fields)
    rank = _rank(fields, expected)
    if flags & _REGULAR:
        return _regular(fields, rank, width)
    if version == 2:  # HDF5 never wrote it, and its versions disagree about the width of the numbers
        raise UnsupportedFeatureError("dataspace selection of boxes in version 2")
    count = fields.take(width)
    _expect(count > 0, fields, "a list of no boxes")
    if count == 1:
        return _box(fields, rank, width)
    corners = _corners(fields, count, 2, rank, width=width)
    boxes = Boxes(corners[:, 0], corners[:, 1])
    _expect(bool((boxes.first <= boxes.last).all()), fields, "a box that ends before it begins")
    if not _are_nested(boxes):
        raise UnsupportedFeatureError(f"{fields.structure}: dataspace selection of overlapping boxes")
    return boxes


def _box(fields: Fields, rank: int, width: int) -> RegularHyperslab:
    """A single box, which most mappings are: without the cost of arrays."""
    numbers = struct.unpack(f"<{2 * rank}{_FORMS[width]}", fields.octets(2 * rank * width))
    first, last, ones = numbers[:rank], numbers[rank:], (1,) * rank
    block = tuple(b - a + 1 for a, b in zip(first, last, strict=True))
    _expect(min(block) > 0, fields, "a box that ends before it begins")
    _expect(max(last) < _MAX_POSITION, fields, "coordinates that no dataset reaches")
    return RegularHyperslab(start=first, stride=ones, count=ones, block=block)


def _regular(fields: Fields, rank: int, width: int) -> RegularHyperslab | NoElements:
    numbers = struct.unpack(f"<{4 * rank}{_FORMS[width]}", fields.octets(4 * rank * width))
    endless = (1 << 8 * width) - 1
    start, stride = numbers[0::4], numbers[1::4]
    count, block = (tuple(UNLIMITED if n == endless else n for n in numbers[i::4]) for i in (2, 3))
    if 0 in count or 0 in block:
        return NoElements()
    _expect((*count, *block).count(UNLIMITED) <= 1, fields, "more than one dimension without end")
    for first, step, blocks, length in zip(start, stride, count, block, strict=True):
        _expect(step > 0, fields, "a stride of 0")
        if length == UNLIMITED:
            _expect(blocks == 1, fields, f"{blocks} blocks without end")
        _expect(blocks == 1 or length <= step, fields, f"blocks of {length} indices that overlap, {step} apart")
        last = first + (max(blocks, 1) - 1) * step + max(length, 1) - 1
        _expect(last < _MAX_POSITION, fields, "coordinates that no dataset reaches")
    return RegularHyperslab(start=start, stride=stride, count=count, block=block)


def _are_nested(boxes: Boxes) -> bool:
    """Whether boxes lie beside each other in the way in which HDF5 divides a selection.

    Along the first dimension any two have the same range or ranges apart; among those with the same it is so along the
    second, and so on. So no two of them have an element in common.
    """
    count, rank = boxes.first.shape
    group = np.zeros(count, "i8")
    for axis in range(rank):
        first, last = boxes.first[:, axis], boxes.last[:, axis]
        order = np.lexsort((last, first, group))
        first, last, of = first[order], last[order], group[order]
        together = of[1:] == of[:-1]
        same = together & (first[1:] == first[:-1]) & (last[1:] == last[:-1])
        if (together & ~same & (first[1:] <= last[:-1])).any() or (axis == rank - 1 and same.any()):
            return False
        group[order] = np.cumsum(np.concatenate([[True], ~same])) - 1
    return True
