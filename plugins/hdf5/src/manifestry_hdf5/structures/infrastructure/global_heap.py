"""Global heap: where variable-length data is (specification, section III.E)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.file_metadata.superblock import Read, Superblock

__all__ = ["COLLECTION_BYTES", "SIGNATURE", "GlobalHeap", "read_collections_ahead"]

SIGNATURE: Final = b"GCOL\x01\0\0\0"
"""How a collection begins: its name, version 1, and three bytes of zero."""

_BEFORE_LENGTH: Final = 8
"""Bytes before the length of a collection (its signature) and of an object (number, references and padding)."""


COLLECTION_BYTES: Final = 4096
"""Bytes of a collection, unless one object in it takes more."""

_MAX_AHEAD: Final = 1 << 20
"""Bytes of a collection that are read ahead at most."""


def _round_up(size: int) -> int:
    """Bytes that a part takes: headers and objects are padded to multiples of 8."""
    return -(-size // 8) * 8


def _objects(data: bytes, length_size: int, where: str) -> Iterator[tuple[int, int, int]]:
    """Number, first byte and size of each object of a collection; number 0 is free space.

    Raises
    ------
    MalformedFileError
        An object has no size, so that it would never end, or reaches over the end.
    """
    length_end = _BEFORE_LENGTH + length_size
    end, header = int.from_bytes(data[_BEFORE_LENGTH:length_end], "little"), _round_up(length_end)
    at = header
    while at + header <= min(end, len(data)):
        number = int.from_bytes(data[at : at + 2], "little")
        size = int.from_bytes(data[at + _BEFORE_LENGTH : at + length_end], "little")
        step = header + _round_up(size) if number else size
        if not step or at + step > end:
            raise MalformedFileError(
                f"global heap collection at {where}: object {number} of {size} bytes is empty or reaches over the end"
            )
        yield number, at + header, size
        at += step


def read_collections_ahead(superblock: Superblock, addresses: Iterable[int]) -> IndexReader[None]:
    """Fetch collections, whatever there is at their addresses: to have them where they are read again."""
    n, room = superblock.length_size, superblock.size - superblock.base
    starts = np.array(sorted(superblock.base + address for address in addresses if address < room), "i8")
    [data] = yield [Blocks(starts, COLLECTION_BYTES)]
    longer = []
    for start, row in zip(starts.tolist(), data, strict=True):
        head = row[: _BEFORE_LENGTH + n].tobytes()
        length = int.from_bytes(head[_BEFORE_LENGTH:], "little")
        if head.startswith(SIGNATURE[:5]) and length > COLLECTION_BYTES:
            longer.append(Blocks(np.array([start], "i8"), min(length, superblock.size - start, _MAX_AHEAD)))
    if longer:
        yield longer


class GlobalHeap:
    """The objects of all heap collections of a file; a collection is read once.

    Parameters
    ----------
    read
        Bytes of the file by absolute position.
    """

    def __init__(self, read: Read, superblock: Superblock) -> None:
        self._read = read
        self._superblock = superblock
        self._collections: dict[int, dict[int, bytes]] = {}
        self._room = superblock.size  # bytes that other collections can have: they do not overlap

    @property
    def descriptor_size(self) -> int:
        """Bytes of what datasets and attributes have in place of an element of variable length."""
        return 8 + self._superblock.offset_size

    def object(self, identifier: bytes) -> bytes:
        """The object of a heap identifier: address of a collection, then the number of the object in it.

        Raises
        ------
        MalformedFileError
            There is no such collection, or no such object in it.
        """
        o = self._superblock.offset_size
        address, number = int.from_bytes(identifier[:o], "little"), int.from_bytes(identifier[o : o + 4], "little")
        data = self.collection(address).get(number)
        if data is None:
            raise MalformedFileError(f"global heap collection at {address:#x}: has no object {number}")
        return data

    def collection(self, address: int) -> Mapping[int, bytes]:
        """The objects of the collection at an address by their numbers.

        Raises
        ------
        MalformedFileError
            There is no such collection.
        """
        if address not in self._collections:
            self._collections[address] = self._collection(address)
        return self._collections[address]

    def _collection(self, address: int) -> dict[int, bytes]:
        start, length_size = self._superblock.base + address, self._superblock.length_size
        head = self._read(start, start + _BEFORE_LENGTH + length_size)
        if not head.startswith(SIGNATURE[:5]):
            raise MalformedFileError(f"global heap collection at {address:#x}: not a collection")
        data = self._read(start, start + int.from_bytes(head[_BEFORE_LENGTH:], "little"))
        objects = list(_objects(data, length_size, hex(address)))
        self._room -= len(data)
        if self._room < 0:
            raise MalformedFileError(f"global heap collection at {address:#x}: it overlaps with others")
        used = takewhile(lambda one: one[0], objects)  # free space lies at the end
        return {number: data[first : first + size] for number, first, size in used}
