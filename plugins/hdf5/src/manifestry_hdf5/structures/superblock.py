"""Superblock: base address and sizes of addresses (specification, section II.A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from manifestry.plugin import MalformedFileError

__all__ = ["Read", "Superblock", "read_superblock"]

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
