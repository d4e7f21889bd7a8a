"""Fractal heap: objects of any length by their heap IDs (specification, section III.G)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.data_objects.filter_pipeline_message import StoredFilter
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.filters import parse_filters

__all__ = ["FractalHeap", "read_heap_header"]

_HEAD: Final = b"FRHP\0"
_CHECKSUM: Final = 4
_CHECKSUMMED: Final = 0x02
_MAX_BITS: Final = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class FractalHeap:
    """The header of a fractal heap.

    Attributes
    ----------
    address
        Where it is.
    identifier_length
        Bytes of a heap ID.
    filters
        What blocks and huge objects went through.
    checksummed
        Whether direct blocks have checksums.
    max_managed
        Bytes up to which an object is in a block.
    huge_tree, huge_count
        Address of the B-tree of objects that are not, and their number.
    width, start, largest, bits
        The doubling table: blocks in a row, bytes of the first blocks, of the largest direct ones, and of addresses in the
        heap.
    root, rows
        Address of the root block, and the rows of it; without any it is a direct block.
    root_size, root_mask
        Stored bytes and filter mask of a root block that is filtered.
    """

    address: int
    identifier_length: int
    filters: tuple[StoredFilter, ...]
    checksummed: bool
    max_managed: int
    huge_tree: int
    huge_count: int
    width: int
    start: int
    largest: int
    bits: int
    root: int
    rows: int
    root_size: int
    root_mask: int

    @property
    def where(self) -> str:
        """What it is called in errors."""
        return f"fractal heap at {self.address:#x}"

    @property
    def offset_width(self) -> int:
        """Bytes of an address in the heap."""
        return (self.bits + 7) // 8

    @property
    def length_width(self) -> int:
        """Bytes of the length of an object in a block."""
        return min((self.largest.bit_length() + 6) // 8, (self.max_managed.bit_length() - 1) // 8 + 1)

    @property
    def direct_rows(self) -> int:
        """Rows of direct blocks; those behind them are of indirect ones."""
        return self.largest.bit_length() - self.start.bit_length() + 2

    def row_size(self, row: int) -> int:
        """Bytes in the heap of a block of a row."""
        return self.start << max(row - 1, 0)


def read_heap_header(superblock: Superblock, address: int, identifier_length: int) -> IndexReader[FractalHeap]:
    """The header of the heap at an address, whose IDs are expected to have a length.

    Raises
    ------
    MalformedFileError
        There is none, or it is damaged or impossible.
    UnsupportedFeatureError
        A filter of the heap is not known.
    """
    o, n = superblock.offset_size, superblock.length_size
    where = f"fractal heap at {address:#x}"
    length = 22 + 12 * n + 3 * o
    start = superblock.place(address, where, length + _CHECKSUM)
    [data] = yield [Blocks(np.array([start], "i8"), length + _CHECKSUM)]
    octets = data[0].tobytes()
    encoded = int.from_bytes(octets[7:9], "little")
    if octets[:5] == _HEAD and encoded:
        length += n + 4 + encoded
        superblock.place(address, where, length + _CHECKSUM)
        [data] = yield [Blocks(np.array([start], "i8"), length + _CHECKSUM)]
        octets = data[0].tobytes()
    if octets[:5] != _HEAD or lookup3_of(octets[:length]) != int.from_bytes(octets[length:], "little"):
        raise MalformedFileError(f"{where}: not a fractal heap, or its checksum does not match its bytes")
    heap = _parse(octets, address, encoded, o, n)
    _check(heap, superblock, identifier_length)
    return heap


def _parse(octets: bytes, address: int, encoded: int, o: int, n: int) -> FractalHeap:
    def number(at: int, size: int) -> int:
        return int.from_bytes(octets[at : at + size], "little")

    table = 14 + 10 * n + 2 * o  # the doubling table
    filtered = table + 8 + 2 * n + o
    return FractalHeap(
        address=address,
        identifier_length=number(5, 2),
        filters=parse_filters(octets[filtered + n + 4 : -_CHECKSUM], f"fractal heap at {address:#x}")
        if encoded
        else (),
        checksummed=bool(octets[9] & _CHECKSUMMED),
        max_managed=number(10, 4),
        huge_tree=number(14 + n, o),
        huge_count=number(14 + 7 * n + 2 * o, n),
        width=number(table, 2),
        start=number(table + 2, n),
        largest=number(table + 2 + n, n),
        bits=number(table + 2 + 2 * n, 2),
        root=number(table + 6 + 2 * n, o),
        rows=number(table + 6 + 2 * n + o, 2),
        root_size=number(filtered, n) if encoded else 0,
        root_mask=number(filtered + n, 4) if encoded else 0,
    )


def _check(heap: FractalHeap, superblock: Superblock, identifier_length: int) -> None:
    # Blocks double in size from the third row of the table on, up to the largest that a heap with addresses of that many bits has.
    max_rows = heap.bits - (heap.width * heap.start).bit_length() + 2
    powers = all(x and not x & (x - 1) for x in (heap.width, heap.start, heap.largest))
    if (
        heap.identifier_length != identifier_length
        or not powers
        or not heap.start <= heap.largest < 1 << 32
        or not heap.largest.bit_length() <= heap.bits <= _MAX_BITS
        or heap.rows > max_rows
        or not heap.max_managed
        or 1 + heap.offset_width + heap.length_width > heap.identifier_length
    ):
        raise MalformedFileError(f"{heap.where}: impossible parameters")
    if heap.root != superblock.undefined:
        superblock.place(heap.root, f"{heap.where}: root block")
    if (heap.huge_tree == superblock.undefined) != (heap.huge_count == 0):
        raise MalformedFileError(f"{heap.where}: {heap.huge_count} huge objects contradict the address of their B-tree")
