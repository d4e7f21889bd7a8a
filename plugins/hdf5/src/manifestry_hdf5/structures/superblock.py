"""Superblock: base address and sizes of addresses (specification, section II.A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from manifestry.plugin import MalformedFileError

from manifestry_hdf5 import SIGNATURE

__all__ = ["OPEN_FOR_SWMR", "OPEN_FOR_WRITING", "Read", "Superblock", "consistency_flags", "read_superblock"]

OPEN_FOR_WRITING: Final = 0x01
OPEN_FOR_SWMR: Final = 0x04
"""Consistency flags: the file has not been closed by a program that writes to it, and lets others read meanwhile."""
_FIRST_USER_BLOCK: Final = 512

type Read = Callable[[int, int], bytes]
"""``read(start, stop)``: bytes of the file by absolute position, fewer where it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """What is needed to follow an address.

    Attributes
    ----------
    base
        Absolute position of address 0: the length of the user block.
    offset_size, length_size
        Bytes of an address and of a length.
    extension
        Address of the object header of the superblock extension, None where there is none.
    size
        Bytes of the file.
    """

    base: int
    offset_size: int
    length_size: int
    extension: int | None = None
    size: int = 1 << 62

    @property
    def undefined(self) -> int:
        """The address that means none: all bits set."""
        return (1 << 8 * self.offset_size) - 1

    def place(self, address: int, structure: str, length: int = 0) -> int:
        """Absolute position of an address at which a structure of `length` bytes should be.

        Raises
        ------
        MalformedFileError
            That is beyond the end of the file.
        """
        if self.base + address + length > self.size:
            raise MalformedFileError(f"{structure} at {address:#x}: lies beyond the end of the file")
        return self.base + address


def read_superblock(file_id: Any, read: Read) -> Superblock:
    """The superblock of an open file: sizes as libhdf5 read them, the extension from its own bytes."""
    properties = file_id.get_create_plist()
    offset_size, length_size = properties.get_sizes()
    size = int(file_id.get_filesize())
    superblock = Superblock(
        base=int(properties.get_userblock()), offset_size=int(offset_size), length_size=int(length_size), size=size
    )
    o = superblock.offset_size
    head = read(superblock.base, superblock.base + 12 + 4 * o)
    extension = int.from_bytes(head[12 + o : 12 + 2 * o], "little")
    return superblock if head[8] < 2 or extension == superblock.undefined else replace(superblock, extension=extension)


def consistency_flags(read: Read, size: int) -> int:
    """The consistency flags of a file of `size` bytes: 0 where there are none, before version 3 of the superblock."""
    start = 0
    while start < size:
        head = read(start, start + 12)
        if head[:8] == SIGNATURE:
            return head[11] if len(head) == 12 and head[8] >= 3 else 0
        start = 2 * start or _FIRST_USER_BLOCK
    return 0
