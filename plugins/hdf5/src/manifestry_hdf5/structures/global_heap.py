"""Global heap: where variable-length data is (specification, section III.E)."""

from __future__ import annotations

from typing import Final

from manifestry.errors import MalformedFileError

from manifestry_hdf5.structures.superblock import Read, Superblock

__all__ = ["SIGNATURE", "GlobalHeap", "check_collection"]

SIGNATURE: Final = b"GCOL\x01\0\0\0"
"""How a collection begins: its name, version 1, and three bytes of zero."""

_OBJECT_HEADER: Final = 8  # index, reference count and padding, before the size


def check_collection(data: bytes | memoryview, length_size: int, where: str) -> None:
    """Check that the objects of a collection follow each other to its end, or to that of the part of it that is given.

    libhdf5 (up to 2.0 at least) goes from one to the next by their sizes and for ever if one has none.

    Raises
    ------
    MalformedFileError
        An object has no size, or reaches over the end.
    """
    n = length_size
    end, at = int.from_bytes(data[8 : 8 + n], "little"), 8 + n
    header = _OBJECT_HEADER + n
    while at + header <= min(end, len(data)):
        number = int.from_bytes(data[at : at + 2], "little")
        size = int.from_bytes(data[at + _OBJECT_HEADER : at + header], "little")
        step = header + -(-size // 8) * 8 if number else size
        if not step or at + step > end:
            raise MalformedFileError(f"global heap collection at {where}: object {number} of {size} bytes")
        at += step


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

    def object(self, identifier: bytes) -> bytes:
        """The object of a heap identifier: address of a collection, then the number of the object in it.

        Raises
        ------
        MalformedFileError
            There is no such collection, or no such object in it.
        """
        o = self._superblock.offset_size
        address, number = int.from_bytes(identifier[:o], "little"), int.from_bytes(identifier[o : o + 4], "little")
        if address not in self._collections:
            self._collections[address] = self._collection(address)
        found = self._collections[address].get(number)
        if found is None:
            raise MalformedFileError(f"global heap collection at {address:#x}: no object {number}")
        return found

    def _collection(self, address: int) -> dict[int, bytes]:
        start, n = self._superblock.base + address, self._superblock.length_size
        head = self._read(start, start + 8 + n)
        if not head.startswith(SIGNATURE[:5]):
            raise MalformedFileError(f"global heap collection at {address:#x}: no collection")
        data = self._read(start, start + int.from_bytes(head[8:], "little"))
        check_collection(data, n, hex(address))
        objects, at = {}, 8 + n
        while at + _OBJECT_HEADER + n <= len(data):
            number = int.from_bytes(data[at : at + 2], "little")
            size = int.from_bytes(data[at + _OBJECT_HEADER : at + _OBJECT_HEADER + n], "little")
            if not number:  # free space to the end
                break
            at += _OBJECT_HEADER + n
            objects[number] = data[at : at + size]
            at += -(-size // 8) * 8
        return objects
