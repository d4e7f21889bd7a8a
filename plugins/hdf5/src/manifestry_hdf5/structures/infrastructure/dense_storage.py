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
    by_name
        Type and bytes of the records of the B-tree by name.
    """

    identifier: int
    by_name: tuple[int, int]


LINKS: Final = DenseKind(7, (5, 11))
ATTRIBUTES: Final = DenseKind(8, (8, 17))


def read_records(
    superblock: Superblock, info: DenseInfo, kind: DenseKind
) -> IndexReader[tuple[FractalHeap, NDArray[np.uint8]]]:
    """The heap of an object's links or attributes, and the records of their B-tree by name, ``(n, bytes of a record)``.

    Records begin with a hash of the name and the heap ID of a link, or with the heap ID of an attribute.

    Raises
    ------
    MalformedFileError
        There are none, or a structure is damaged.
    """
    if info.heap is None or info.by_name is None:
        raise MalformedFileError("dense storage: it has no such heap and B-tree")
    readers: list[IndexReader[Any]] = [
        read_heap_header(superblock, info.heap, kind.identifier),
        read_btree_v2_records(superblock, info.by_name, *kind.by_name),
    ]
    heap, records = yield from in_step(readers)
    return heap, records
