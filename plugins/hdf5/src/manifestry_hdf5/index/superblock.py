"""Superblock: base address and sizes of addresses (specification, section II.A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Superblock", "read_superblock"]


@dataclass(frozen=True, slots=True)
class Superblock:
    """What is needed to follow an address.

    Attributes
    ----------
    base
        Absolute position of address 0: the length of the user block.
    offset_size, length_size
        Bytes of an address and of a length.
    """

    base: int
    offset_size: int
    length_size: int

    @property
    def undefined(self) -> int:
        """The address that stands for none: all bits set."""
        return (1 << 8 * self.offset_size) - 1


def read_superblock(file_id: Any) -> Superblock:
    """The superblock of an open file, as libhdf5 read it."""
    properties = file_id.get_create_plist()
    offset_size, length_size = properties.get_sizes()
    return Superblock(int(properties.get_userblock()), int(offset_size), int(length_size))
