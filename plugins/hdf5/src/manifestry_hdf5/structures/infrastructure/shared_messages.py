"""Shared object header messages: the table of a file, and what a shared message stands for.

Specification, section III.I (the table; the lists and B-trees that it leads to are for writers, who look for equal messages)
and the beginning of IV.A.2 (what an object header has in place of a message).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.data_objects.object_header import Message
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.header import read_heap_header
from manifestry_hdf5.structures.fractal_heap.objects import read_objects

__all__ = [
    "SHARED_TABLE_MESSAGE",
    "SharedIndex",
    "SharedMessages",
    "read_shared_table",
]

SHARED_TABLE_MESSAGE: Final = 0x0F
_CHECKSUM: Final = 4
_IDENTIFIER: Final = 8
_MAX_INDEXES: Final = 8
_IN_HEAP, _COMMITTED = 1, 2
"""Where a shared message of version 3 is: in the heap of an index, or in another object header."""


class SharedIndex(NamedTuple):
    """One index of the table: a bit for each type of message that it is for, and the address of the heap that has those."""

    kinds: int
    heap: int


def read_shared_table(superblock: Superblock, message: bytes) -> IndexReader[tuple[SharedIndex, ...]]:
    """The indexes of a file, from the message of its superblock extension (section IV.A.2.p).

    Raises
    ------
    MalformedFileError
        There is no table, or it is damaged.
    """
    o = superblock.offset_size
    if len(message) < 2 + o or message[0] or not 0 < message[1 + o] <= _MAX_INDEXES:
        raise MalformedFileError("shared message table message: too short, or impossible")
    address, count = int.from_bytes(message[1 : 1 + o], "little"), message[1 + o]
    where, size = f"table of shared messages at {address:#x}", 14 + 2 * o
    octets = yield from _checked(superblock, address, b"SMTB", 4 + count * size, where)
    indexes = []
    for at in range(4, 4 + count * size, size):
        kind, kinds = octets[at + 1], octets[at + 2 : at + 4]
        if octets[at] or kind > 1:
            raise MalformedFileError(f"{where}: an index of version {octets[at]} and type {kind}")
        heap = octets[
            at + 14 + o : at + 14 + 2 * o
        ]  # behind the address of the list or B-tree that finds equal messages
        indexes.append(SharedIndex(int.from_bytes(kinds, "little"), int.from_bytes(heap, "little")))
    return tuple(indexes)


def _checked(superblock: Superblock, address: int, signature: bytes, length: int, where: str) -> IndexReader[bytes]:
    """The bytes of a structure that begins with a signature and ends before a checksum."""
    start = superblock.place(address, where, length + _CHECKSUM)
    [data] = yield [Blocks(np.array([start], "i8"), length + _CHECKSUM)]
    octets: bytes = data[0].tobytes()
    if not octets.startswith(signature) or lookup3_of(octets[:length]) != int.from_bytes(octets[length:], "little"):
        raise MalformedFileError(f"{where}: not one, or its checksum does not match its bytes")
    return octets[:length]


class SharedMessages:
    """Finds what shared messages stand for.

    Parameters
    ----------
    superblock
        That of the file.
    table
        The message of the superblock extension that says where the table is; None where the file has none.
    read_header
        The messages of the object header at an address.
    """

    def __init__(
        self, superblock: Superblock, table: bytes | None, read_header: Callable[[int], IndexReader[Sequence[Message]]]
    ) -> None:
        self._superblock = superblock
        self._table = table
        self._indexes: tuple[SharedIndex, ...] | None = None
        self._read_header = read_header

    def read(self, message: Message) -> IndexReader[bytes]:
        """The data of a message, which may be shared.

        Raises
        ------
        MalformedFileError
            It is shared, and not where it should be.
        """
        if not message.shared:
            return message.data
        version, place = message.data[:1], message.data[1:2]
        o, n = self._superblock.offset_size, self._superblock.length_size
        if version == b"\3" and place == bytes([_IN_HEAP]) and len(message.data) >= 2 + _IDENTIFIER:
            identifier = np.frombuffer(message.data, "u1", _IDENTIFIER, 2)
            [data] = yield from self.read_from_heap(message.kind, identifier.reshape(1, -1))
            return data
        at = 8 + n if version == b"\1" else 2  # version 1 has an entry of a symbol table, which begins with a name
        known = version in (b"\1", b"\2") or (version == b"\3" and place == bytes([_COMMITTED]))
        if not known or len(message.data) < at + o:
            raise MalformedFileError(f"shared message of type {message.kind:#x}: too short, or of an unknown version")
        return (yield from self._from_header(message.kind, int.from_bytes(message.data[at : at + o], "little")))

    def _from_header(self, kind: int, address: int) -> IndexReader[bytes]:
        for message in (yield from self._read_header(address)):
            if message.kind == kind and not message.shared:
                return message.data
        raise MalformedFileError(f"object header at {address:#x}: it has no message of type {kind:#x} to share")

    def read_from_heap(self, kind: int, identifiers: NDArray[np.uint8]) -> IndexReader[list[bytes]]:
        """The data of messages of a type by their heap IDs, ``(n, 8)``.

        Raises
        ------
        MalformedFileError
            The file shares no messages of this type, or they are not where they should be.
        """
        if self._indexes is None:
            self._indexes = () if self._table is None else (yield from read_shared_table(self._superblock, self._table))
        for index in self._indexes:
            if index.kinds >> kind & 1:
                heap = yield from read_heap_header(self._superblock, index.heap, _IDENTIFIER)
                return (yield from read_objects(self._superblock, heap, identifiers))
        raise MalformedFileError(f"message of type {kind:#x}: it is shared, but the file has no shared messages")
