"""Where the links or attributes of an object are that are not in its header.

Link info message and attribute info message (specification, sections IV.A.2.c and IV.A.2.v).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = [
    "ATTRIBUTE_INFO_MESSAGE",
    "LINK_INFO_MESSAGE",
    "DenseInfo",
    "parse_attribute_info",
    "parse_link_info",
]

LINK_INFO_MESSAGE: Final = 0x02
ATTRIBUTE_INFO_MESSAGE: Final = 0x15
_TRACKED, _INDEXED = 0x01, 0x02


class DenseInfo(NamedTuple):
    """A link info or attribute info message.

    Attributes
    ----------
    heap, by_name
        Addresses of the fractal heap with the messages and of the B-tree by names; None while all are in the header.
    """

    heap: int | None
    by_name: int | None


def parse_link_info(message: bytes, superblock: Superblock) -> DenseInfo:
    """What a link info message says.

    Raises
    ------
    MalformedFileError
        It is too short, or has a version or flags that do not exist.
    """
    return _dense_info(message, superblock, 8, "link info message")


def parse_attribute_info(message: bytes, superblock: Superblock) -> DenseInfo:
    """What an attribute info message says.

    Raises
    ------
    MalformedFileError
        As `parse_link_info`.
    """
    return _dense_info(message, superblock, 2, "attribute info message")


def _dense_info(message: bytes, superblock: Superblock, counter: int, structure: str) -> DenseInfo:
    if len(message) < 2 or message[0] or message[1] & ~(_TRACKED | _INDEXED):
        raise MalformedFileError(
            f"{structure}: begins with {message[:2].hex()} where version 0 and its flags are expected"
        )
    at, o = 2 + (counter if message[1] & _TRACKED else 0), superblock.offset_size
    count = 3 if message[1] & _INDEXED else 2  # the third finds messages by creation order, which they have themselves
    if len(message) < at + count * o:
        raise MalformedFileError(f"{structure}: {len(message)} bytes are too few")
    numbers = [int.from_bytes(message[at + i * o : at + (i + 1) * o], "little") for i in range(2)]
    heap, by_name = [None if n == superblock.undefined else n for n in numbers]
    if heap is not None and by_name is None:
        raise MalformedFileError(f"{structure}: it has a heap, but no B-tree by names")
    return DenseInfo(heap, by_name)
