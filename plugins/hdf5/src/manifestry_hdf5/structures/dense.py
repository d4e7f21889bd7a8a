"""Dense storage of links and attributes: what is checked of it before libhdf5 reads it.

The messages "link info" and "attribute info" (specification, sections IV.A.2.c and IV.A.2.v) say where the fractal heap
is (III.G) that holds the links or attributes, and the version 2 B-trees (III.A.2) by which they are found. libhdf5 (up to
2.0 at least) believes their headers: it ends the process, or allocates all that they claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError, ManifestryError
from numpy.typing import NDArray

from manifestry_hdf5.structures.array_elements import integers
from manifestry_hdf5.structures.batched_reads import Fetch, read_together
from manifestry_hdf5.structures.btree_v2 import Header, walk_btree_v2
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.object_header import SHARED_MESSAGES, Message, read_extension
from manifestry_hdf5.structures.superblock import Read, Superblock

__all__ = ["ATTRIBUTES", "LINKS", "Kind", "check_dense"]

_CHECKSUM: Final = 4
_SHARED: Final = 0x02


class Kind(NamedTuple):
    """Links or attributes.

    Attributes
    ----------
    message
        Type of the message that says where they are.
    counter
        Bytes of the largest creation order in it, where there is one.
    identifier
        Bytes by which the heap knows one.
    records
        Type of the records by name and by creation order, and bytes of each.
    """

    message: int
    counter: int
    identifier: int
    records: tuple[tuple[int, int], tuple[int, int]]


LINKS: Final = Kind(0x02, 8, 7, ((5, 11), (6, 15)))
ATTRIBUTES: Final = Kind(0x15, 2, 8, ((8, 17), (9, 13)))


def check_dense(header: Sequence[Message], kind: Kind, superblock: Superblock, read: Read, fetch: Fetch) -> None:
    """Check where the links or attributes of an object are, if they are in dense storage.

    Raises
    ------
    MalformedFileError
        A structure is damaged, or is not what it should be.
    """
    for message in header:
        if message.kind == kind.message and not message.shared:
            heap, trees = _addresses(message.data, kind, superblock)
            if heap == superblock.undefined:
                continue
            _check_heap(heap, kind, superblock, read, fetch)
            for address, (number, size) in zip(trees, kind.records, strict=False):
                if address != superblock.undefined:
                    for records in _records(address, {number: range(size, size + 1)}, superblock, fetch):
                        _check_flags(records, kind, superblock, read)


def _addresses(data: bytes, kind: Kind, superblock: Superblock) -> tuple[int, list[int]]:
    """Of the heap, and of the B-trees by name and, where there is one, by creation order."""
    o = superblock.offset_size
    at = 2 + (kind.counter if data[1:2] and data[1] & 1 else 0)
    count = 3 if data[1:2] and data[1] & 2 else 2
    if len(data) < at + count * o:
        raise MalformedFileError(f"message of type {kind.message:#x}: too short")
    heap, *trees = (int.from_bytes(data[at + i * o : at + (i + 1) * o], "little") for i in range(count))
    return heap, trees


def _records(
    address: int, record_sizes: Mapping[int, range], superblock: Superblock, fetch: Fetch
) -> Iterator[NDArray[np.uint8]]:
    """The records of all nodes of a B-tree, which is checked as a whole."""

    def take(_: Header, records: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return records

    [levels] = read_together([walk_btree_v2(superblock, address, record_sizes, take, superblock.size)], fetch)
    if isinstance(levels, ManifestryError):
        raise levels
    for level in levels:
        yield from level.parts


def _check_flags(records: NDArray[np.uint8], kind: Kind, superblock: Superblock, read: Read) -> None:
    """An attribute may be in the table of shared messages only where the file has one."""
    shared = kind is ATTRIBUTES and bool((records[:, kind.identifier] & _SHARED).any())
    if shared and SHARED_MESSAGES not in read_extension(read, superblock):
        raise MalformedFileError("attribute in dense storage: it is shared, but the file has no shared messages")


class _Heap(NamedTuple):
    """The fields of the header of a fractal heap that are checked."""

    identifier: int
    huge_tree: int
    huge_count: int
    width: int
    start: int
    largest: int
    bits: int
    root: int
    rows: int


def _check_heap(address: int, kind: Kind, superblock: Superblock, read: Read, fetch: Fetch) -> None:
    o, n = superblock.offset_size, superblock.length_size
    where = f"fractal heap at {address:#x}"
    length = 22 + 12 * n + 3 * o
    start = superblock.place(address, "fractal heap", length + _CHECKSUM)
    octets = read(start, start + length)
    filters = int.from_bytes(octets[7:9], "little")
    if filters:
        length += n + 4 + filters
    octets = read(start, start + length + _CHECKSUM)
    if octets[:5] != b"FRHP\0" or lookup3_of(octets[:length]) != int.from_bytes(octets[length:], "little"):
        raise MalformedFileError(f"{where}: not a fractal heap, or its checksum does not match its bytes")
    heap = _heap_of(octets, o, n)
    # Blocks double in size from the third row of the table on, up to the largest that a heap with addresses of that many bits has.
    max_rows = heap.bits - (heap.width * heap.start).bit_length() + 2
    powers = all(x and not x & (x - 1) for x in (heap.width, heap.start, heap.largest))
    if (
        heap.identifier != kind.identifier
        or not powers
        or not heap.start <= heap.largest < 1 << 32
        or not heap.largest.bit_length() <= heap.bits <= 8 * o
        or heap.rows > max_rows
    ):
        raise MalformedFileError(f"{where}: impossible parameters")
    if heap.root != superblock.undefined:
        superblock.place(heap.root, f"{where}: root block")
    if (heap.huge_tree == superblock.undefined) != (heap.huge_count == 0):
        raise MalformedFileError(f"{where}: {heap.huge_count} huge objects contradict the address of their B-tree")
    if heap.huge_tree != superblock.undefined:
        _check_huge(heap.huge_tree, superblock, fetch, where)


def _heap_of(octets: bytes, o: int, n: int) -> _Heap:
    def number(at: int, size: int) -> int:
        return int.from_bytes(octets[at : at + size], "little")

    table = 14 + 10 * n + 2 * o  # the doubling table
    return _Heap(
        identifier=number(5, 2),
        huge_tree=number(14 + n, o),
        huge_count=number(14 + 7 * n + 2 * o, n),
        width=number(table, 2),
        start=number(table + 2, n),
        largest=number(table + 2 + n, n),
        bits=number(table + 2 + 2 * n, 2),
        root=number(table + 6 + 2 * n, o),
        rows=number(table + 6 + 2 * n + o, 2),
    )


def _check_huge(address: int, superblock: Superblock, fetch: Fetch, where: str) -> None:
    """Objects that are too large for the heap: all lie in the file."""
    o, n = superblock.offset_size, superblock.length_size
    sizes = {1: o + 2 * n, 2: o + 3 * n + 4, 3: o + n, 4: o + 2 * n + 4}
    for records in _records(address, {k: range(size, size + 1) for k, size in sizes.items()}, superblock, fetch):
        starts, lengths = integers(records[:, :o]), integers(records[:, o : o + n])
        room = np.uint64(superblock.size)
        if ((starts > room) | (lengths > room)).any():
            raise MalformedFileError(f"{where}: a huge object lies beyond the end of the file")
