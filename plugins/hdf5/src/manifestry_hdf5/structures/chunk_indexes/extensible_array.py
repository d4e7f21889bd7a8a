"""Extensible array (specification, section VII.D).

The first elements are in the index block. The others are in data blocks that become longer: super block ``u`` has
``2**(u // 2)`` data blocks of ``2**((u + 1) // 2)`` times the smallest number of elements. The index block holds the
addresses of the data blocks of the first super blocks, and of the later super blocks themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import check_blocks, check_heads
from manifestry_hdf5.structures.chunk_indexes.array_elements import Entries, decode_entries
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["read_extensible_array"]

_CHECKSUM: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Array:
    """The header of an array."""

    superblock: Superblock
    address: int
    filtered: int
    size: int  # bytes of an element
    bits: int  # width of an element number
    direct: int  # elements in the index block
    smallest: int  # elements of the smallest data block
    pointers: int  # data blocks of the smallest super block with an address of its own
    page: int  # elements of a page
    index_block: int
    stored: int  # one more than the largest number of an element that was set

    def head(self, signature: bytes) -> bytes:
        """How a block of this array begins: with the address of the header, too."""
        return signature + bytes([0, self.filtered]) + self.address.to_bytes(self.superblock.offset_size, "little")

    @property
    def offset_width(self) -> int:
        """Bytes of the element number at the head of super and data blocks."""
        return (self.bits + 7) // 8

    @property
    def super_blocks(self) -> int:
        """Number of super blocks, those without an address among them."""
        return 1 + self.bits - (self.smallest.bit_length() - 1)

    @property
    def unnamed(self) -> int:
        """Super blocks whose data blocks the index block addresses."""
        return 2 * (self.pointers.bit_length() - 1)

    def pages(self, elements: int) -> int:
        """Number of pages of a data block; 0 when it has none."""
        return elements // self.page if elements > self.page else 0

    def bitmap_size(self, elements: int) -> int:
        """Bytes that a super block has for the pages of one data block."""
        return (self.pages(elements) + 7) // 8

    def shape(self, super_block: int) -> tuple[int, int]:
        """Data blocks of a super block, and elements of each."""
        return 1 << super_block // 2, (1 << (super_block + 1) // 2) * self.smallest


type _Wanted = dict[int, list[tuple[int, int, NDArray[np.uint8] | None]]]
"""By number of elements, the data blocks to read: address, number of the first element, bitmap of pages."""


class _Elements:
    """The elements of an array, collected block by block: bytes and numbers."""

    def __init__(self, size: int) -> None:
        self.octets = [np.empty((0, size), "u1")]
        self.places = [np.empty(0, "i8")]

    def add(self, octets: NDArray[np.uint8], places: NDArray[np.int64]) -> None:
        """Elements ``(n, size)`` and their numbers ``(n,)``."""
        self.octets.append(octets)
        self.places.append(places)


def read_extensible_array(
    superblock: Superblock, address: int, chunk_bytes: int, max_chunks: int
) -> IndexReader[Entries]:
    """The elements of the extensible array at an address; an element's place is the number of its chunk.

    Raises
    ------
    MalformedFileError
        A structure is not what it should be or damaged, or there are more chunks than allowed.
    """
    array = yield from _header(superblock, address, max_chunks)
    collected = _Elements(array.size)
    if array.index_block == superblock.undefined:
        return decode_entries(collected.octets[0], array.filtered, superblock.offset_size, chunk_bytes)
    blocks, supers = yield from _index_block(array, collected)
    first = array.direct
    wanted: _Wanted = {}
    position = 0
    for number in range(array.unnamed):
        count, elements = array.shape(number)
        for pointer in blocks[position : position + count].tolist():
            if pointer != superblock.undefined:
                wanted.setdefault(elements, []).append((pointer, first, None))
            first += elements
        position += count
    named = []
    for number, pointer in enumerate(supers.tolist(), array.unnamed):
        count, elements = array.shape(number)
        if pointer != superblock.undefined:
            named.append((pointer, first, count, elements))
        first += count * elements
    yield from _super_blocks(array, named, wanted)
    if sum(elements * len(parts) for elements, parts in wanted.items()) > 2 * max_chunks + array.direct:
        raise MalformedFileError(f"extensible array at {address:#x}: it has more elements than chunks are allowed")
    yield from _data_blocks(array, wanted, collected)
    octets, places = np.concatenate(collected.octets), np.concatenate(collected.places)
    entries = decode_entries(octets, array.filtered, superblock.offset_size, chunk_bytes, places)
    if len(entries.places) and int(entries.places.max()) >= array.stored:
        raise MalformedFileError(f"extensible array at {address:#x}: a chunk lies beyond its {array.stored} elements")
    return entries


def _header(superblock: Superblock, address: int, max_chunks: int) -> IndexReader[_Array]:
    o, n = superblock.offset_size, superblock.length_size
    start = superblock.place(address, "extensible array header")
    [data] = yield [Blocks(np.array([start], "i8"), 12 + 6 * n + o + _CHECKSUM)]
    octets = data[0].tobytes()
    if octets[:5] != b"EAHD\0" or octets[5] not in (0, 1):
        raise MalformedFileError(f"extensible array header at byte {start}: not an extensible array of chunks")
    check_blocks(data, len(octets) - _CHECKSUM, np.array([start]), "extensible array header")
    filtered, size, bits, direct, smallest, pointers, page_bits = octets[5:12]
    if (
        not smallest
        or not pointers
        or smallest & (smallest - 1)
        or pointers & (pointers - 1)
        or bits > 64
        or page_bits > 32
    ):
        raise MalformedFileError(f"extensible array header at byte {start}: impossible parameters {octets[6:12].hex()}")
    stored = int.from_bytes(octets[12 + 4 * n : 12 + 5 * n], "little")
    if stored > max_chunks:
        raise MalformedFileError(
            f"extensible array header at byte {start}: {stored} elements are more than the {max_chunks} chunks allowed"
        )
    block = int.from_bytes(octets[12 + 6 * n : 12 + 6 * n + o], "little")
    return _Array(
        superblock=superblock,
        address=address,
        filtered=filtered,
        size=size,
        bits=bits,
        direct=direct,
        smallest=smallest,
        pointers=pointers,
        page=1 << page_bits,
        index_block=block,
        stored=stored,
    )


def _index_block(array: _Array, collected: _Elements) -> IndexReader[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """Addresses of the data blocks of the first super blocks, and of the later super blocks."""
    o = array.superblock.offset_size
    start = array.superblock.place(array.index_block, "extensible array index block")
    blocks, supers = 2 * (array.pointers - 1), array.super_blocks - array.unnamed
    if supers < 0:
        raise MalformedFileError(f"extensible array index block at byte {start}: impossible parameters")
    first = 6 + o + array.direct * array.size
    length = first + (blocks + supers) * o
    [data] = yield [Blocks(np.array([start], "i8"), length + _CHECKSUM)]
    check_heads(data, array.head(b"EAIB"), np.array([start]), "index block", "extensible array")
    check_blocks(data, length, np.array([start]), "extensible array index block")
    collected.add(data[0, 6 + o : first].reshape(array.direct, array.size), np.arange(array.direct))
    pointers = integers(data[0, first:length].reshape(-1, o))
    return pointers[:blocks], pointers[blocks:]


def _super_blocks(array: _Array, named: Sequence[tuple[int, int, int, int]], wanted: _Wanted) -> IndexReader[None]:
    """Add the data blocks of super blocks, which `named` lists: address, first element, data blocks, elements in each."""
    if not named:
        return
    o = array.superblock.offset_size
    prefix = 6 + o + array.offset_width
    sizes = [(array.bitmap_size(elements), count, elements) for _, _, count, elements in named]
    starts = [
        array.superblock.place(pointer, "extensible array super block", prefix + count * (bitmap + o))
        for (pointer, *_), (bitmap, count, _) in zip(named, sizes, strict=True)
    ]
    blocks = [
        Blocks(np.array([start], "i8"), prefix + count * (bitmap + o) + _CHECKSUM)
        for start, (bitmap, count, _) in zip(starts, sizes, strict=True)
    ]
    read = yield blocks
    for data, start, (_, first, count, elements) in zip(read, starts, named, strict=True):
        check_heads(data, array.head(b"EASB"), np.array([start]), "super block", "extensible array")
        length, bitmap, pages = data.shape[1] - _CHECKSUM, array.bitmap_size(elements), array.pages(elements)
        check_blocks(data, length, np.array([start]), "extensible array super block")
        # The bits of one data block follow those of the last, although there is room for whole bytes of each.
        bits = np.unpackbits(data[0, prefix : prefix + count * bitmap])
        if bits[count * pages :].any():
            raise MalformedFileError(f"extensible array super block at byte {start}: it lists more pages than it has")
        written = bits[: count * pages].reshape(count, pages)
        pointers = integers(data[0, prefix + count * bitmap : length].reshape(count, o))
        wanted.setdefault(elements, []).extend(
            (address, first + i * elements, written[i] if pages else None)
            for i, address in enumerate(pointers.tolist())
            if address != array.superblock.undefined
        )


def _positions(array: _Array, addresses: Sequence[int], elements: int) -> NDArray[np.int64]:
    """Where data blocks are, none of which reaches over the end of the file."""
    structure, length = "extensible array data block", elements * array.size
    return np.array([array.superblock.place(address, structure, length) for address in addresses], "i8")


def _data_blocks(array: _Array, wanted: _Wanted, collected: _Elements) -> IndexReader[None]:
    """The elements of data blocks: whole blocks of all lengths together, then the pages of those that have pages."""
    prefix = 6 + array.superblock.offset_size + array.offset_width
    groups = [
        (elements, _positions(array, [p[0] for p in parts], elements), np.array([p[1] for p in parts], "i8"))
        for elements, parts in wanted.items()
    ]
    plain = [prefix + (0 if array.pages(elements) else elements * array.size) for elements, _, _ in groups]
    read = yield [Blocks(positions, n + _CHECKSUM) for (_, positions, _), n in zip(groups, plain, strict=True)]
    starts, places = [np.empty(0, "i8")], [np.empty(0, "i8")]
    stride = array.page * array.size + _CHECKSUM
    for (elements, positions, firsts), data, length in zip(groups, read, plain, strict=True):
        check_heads(data, array.head(b"EADB"), positions, "data block", "extensible array")
        check_blocks(data, length, positions, "extensible array data block")
        if not array.pages(elements):
            octets = data[:, prefix:length].reshape(-1, array.size)
            collected.add(octets, (firsts[:, None] + np.arange(elements)).reshape(-1))
            continue
        for position, first, (_, _, bitmap) in zip(positions, firsts, wanted[elements], strict=True):
            written = np.flatnonzero(bitmap) if bitmap is not None else np.arange(array.pages(elements))
            starts.append(position + prefix + _CHECKSUM + written * stride)
            places.append(first + written * array.page)
    del read
    positions, numbers = np.concatenate(starts), np.concatenate(places)
    if len(positions):
        [data] = yield [Blocks(positions, stride)]
        check_blocks(data, stride - _CHECKSUM, positions, "extensible array page")
        collected.add(
            data[:, :-_CHECKSUM].reshape(-1, array.size), (numbers[:, None] + np.arange(array.page)).reshape(-1)
        )
