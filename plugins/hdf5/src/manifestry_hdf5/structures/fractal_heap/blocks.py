"""Blocks of a fractal heap: where its managed objects are (specification, sections III.G.1 to III.G.3).

The heap is one range of addresses of its own. A doubling table divides it into direct blocks, which hold the objects, and
indirect blocks, which hold tables of their part of the range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import check_blocks, lookup3_of
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.filters import unfilter
from manifestry_hdf5.structures.fractal_heap.header import FractalHeap

__all__ = ["read_blocks_ahead", "read_managed"]

_CHECKSUM: Final = 4


class _Table(NamedTuple):
    """Blocks as indirect blocks list them, one column for each thing that is said.

    `offsets` and `sizes` are those in the heap; `rows` is 0 for direct blocks; `stored` and `masks` are of filtered ones.
    """

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    rows: NDArray[np.int64]
    addresses: NDArray[np.int64]
    stored: NDArray[np.int64]
    masks: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> _Table:
        """Some of the blocks."""
        return _Table._make(column[chosen] for column in self)


def read_managed(
    superblock: Superblock, heap: FractalHeap, offsets: NDArray[np.int64], lengths: NDArray[np.int64]
) -> IndexReader[list[bytes]]:
    """The objects at some places in the heap.

    Raises
    ------
    MalformedFileError
        One is not inside a block, or a block is not what it should be or not inside the file.
    """
    if not len(offsets):
        return []
    if heap.root == superblock.undefined:
        raise MalformedFileError(f"{heap.where}: it has no blocks, but objects in them")
    if heap.rows:
        table = yield from _find_direct(superblock, heap, np.unique(offsets))
        blocks = yield from _read_direct(superblock, heap, table)
        numbers = np.searchsorted(table.offsets, offsets, "right") - 1
        starts = offsets - np.append(table.offsets, 0)[numbers]
    else:
        blocks = [(yield from _read_root(superblock, heap))]
        numbers, starts = np.zeros(len(offsets), "i8"), offsets
    prefix = 5 + superblock.offset_size + heap.offset_width + (_CHECKSUM if heap.checksummed else 0)
    if int(numbers.min()) < 0 or int(starts.min()) < prefix or int(lengths.min()) < 1:
        raise MalformedFileError(f"{heap.where}: an object is not in any block")
    return _cut(heap, blocks, zip(numbers.tolist(), starts.tolist(), lengths.tolist(), strict=True))


def read_blocks_ahead(superblock: Superblock, heap: FractalHeap) -> IndexReader[None]:
    """Fetch all blocks of a heap: to have them where they are read again.

    Raises
    ------
    MalformedFileError
        As `read_managed`.
    """
    if heap.root == superblock.undefined:
        return
    if not heap.rows:
        length = heap.root_size if heap.filters else heap.start
        yield [Blocks(np.array([superblock.place(heap.root, f"{heap.where}: root block", length)], "i8"), length)]
        return
    table = yield from _find_direct(superblock, heap, None)
    lengths = table.stored if heap.filters else table.sizes
    positions = _positions(superblock, heap, table, lengths)
    yield [Blocks(positions[lengths == length], int(length)) for length in np.unique(lengths)]


def _cut(heap: FractalHeap, blocks: Sequence[bytes], objects: Iterable[tuple[int, int, int]]) -> list[bytes]:
    """Objects by the number of the block that each is in, its place there and its length."""
    parts = []
    for number, start, length in objects:
        part = blocks[number][start : start + length]
        if len(part) != length:
            raise MalformedFileError(f"{heap.where}: an object is not in any block")
        parts.append(part)
    return parts


def _read_root(superblock: Superblock, heap: FractalHeap) -> IndexReader[bytes]:
    """The root block of a heap, where that is a direct block."""
    length = heap.root_size if heap.filters else heap.start
    start = superblock.place(heap.root, f"{heap.where}: root block", length)
    [data] = yield [Blocks(np.array([start], "i8"), length)]
    return _direct(superblock, heap, data[0].tobytes(), _Place(start, 0, heap.start, heap.root_mask))


def _find_direct(superblock: Superblock, heap: FractalHeap, wanted: NDArray[np.int64] | None) -> IndexReader[_Table]:
    """The direct blocks that have objects at some places in the heap, in the order of their own places; None for all."""
    direct = []
    size = heap.row_size(heap.rows) * heap.width
    indirect = _Table._make(np.array([n], "i8") for n in (0, size, heap.rows, heap.root, 0, 0))
    while len(indirect.rows):
        found = yield from _read_tables(superblock, heap, indirect)
        chosen = found
        if wanted is not None:
            first = np.searchsorted(wanted, found.offsets)
            chosen = found.where(np.searchsorted(wanted, found.offsets + found.sizes) > first)
        direct.append(chosen.where(chosen.rows == 0))
        indirect = chosen.where(chosen.rows > 0)
    table = _Table._make(map(np.concatenate, zip(*direct, strict=True)))
    return table.where(np.argsort(table.offsets))


def _positions(
    superblock: Superblock, heap: FractalHeap, table: _Table, lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Absolute positions of blocks, which together take no more than the file has."""
    room = superblock.size - superblock.base
    if (
        (lengths > room - table.addresses).any()
        or len(set(table.addresses.tolist())) != len(table.addresses)
        or float(lengths.sum(dtype="f8")) > room
    ):
        raise MalformedFileError(f"{heap.where}: a block is listed twice, or lies beyond the end of the file")
    return superblock.base + table.addresses


def _head(signature: bytes, superblock: Superblock, heap: FractalHeap, offset: int) -> bytes:
    """How a block begins: signature, version 0, the heap that it is of and its place in it."""
    address = heap.address.to_bytes(superblock.offset_size, "little")
    return signature + b"\0" + address + offset.to_bytes(heap.offset_width, "little")


def _read_tables(superblock: Superblock, heap: FractalHeap, blocks: _Table) -> IndexReader[_Table]:
    """What some indirect blocks list; those of one number of rows are fetched as one."""
    o, n = superblock.offset_size, superblock.length_size
    entry, before = o + (n + 4 if heap.filters else 0), 5 + o + heap.offset_width
    groups = [np.flatnonzero(blocks.rows == rows) for rows in np.unique(blocks.rows)]
    direct = [min(int(blocks.rows[group[0]]), heap.direct_rows) * heap.width for group in groups]
    lengths = np.zeros(len(blocks.rows), "i8")
    for group, count in zip(groups, direct, strict=True):
        lengths[group] = before + count * entry + (int(blocks.rows[group[0]]) * heap.width - count) * o + _CHECKSUM
    positions = _positions(superblock, heap, blocks, lengths)
    parts = yield [Blocks(positions[group], int(lengths[group[0]])) for group in groups]
    tables = []
    for group, count, data in zip(groups, direct, parts, strict=True):
        check_blocks(data, data.shape[1] - _CHECKSUM, positions[group], f"{heap.where}: indirect block")
        for row, offset in zip(data, blocks.offsets[group].tolist(), strict=True):
            if row[:before].tobytes() != _head(b"FHIB", superblock, heap, offset):
                raise MalformedFileError(f"{heap.where}: an indirect block is not the one that is expected there")
            tables.append(_entries(row[before:-_CHECKSUM], superblock, heap, offset, count))
    return _Table._make(map(np.concatenate, zip(*tables, strict=True)))


def _entries(octets: NDArray[np.uint8], superblock: Superblock, heap: FractalHeap, offset: int, direct: int) -> _Table:
    """The blocks that one indirect block lists, of which the first `direct` are direct."""
    o, n = superblock.offset_size, superblock.length_size
    entry = o + (n + 4 if heap.filters else 0)
    first = octets[: direct * entry].reshape(direct, entry)
    rest = octets[direct * entry :].reshape(-1, o)
    count = direct + len(rest)
    sizes = np.repeat([heap.row_size(row) for row in range(count // heap.width)], heap.width).astype("i8")
    rows = np.zeros(count, "i8")
    row_bits = (heap.width * heap.start).bit_length()
    rows[direct:] = [int(size).bit_length() - row_bits + 1 for size in sizes[direct:]]
    stored, masks = np.zeros(count, "i8"), np.zeros(count, "i8")
    if heap.filters:
        stored[:direct] = integers(first[:, o : o + n]).astype("i8")
        masks[:direct] = integers(first[:, o + n :]).astype("i8")
    octets = np.concatenate([first[:, :o], rest])
    defined = np.flatnonzero(~(octets == 255).all(axis=1))
    offsets = offset + np.cumsum(sizes) - sizes
    addresses = integers(octets[defined])
    if len(addresses) and int(addresses.max()) > superblock.size:
        raise MalformedFileError(f"{heap.where}: a block lies beyond the end of the file")
    if (rows[direct:] < 1).any():
        raise MalformedFileError(f"{heap.where}: its indirect blocks are too small for a row")
    said = [column[defined] for column in (offsets, sizes, rows, stored, masks)]
    return _Table._make([*said[:3], addresses.astype("i8"), *said[3:]])


def _read_direct(superblock: Superblock, heap: FractalHeap, table: _Table) -> IndexReader[list[bytes]]:
    """The bytes of direct blocks, behind their filters; those of one length are fetched as one."""
    if not len(table.offsets):
        return []
    lengths = table.stored if heap.filters else table.sizes
    if int(lengths.min()) < 1:
        raise MalformedFileError(f"{heap.where}: a block without bytes")
    positions = _positions(superblock, heap, table, lengths)
    groups = [np.flatnonzero(lengths == length) for length in set(lengths.tolist())]
    parts = yield [Blocks(positions[group], int(lengths[group[0]])) for group in groups]
    blocks = [b""] * len(lengths)
    for group, data in zip(groups, parts, strict=True):
        columns = (positions, table.offsets, table.sizes, table.masks)
        places = map(_Place, *(column[group].tolist() for column in columns))
        for number, row, place in zip(group.tolist(), data, places, strict=True):
            blocks[number] = _direct(superblock, heap, row.tobytes(), place)
    return blocks


class _Place(NamedTuple):
    """Where a direct block is in the file and in the heap, its bytes there, and what filters it did not go through."""

    position: int
    offset: int
    size: int
    mask: int


def _direct(superblock: Superblock, heap: FractalHeap, block: bytes, place: _Place) -> bytes:
    """The bytes of a direct block behind its filters, checked."""
    where = f"{heap.where}: block at byte {place.position}"
    if heap.filters:
        block = unfilter(block, heap.filters, place.mask, place.size, where)
    head = _head(b"FHDB", superblock, heap, place.offset)
    if not block.startswith(head):
        raise MalformedFileError(f"{where}: not the one of this heap that is expected there")
    if heap.checksummed:
        at = len(head)
        zeroed = block[:at] + bytes(_CHECKSUM) + block[at + _CHECKSUM :]  # as it is when the checksum is made
        if lookup3_of(zeroed) != int.from_bytes(block[at : at + _CHECKSUM], "little"):
            raise MalformedFileError(f"{where}: its checksum does not match its bytes")
    return block
