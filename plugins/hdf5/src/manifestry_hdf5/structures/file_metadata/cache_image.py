"""Metadata cache image: structures that a program left in one block instead of in their own places.

The message that says where it is: specification, section IV.A.2.y; the block: section III.J.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.fields import Fields
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["CACHE_IMAGE_MESSAGE", "read_cache_image"]

CACHE_IMAGE_MESSAGE: Final = 0x18
_HEAD: Final = b"MDCI\0"
_CHECKSUM: Final = 4
_BEFORE_PARENTS: Final = 8
"""Bytes of an entry between its number of children and its number of parents, and of its rank, that do not matter here."""


def read_cache_image(superblock: Superblock, message: bytes) -> IndexReader[list[tuple[int, bytes]]]:
    """The structures of an image: absolute position and bytes of each.

    Raises
    ------
    MalformedFileError
        There is no image, or it is damaged.
    """
    o, n = superblock.offset_size, superblock.length_size
    fields = Fields(message, "metadata cache image message")
    if fields.take(1):
        raise MalformedFileError("metadata cache image message: its version is not 0")
    address, length = fields.take(o), fields.take(n)
    where = f"metadata cache image at {address:#x}"
    if address == superblock.undefined:
        return []
    start = superblock.place(address, where, length)
    [data] = yield [Blocks(np.array([start], "i8"), length)]
    block = data[0].tobytes()
    if not block.startswith(_HEAD) or lookup3_of(block[:-_CHECKSUM]) != int.from_bytes(block[-_CHECKSUM:], "little"):
        raise MalformedFileError(f"{where}: not one, or its checksum does not match its bytes")
    fields = Fields(block[:-_CHECKSUM], where)
    fields.skip(len(_HEAD) + 1 + n)
    return [_entry(fields, superblock, where) for _ in range(fields.take(4))]


def _entry(fields: Fields, superblock: Superblock, where: str) -> tuple[int, bytes]:
    fields.skip(_BEFORE_PARENTS)  # type, flags, ring, age, and how many depend on it
    parents = fields.take(2)
    fields.skip(4)  # its rank among those used last
    address, size = fields.take(superblock.offset_size), fields.take(superblock.length_size)
    fields.skip(parents * superblock.offset_size)
    return superblock.place(address, where), fields.octets(size)
