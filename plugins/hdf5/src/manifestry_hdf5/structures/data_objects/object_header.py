"""Object header: the messages of an object (specification, sections IV.A.1 and IV.A.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["Message", "find_message", "read_messages"]

_CONTINUATION: Final = 0x10
_BOGUS: Final = 0x09
_LAST_KIND: Final = 0x18
"""Types of the message that stands for those that nobody knows, and of the last one that the specification has."""
_SHARED: Final = 0x02
_NEVER_SHARED: Final = 0x04
_MUST_BE_KNOWN: Final = 0x80
_USUAL_BYTES: Final = 512
"""What is read of an object header at first; most are shorter."""
_CHECKSUM: Final = 4
_VERSION_1: Final = struct.Struct("<HHB3x")
_VERSION_2: Final = struct.Struct("<BHB")
_MAX_BLOCKS: Final = 4096
"""Continuation blocks of one header; more means that they form a cycle."""
_TIMES, _PHASES, _ORDER, _KNOWN = 0x20, 0x10, 0x04, 0x3F
"""Flags of version 2: times are stored; numbers of attributes from which they are stored elsewhere; creation order of messages."""


class Message(NamedTuple):
    """One message: its type, flags and data."""

    kind: int
    flags: int
    data: bytes

    @classmethod
    def to_shared(cls, kind: int, data: bytes) -> Message:
        """A message that only says where the message really is."""
        return cls(kind, _SHARED, data)

    @property
    def shared(self) -> bool:
        """Whether the data only says where the message really is."""
        return bool(self.flags & _SHARED)


def find_message(header: Iterable[Message], kind: int) -> Message | None:
    """The first message of a type, None where there is none."""
    for message in header:
        if message[0] == kind:
            return message
    return None


def read_messages(superblock: Superblock, address: int) -> IndexReader[Sequence[Message]]:
    """The messages of the object header at an address, those of continuation blocks after those of the header itself.

    Raises
    ------
    MalformedFileError
        There is no object header, a block of it reaches over the end of the file, or its checksum differs.
    UnsupportedFeatureError
        It has a message that this package does not know, and that has to be known.
    """
    where = f"object header at {address:#x}"
    start = superblock.place(address, where, 16)
    [data] = yield [Blocks(np.array([start], "i8"), min(_USUAL_BYTES, superblock.size - start))]
    head = data[0].tobytes()
    new = head[:4] == b"OHDR"
    if new:
        begin, size, ordered = _version_2(head, where)
        length, step = begin + size + _CHECKSUM, 6 if ordered else 4
    elif head[0] == 1:
        begin, size, step = 16, int.from_bytes(head[8:12], "little"), 8
        length = begin + size
    else:
        raise MalformedFileError(f"{where}: its version is neither 1 nor 2")
    if length > len(head):
        superblock.place(address, where, length)
        [data] = yield [Blocks(np.array([start], "i8"), length)]
        head = data[0].tobytes()
    if new:
        _check(head, begin + size, where)
    messages: list[Message] = []
    places = _split(head[begin : begin + size], step, messages, superblock, where)
    blocks, taken = 0, length
    while places:
        blocks, taken = blocks + len(places), taken + sum(length for _, length in places)
        if blocks > _MAX_BLOCKS or taken > superblock.size:
            raise MalformedFileError(f"{where}: its continuation blocks form a cycle")
        starts = [superblock.place(at, f"{where}: continuation block", length) for at, length in places]
        parts = yield [Blocks(np.array([at], "i8"), length) for at, (_, length) in zip(starts, places, strict=True)]
        places = [place for part in parts for place in _continue(part[0].tobytes(), step, messages, superblock, where)]
    return messages


def _version_2(head: bytes, where: str) -> tuple[int, int, bool]:
    """Where the messages of a version 2 header begin, their bytes, and whether each has its creation order."""
    flags = head[5]
    if head[4] != 2 or flags & ~_KNOWN:
        raise MalformedFileError(f"{where}: version {head[4]} with flags {flags:#x} where version 2 is expected")
    at = 6 + (16 if flags & _TIMES else 0) + (4 if flags & _PHASES else 0)
    width = 1 << (flags & 3)
    return at + width, int.from_bytes(head[at : at + width], "little"), bool(flags & _ORDER)


def _check(block: bytes, length: int, where: str) -> None:
    if lookup3_of(block[:length]) != int.from_bytes(block[length : length + _CHECKSUM], "little"):
        raise MalformedFileError(f"{where}: its checksum does not match its bytes")


def _continue(
    block: bytes, step: int, messages: list[Message], superblock: Superblock, where: str
) -> list[tuple[int, int]]:
    """Add the messages of a continuation block; one of version 2 has a signature and a checksum."""
    if step != _VERSION_1.size:
        if block[:4] != b"OCHK":
            raise MalformedFileError(f"{where}: a continuation block without its signature")
        _check(block, len(block) - _CHECKSUM, f"{where}: continuation block")
        block = block[4:-_CHECKSUM]
    return _split(block, step, messages, superblock, where)


def _split(
    data: bytes, step: int, messages: list[Message], superblock: Superblock, where: str
) -> list[tuple[int, int]]:
    """Add the messages of a block to others; the addresses and lengths of the blocks that it says go on."""
    at, end, further = 0, len(data), []
    new = tuple.__new__  # what Message does, without a call between
    unpack = (_VERSION_1 if step == _VERSION_1.size else _VERSION_2).unpack_from
    while at + step <= end:
        kind, size, flags = unpack(data, at)
        at += step
        if at + size > end:
            raise MalformedFileError(f"{where}: a message of {size} bytes where {end - at} are left")
        if flags & _MUST_BE_KNOWN and (kind > _LAST_KIND or kind == _BOGUS):
            raise UnsupportedFeatureError(f"object header message of type {kind:#x}", where)
        if flags & _SHARED and flags & _NEVER_SHARED:
            raise MalformedFileError(f"{where}: a message of type {kind:#x} is shared and must not be")
        body = data[at : at + size]
        if kind == _CONTINUATION:
            further.append(_continuation(body, superblock, where))
        elif kind:
            messages.append(new(Message, (kind, flags, body)))
        at += size
    return further


def _continuation(message: bytes, superblock: Superblock, where: str) -> tuple[int, int]:
    """Address and length of a continuation block."""
    o, n = superblock.offset_size, superblock.length_size
    address, length = int.from_bytes(message[:o], "little"), int.from_bytes(message[o : o + n], "little")
    if len(message) < o + n or length <= 8:
        raise MalformedFileError(f"{where}: a continuation block of {length} bytes")
    return address, length
