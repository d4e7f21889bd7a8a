"""Object header: the messages of an object (specification, section IV.A.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.superblock import Read, Superblock

__all__ = ["CACHE_IMAGE", "SHARED_MESSAGES", "Message", "OverTheEndError", "read_extension", "read_messages"]

CONTINUATION: Final = 0x10
SHARED_MESSAGES: Final = 0x0F
CACHE_IMAGE: Final = 0x18
_VERSION_1: Final = struct.Struct("<HHB")
_VERSION_2: Final = struct.Struct("<BHB")
_MAX_BLOCKS: Final = 4096
"""Continuation blocks of one header; more means that they form a cycle."""


class OverTheEndError(MalformedFileError):
    """An object header reaches over the end of the file: libhdf5 would allocate all that it claims."""


class Message(NamedTuple):
    """One message: its type, flags and data."""

    kind: int
    flags: int
    data: bytes

    @property
    def shared(self) -> bool:
        """Whether the data only says where the message really is."""
        return bool(self.flags & 0x02)


def read_extension(read: Read, superblock: Superblock) -> dict[int, bytes]:
    """The messages of the superblock extension by type (specification, section II.C), none where there is none.

    Raises
    ------
    MalformedFileError
        As `read_messages`.
    """
    if superblock.extension is None:
        return {}
    return {message.kind: message.data for message in read_messages(read, superblock, superblock.extension)}


def read_messages(read: Read, superblock: Superblock, address: int) -> Iterator[Message]:
    """The messages of the object header at an address, those of continuation blocks after those of the header itself.

    Raises
    ------
    OverTheEndError
        A block of it reaches over the end of the file.
    MalformedFileError
        There is no object header.
    """
    start = superblock.base + address
    head = read(start, start + 32)
    if head[:4] == b"OHDR":
        first, prefix = _version_2(head, start)
    elif head[:1] == b"\x01":
        size = int.from_bytes(head[8:12], "little")
        first, prefix = (start + 16, start + 16 + size), 8
    else:
        raise MalformedFileError(f"object header at {address:#x}: its version is neither 1 nor 2")
    blocks = [first]
    for count in range(_MAX_BLOCKS):
        if count == len(blocks):
            return
        begin, end = blocks[count]
        data = read(begin, end)
        if len(data) < end - begin:
            raise OverTheEndError(
                f"object header at {address:#x}: {end - begin} bytes from byte {begin} on reach over the end of the file"
            )
        for message in _split(data, prefix):
            if message.kind == CONTINUATION:
                blocks.append(_continuation(message.data, superblock, prefix))
            yield message
    raise MalformedFileError(f"object header at {address:#x}: its continuation blocks form a cycle")


def _version_2(head: bytes, start: int) -> tuple[tuple[int, int], int]:
    """Where the messages of a version 2 header begin and end, and the size of what precedes each."""
    flags = head[5]
    at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(head[at : at + width], "little")
    return (start + at + width, start + at + width + size), 6 if flags & 0x04 else 4


def _continuation(message: bytes, superblock: Superblock, prefix: int) -> tuple[int, int]:
    """Where the messages of a continuation block begin and end; those of version 2 have a signature and a checksum."""
    o, n = superblock.offset_size, superblock.length_size
    start = superblock.base + int.from_bytes(message[:o], "little")
    stop = start + int.from_bytes(message[o : o + n], "little")
    return (start, stop) if prefix == 8 else (start + 4, stop - 4)


def _split(data: bytes, prefix: int) -> Iterator[Message]:
    at = 0
    while at + prefix <= len(data):
        if prefix == 8:
            kind, size, flags = _VERSION_1.unpack_from(data, at)
        else:
            kind, size, flags = _VERSION_2.unpack_from(data, at)
        yield Message(kind, flags, data[at + prefix : at + prefix + size])
        at += prefix + size
