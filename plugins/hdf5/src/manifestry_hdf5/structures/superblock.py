"""Superblock: base address and sizes of addresses (specification, section II.A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from manifestry.errors import MalformedFileError

__all__ = ["Read", "Superblock", "read_superblock"]

type Read = Callable[[int, int], bytes]
"""``read(start, stop)``: bytes of the file by absolute position, fewer where it ends."""

_SHARED_MESSAGES_MESSAGE: Final = 0x0F
_CACHE_IMAGE_MESSAGE: Final = 0x18


@dataclass(frozen=True, slots=True)
class Superblock:
    """What is needed to follow an address.

    Attributes
    ----------
    base
        Absolute position of address 0: the length of the user block.
    offset_size, length_size
        Bytes of an address and of a length.
    cache_image
        Whether the file holds an image of libhdf5's metadata cache: then structures may be newer there than in their
        own place, and only libhdf5 reads them right.
    size
        Bytes of the file.
    shared_messages
        Whether the file has a table of shared messages.
    """

    base: int
    offset_size: int
    length_size: int
    cache_image: bool = False
    size: int = 1 << 62
    shared_messages: bool = False

    @property
    def undefined(self) -> int:
        """The address that stands for none: all bits set."""
        return (1 << 8 * self.offset_size) - 1

    def place(self, address: int, structure: str, length: int = 0) -> int:
        """Absolute position of an address at which a structure, and so many bytes of it, should be.

        Raises
        ------
        MalformedFileError
            That is behind the end of the file.
        """
        if self.base + address + length > self.size:
            raise MalformedFileError(f"{structure} at {address:#x}: behind the end of the file")
        return self.base + address


def read_superblock(file_id: Any, read: Read) -> Superblock:
    """The superblock of an open file: sizes as libhdf5 read them, the extension from its own bytes."""
    properties = file_id.get_create_plist()
    offset_size, length_size = properties.get_sizes()
    size = int(file_id.get_filesize())
    superblock = Superblock(int(properties.get_userblock()), int(offset_size), int(length_size), size=size)
    o = superblock.offset_size
    head = read(superblock.base, superblock.base + 12 + 4 * o)
    if head[8] < 2:
        return superblock
    extension = int.from_bytes(head[12 + o : 12 + 2 * o], "little")
    if extension == superblock.undefined:
        return superblock
    from manifestry_hdf5.structures.object_header import read_messages  # noqa: PLC0415 an object header needs a superblock itself

    kinds = {message.kind for message in read_messages(read, superblock, extension)}
    return replace(
        superblock, cache_image=_CACHE_IMAGE_MESSAGE in kinds, shared_messages=_SHARED_MESSAGES_MESSAGE in kinds
    )
