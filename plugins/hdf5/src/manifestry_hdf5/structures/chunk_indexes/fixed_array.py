"""Fixed array (specification, section VII.C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import check_blocks, check_heads, checksums_hold
from manifestry_hdf5.structures.chunk_indexes.array_elements import Entries, decode_entries
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["SmallArrays", "read_fixed_array", "read_small_fixed_arrays"]

_CHECKSUM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Array:
    """The header of an array, and what its elements have in common."""

    filtered: int
    size: int  # bytes of an element
    page: int  # elements of a page
    count: int  # elements
    offset_size: int
    chunk_bytes: int

    def decode(self, octets: NDArray[np.uint8], places: NDArray[np.int64] | None = None) -> Entries:
        """Elements from their bytes, ``(n, size)``; see `decode_entries`."""
        return decode_entries(octets, self.filtered, self.offset_size, self.chunk_bytes, places)

    def none(self) -> Entries:
        """No elements."""
        return self.decode(np.empty((0, self.size), "u1"))


def read_fixed_array(
    superblock: Superblock, address: int, chunk_bytes: int, grid_chunks: int, max_chunks: int
) -> IndexReader[Entries]:
    """The elements of the fixed array at an address; an element's place is the number of its chunk.

    Parameters
    ----------
    grid_chunks
        Chunks of the array when it is as large as it may become: as many elements as there must be.

    Raises
    ------
    MalformedFileError
        A structure is not what it should be or damaged, or there are more chunks than allowed.
    """
    o, n = superblock.offset_size, superblock.length_size
    start = superblock.place(address, "fixed array header")
    [data] = yield [Blocks(np.array([start], "i8"), 8 + n + o + _CHECKSUM)]
    octets = data[0].tobytes()
    if octets[:5] != b"FAHD\0" or octets[5] not in (0, 1):
        raise MalformedFileError(f"fixed array header at byte {start}: not a fixed array of chunks")
    check_blocks(data, len(octets) - _CHECKSUM, np.array([start]), "fixed array header")
    count = int.from_bytes(octets[8 : 8 + n], "little")
    block = int.from_bytes(octets[8 + n : 8 + n + o], "little")
    if count > max_chunks:
        raise MalformedFileError(
            f"fixed array header at byte {start}: {count} elements are more than the {max_chunks} chunks allowed"
        )
    if count != grid_chunks:
        raise MalformedFileError(
            f"fixed array header at byte {start}: {count} elements do not match {grid_chunks} chunks"
        )
    array = _Array(
        filtered=octets[5],
        size=octets[6],
        page=1 << octets[7],
        count=count,
        offset_size=o,
        chunk_bytes=chunk_bytes,
    )
    if block == superblock.undefined or not count:
        return array.none()
    at = superblock.place(block, "fixed array data block")
    pages = -(-count // array.page) if count > array.page else 0
    prefix = 6 + o + (pages + 7) // 8
    length = prefix + _CHECKSUM + (0 if pages else count * array.size)
    superblock.place(block, "fixed array data block", length)
    [data] = yield [Blocks(np.array([at], "i8"), length)]
    head = b"FADB\0" + bytes([array.filtered]) + address.to_bytes(o, "little")
    check_heads(data, head, np.array([at]), "data block", "fixed array")
    check_blocks(data, length - _CHECKSUM, np.array([at]), "fixed array data block")
    if not pages:
        return array.decode(data[0, prefix:-_CHECKSUM].reshape(count, array.size))
    bits = np.unpackbits(data[0, 6 + o : prefix])
    if bits[pages:].any():
        raise MalformedFileError(f"fixed array data block at byte {at}: it lists more pages than it has")
    return (yield from _pages(array, at + length, np.flatnonzero(bits)))


def _pages(array: _Array, start: int, initialised: NDArray[np.int64]) -> IndexReader[Entries]:
    """The elements of the pages that were written; the last page may be shorter."""
    stride, last = array.page * array.size + _CHECKSUM, (array.count - 1) // array.page
    parts, places = [], []
    for whole in (True, False):
        wanted = initialised[(initialised < last) == whole]
        if not len(wanted):
            continue
        elements = array.page if whole else array.count - last * array.page
        length, positions = elements * array.size, start + wanted * stride
        [data] = yield [Blocks(positions, length + _CHECKSUM)]
        check_blocks(data, length, positions, "fixed array page")
        parts.append(data[:, :-_CHECKSUM].reshape(-1, array.size))
        places.append((wanted[:, None] * array.page + np.arange(elements)).reshape(-1))
    return array.decode(np.concatenate(parts), np.concatenate(places)) if parts else array.none()


class SmallArrays(NamedTuple):
    """What some arrays hold whose elements are equally many and of one form, one array after the other.

    Attributes
    ----------
    numbers
        Which arrays they are, of those that were asked for.
    counts
        The elements of each that are defined.
    entries
        These elements; the place of one counts from the first element of its array.
    """

    numbers: NDArray[np.intp]
    counts: NDArray[np.intp]
    entries: Entries


def read_small_fixed_arrays(
    superblock: Superblock, addresses: NDArray[np.int64], elements: NDArray[np.int64], chunk_bytes: NDArray[np.uint64]
) -> IndexReader[list[SmallArrays]]:
    """The elements of many fixed arrays that have no pages, as most have none.

    An array with pages or without a data block, one of another length, and one that is damaged in any way is in no
    part of the result; `read_fixed_array` says what it is.

    Parameters
    ----------
    elements
        As many as each array must have.
    chunk_bytes
        What the chunks of each take that are not filtered.
    """
    o, size = superblock.offset_size, 8 + superblock.length_size + superblock.offset_size
    numbers = np.flatnonzero(addresses + size + _CHECKSUM <= superblock.size - superblock.base)
    [data] = yield [Blocks(superblock.base + addresses[numbers], size + _CHECKSUM)]
    blocks = integers(data[:, size - o : size])
    forms = _forms(data, blocks, elements[numbers], superblock)
    lengths = [6 + o + form.elements * form.size + _CHECKSUM for form in forms]
    found = yield [
        Blocks(superblock.base + blocks[rows].astype("i8"), length)
        for rows, length in zip(forms.values(), lengths, strict=True)
    ]
    parts = []
    for (form, rows), octets in zip(forms.items(), found, strict=True):
        arrays = numbers[rows]
        good = octets[:, :4] == np.frombuffer(b"FADB", "u1")
        good = good.all(axis=1) & (octets[:, 4] == 0) & (octets[:, 5] == form.filtered)
        good &= integers(octets[:, 6 : 6 + o]) == addresses[arrays].astype("u8")
        good &= checksums_hold(octets, octets.shape[1] - _CHECKSUM)
        arrays = arrays[good]
        columns = octets[good, 6 + o : -_CHECKSUM].reshape(-1, form.size)
        entries = decode_entries(columns, form.filtered, o, 0, np.arange(len(columns)))
        rows_of, places = np.divmod(entries.places, form.elements)
        sizes = entries.sizes if form.filtered else chunk_bytes[arrays[rows_of]]
        counts = np.bincount(rows_of, minlength=len(arrays))
        parts.append(SmallArrays(arrays, counts, entries._replace(places=places, sizes=sizes)))
    return parts


class _Form(NamedTuple):
    """What small arrays have in common that are read together: kind, bytes of an element, elements."""

    filtered: int
    size: int
    elements: int


def _forms(
    headers: NDArray[np.uint8], blocks: NDArray[np.uint64], elements: NDArray[np.int64], superblock: Superblock
) -> dict[_Form, list[int]]:
    """The headers of sound arrays without pages, by form.

    Parameters
    ----------
    blocks
        Addresses of their data blocks.
    elements
        As many as there must be.
    """
    o, n = superblock.offset_size, superblock.length_size
    filtered, sizes = headers[:, 5], headers[:, 6].astype("i8")
    good = (headers[:, :5] == np.frombuffer(b"FAHD\0", "u1")).all(axis=1)
    good &= checksums_hold(headers, headers.shape[1] - _CHECKSUM)
    good &= integers(headers[:, 8 : 8 + n]) == elements.astype("u8")
    good &= (elements > 0) & (elements <= 1 << np.minimum(headers[:, 7], 32).astype("i8"))
    good &= np.where(filtered, (filtered == 1) & (sizes >= o + 5), sizes == o)
    room = superblock.size - superblock.base - (6 + o + elements * sizes + _CHECKSUM)
    good &= (room >= 0) & (blocks <= np.maximum(room, 0).astype("u8"))
    forms: dict[_Form, list[int]] = {}
    columns = (column[good].tolist() for column in (filtered, sizes, elements))
    for row, form in zip(np.flatnonzero(good).tolist(), map(_Form._make, zip(*columns, strict=True)), strict=True):
        forms.setdefault(form, []).append(row)
    return forms
