"""Dense storage of links and attributes: a fractal heap has the messages, a version 2 B-tree knows them by name.

Specification, sections III.G and III.A.2.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import IndexReader, in_step
from manifestry_hdf5.structures.data_objects.info_messages import DenseInfo
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.header import FractalHeap, read_heap_header
from manifestry_hdf5.structures.infrastructure.btree_v2 import read_btree_v2_records

__all__ = ["ATTRIBUTES", "LINKS", "DenseKind", "read_records"]


class DenseKind(NamedTuple):
    """Links or attributes.

    Attributes
    ----------
    identifier
        Bytes of a heap ID.
    by_name, by_order
        Type and bytes of the records of the B-trees by name and by creation order.
    """

    identifier: int
    by_name: tuple[int, int]
    by_order: tuple[int, int]


LINKS: Final = DenseKind(7, (5, 11), (6, 15))
ATTRIBUTES: Final = DenseKind(8, (8, 17), (9, 13))


def read_records(
    superblock: Superblock, info: DenseInfo, kind: DenseKind, *, by_order: bool = False
) -> IndexReader[tuple[FractalHeap, NDArray[np.uint8]]]:
    """The heap of an object's links or attributes, and the records of one of their B-trees, ``(n, bytes of a record)``.

    Records begin with a hash of the name and the heap ID of a link, the heap ID of an attribute, or the creation order
    and the heap ID of a link.

    Raises
    ------
    MalformedFileError
        There are none, or a structure is damaged.
    """
    number, size = kind.by_order if by_order else kind.by_name
    address = info.by_order if by_order else info.by_name
    if info.heap is None or address is None:
        raise MalformedFileError("dense storage: it has no such heap and B-tree")
    readers: list[IndexReader[Any]] = [
        read_heap_header(superblock, info.heap, kind.identifier),
        read_btree_v2_records(superblock, address, number, size),
    ]
    heap, records = yield from in_step(readers)
    return heap, records
