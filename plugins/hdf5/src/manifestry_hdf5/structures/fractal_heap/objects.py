"""Objects of a fractal heap by their heap IDs: managed, huge and tiny ones (specification, sections III.G.4 to III.G.7)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader, in_step
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.blocks import read_managed
from manifestry_hdf5.structures.fractal_heap.filters import unfilter
from manifestry_hdf5.structures.fractal_heap.header import FractalHeap
from manifestry_hdf5.structures.infrastructure.btree_v2 import read_btree_v2_records

__all__ = ["read_objects"]

_MANAGED, _HUGE, _TINY = 0, 1, 2
_SHORT_TINY: Final = 18
"""Bytes of heap IDs up to which the length of a tiny object has 4 bits, and not 12."""


def read_objects(superblock: Superblock, heap: FractalHeap, identifiers: NDArray[np.uint8]) -> IndexReader[list[bytes]]:
    """The objects that heap IDs name.

    Parameters
    ----------
    identifiers
        ``(n, bytes of an ID)``.

    Raises
    ------
    MalformedFileError
        An ID names nothing, or a structure is damaged.
    """
    kinds = identifiers[:, 0] >> 4  # and the version above them
    if not kinds.any():  # nearly always
        return (yield from _read_managed(superblock, heap, identifiers))
    if int(kinds.max()) > _TINY:
        raise MalformedFileError(f"{heap.where}: a heap ID has a version or a type that does not exist")
    managed, huge = np.flatnonzero(kinds == _MANAGED), np.flatnonzero(kinds == _HUGE)
    readers: list[IndexReader[Any]] = [
        _read_managed(superblock, heap, identifiers[managed]),
        _read_huge(superblock, heap, identifiers[huge]),
    ]
    objects: list[bytes] = [b""] * len(identifiers)
    for places, found in zip((managed, huge), (yield from in_step(readers)), strict=True):
        for place, octets in zip(places.tolist(), found, strict=True):
            objects[place] = octets
    for place in np.flatnonzero(kinds == _TINY).tolist():
        objects[place] = _tiny(heap, identifiers[place].tobytes())
    return objects


def _read_managed(
    superblock: Superblock, heap: FractalHeap, identifiers: NDArray[np.uint8]
) -> IndexReader[list[bytes]]:
    end = 1 + heap.offset_width
    offsets, lengths = integers(identifiers[:, 1:end]), integers(identifiers[:, end : end + heap.length_width])
    if (offsets >> np.uint64(heap.bits)).any():
        raise MalformedFileError(f"{heap.where}: an object lies beyond the end of the heap")
    return (yield from read_managed(superblock, heap, offsets.astype("i8"), lengths.astype("i8")))


def _tiny(heap: FractalHeap, identifier: bytes) -> bytes:
    """An object that is in its ID."""
    length, at = (identifier[0] & 0x0F) + 1, 1
    if heap.identifier_length > _SHORT_TINY:
        length, at = ((identifier[0] & 0x0F) << 8 | identifier[1]) + 1, 2
    if at + length > len(identifier):
        raise MalformedFileError(f"{heap.where}: a tiny object of {length} bytes in an ID of {len(identifier)}")
    return identifier[at : at + length]


def _read_huge(superblock: Superblock, heap: FractalHeap, identifiers: NDArray[np.uint8]) -> IndexReader[list[bytes]]:
    """Objects that have a place of their own in the file, which the ID says or else the B-tree of huge objects."""
    if not len(identifiers):
        return []
    o, n = superblock.offset_size, superblock.length_size
    width = o + n + (4 + n if heap.filters else 0)
    if heap.identifier_length - 1 >= width:
        places = identifiers[:, 1 : 1 + width]
    else:
        places = yield from _find_huge(superblock, heap, identifiers, width)
    starts, lengths = integers(places[:, :o]), integers(places[:, o : o + n])
    room = superblock.size - superblock.base
    if (lengths > room).any() or (starts > room - lengths.astype("i8")).any() or lengths.sum(dtype="f8") > room:
        raise MalformedFileError(f"{heap.where}: a huge object lies beyond the end of the file")
    positions = superblock.base + starts.astype("i8")
    parts = yield [Blocks(positions[i : i + 1], int(length)) for i, length in enumerate(lengths)]
    objects = [data[0].tobytes() for data in parts]
    if heap.filters:
        masks, sizes = integers(places[:, o + n : o + n + 4]).tolist(), integers(places[:, o + n + 4 :]).tolist()
        where = f"{heap.where}: huge object"
        objects = [
            unfilter(*one, where) for one in zip(objects, [heap.filters] * len(objects), masks, sizes, strict=True)
        ]
    return objects


def _find_huge(
    superblock: Superblock, heap: FractalHeap, identifiers: NDArray[np.uint8], width: int
) -> IndexReader[NDArray[np.uint8]]:
    """What the B-tree of huge objects says of some, ``(n, width)``: records of type 1, or 2 where they are filtered."""
    if heap.huge_tree == superblock.undefined:
        raise MalformedFileError(f"{heap.where}: it has no B-tree of huge objects, but such an object")
    number, size = 2 if heap.filters else 1, width + superblock.length_size
    records = yield from read_btree_v2_records(superblock, heap.huge_tree, number, size)
    keys, wanted = integers(records[:, width:]), integers(identifiers[:, 1:9])
    order = np.argsort(keys)
    found = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)] if len(keys) else np.zeros(0, "i8")
    if len(found) != len(wanted) or (keys[found] != wanted).any():
        raise MalformedFileError(f"{heap.where}: its B-tree does not know a huge object")
    places: NDArray[np.uint8] = records[found, :width]
    return places
