"""Fixed array (specification, section VII.C)."""

from __future__ import annotations

import numpy as np
from manifestry.errors import MalformedFileError

from manifestry_hdf5.structures.array_elements import Entries, decode_entries
from manifestry_hdf5.structures.blocks import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import check_blocks, check_heads
from manifestry_hdf5.structures.superblock import Superblock

__all__ = ["read_fixed_array"]

_CHECKSUM = 4


def read_fixed_array(
    superblock: Superblock, address: int, chunk_bytes: int, grid_chunks: int, most_chunks: int
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
        raise MalformedFileError(f"fixed array header at byte {start}: no fixed array of chunks")
    check_blocks(data, len(octets) - _CHECKSUM, np.array([start]), "fixed array header")
    filtered, size, page = octets[5], octets[6], 1 << octets[7]
    count = int.from_bytes(octets[8 : 8 + n], "little")
    block = int.from_bytes(octets[8 + n : 8 + n + o], "little")
    if count > most_chunks:
        raise MalformedFileError(f"fixed array header at byte {start}: {count} elements, more than {most_chunks}")
    if count != grid_chunks:
        raise MalformedFileError(f"fixed array header at byte {start}: {count} elements for {grid_chunks} chunks")
    if block == superblock.undefined or not count:
        return decode_entries(np.empty((0, size), "u1"), filtered, o, chunk_bytes)
    at = superblock.place(block, "fixed array data block")
    pages = -(-count // page) if count > page else 0
    prefix = 6 + o + (pages + 7) // 8
    length = prefix + _CHECKSUM + (0 if pages else count * size)
    superblock.place(block, "fixed array data block", length)
    [data] = yield [Blocks(np.array([at], "i8"), length)]
    head = b"FADB\0" + bytes([filtered]) + address.to_bytes(o, "little")
    check_heads(data, head, np.array([at]), "data block", "fixed array")
    check_blocks(data, length - _CHECKSUM, np.array([at]), "fixed array data block")
    if not pages:
        return decode_entries(data[0, prefix:-_CHECKSUM].reshape(count, size), filtered, o, chunk_bytes)
    bits = np.unpackbits(data[0, 6 + o : prefix])
    if bits[pages:].any():
        raise MalformedFileError(f"fixed array data block at byte {at}: says more pages than it has")
    initialised = np.flatnonzero(bits)
    return (yield from _pages(at + length, initialised, count, page, size, filtered, o, chunk_bytes))


def _pages(
    start: int, initialised: np.ndarray[tuple[int], np.dtype[np.int64]], count: int, page: int, size: int,
    filtered: int, offset_size: int, chunk_bytes: int,
) -> IndexReader[Entries]:  # fmt: skip
    """The elements of the pages that were written; the last page may be shorter."""
    stride, last = page * size + _CHECKSUM, (count - 1) // page
    parts, places = [], []
    for whole in (True, False):
        wanted = initialised[(initialised < last) == whole]
        if not len(wanted):
            continue
        elements = page if whole else count - last * page
        positions = start + wanted * stride
        [data] = yield [Blocks(positions, elements * size + _CHECKSUM)]
        check_blocks(data, elements * size, positions, "fixed array page")
        parts.append(data[:, :-_CHECKSUM].reshape(-1, size))
        places.append((wanted[:, None] * page + np.arange(elements)).reshape(-1))
    if not parts:
        return decode_entries(np.empty((0, size), "u1"), filtered, offset_size, chunk_bytes)
    return decode_entries(np.concatenate(parts), filtered, offset_size, chunk_bytes, np.concatenate(places))
