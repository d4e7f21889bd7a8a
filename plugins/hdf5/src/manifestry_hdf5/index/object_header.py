"""Object header: the messages of an object (specification, section IV.A.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from manifestry.errors import MalformedFileError

from manifestry_hdf5.index.superblock import Superblock

__all__ = ["Read", "find_message"]

type Read = Callable[[int, int], bytes]
"""``read(start, stop)``: bytes of the file by absolute position, fewer where it ends."""

CONTINUATION: Final = 0x10
_MOST_BLOCKS: Final = 4096
"""Continuation blocks of one header; more means that they form a cycle."""


def find_message(read: Read, superblock: Superblock, address: int, kind: int) -> bytes:
    """The data of the first message of a type in the object header at an address.

    Raises
    ------
    MalformedFileError
        There is no object header, or none with such a message.
    """
    for found, data in _messages(read, superblock, address):
        if found == kind:
            return data
    raise MalformedFileError(f"object header at {address:#x}: no message of type {kind:#x}")


def _messages(read: Read, superblock: Superblock, address: int) -> Iterator[tuple[int, bytes]]:
    """Type and data of every message, those of continuation blocks after those of the header itself."""
    start = superblock.base + address
    head = read(start, start + 32)
    if head[:4] == b"OHDR":
        first, prefix = _version_2(head, start)
    elif head[:1] == b"\x01":
        size = int.from_bytes(head[8:12], "little")
        first, prefix = (start + 16, start + 16 + size), 8
    else:
        raise MalformedFileError(f"object header at {address:#x}: neither version 1 nor 2")
    blocks = [first]
    for count in range(_MOST_BLOCKS):
        if count == len(blocks):
            return
        data = read(*blocks[count])
        for kind, message in _split(data, prefix):
            if kind == CONTINUATION:
                blocks.append(_continuation(message, superblock, prefix))
            yield kind, message
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


def _split(data: bytes, prefix: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + prefix <= len(data):
        if prefix == 8:
            kind, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        else:
            kind, size = data[at], int.from_bytes(data[at + 1 : at + 3], "little")
        yield kind, data[at + prefix : at + prefix + size]
        at += prefix + size
