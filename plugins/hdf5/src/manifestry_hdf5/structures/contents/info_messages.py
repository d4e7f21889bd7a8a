"""Where the links or attributes of an object are that are not in its header.

Link info message, group info message and attribute info message (specification, sections IV.A.2.c, IV.A.2.k and
IV.A.2.v).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.superblock import Superblock

__all__ = [
    "ATTRIBUTE_INFO_MESSAGE",
    "GROUP_INFO_MESSAGE",
    "LINK_INFO_MESSAGE",
    "DenseInfo",
    "GroupInfo",
    "parse_attribute_info",
    "parse_group_info",
    "parse_link_info",
]

LINK_INFO_MESSAGE: Final = 0x02
GROUP_INFO_MESSAGE: Final = 0x0A
ATTRIBUTE_INFO_MESSAGE: Final = 0x15
_TRACKED, _INDEXED = 0x01, 0x02


class DenseInfo(NamedTuple):
    """A link info or attribute info message.

    Attributes
    ----------
    heap, by_name
        Addresses of the fractal heap with the messages and of the B-tree by names; None while all are in the header.
    by_order
        Address of the B-tree by creation order, where there is one.
    largest
        The largest creation order that was given out, where it is tracked.
    """

    heap: int | None
    by_name: int | None
    by_order: int | None
    largest: int | None


class GroupInfo(NamedTuple):
    """A group info message; None where it leaves a number to the library.

    Attributes
    ----------
    max_compact, min_dense
        The most links that are kept in the header, and the fewest that are kept in dense storage.
    expected_links, expected_name
        How many links with names of what length are expected.
    """

    max_compact: int | None = None
    min_dense: int | None = None
    expected_links: int | None = None
    expected_name: int | None = None


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
    at, largest, o = 2, None, superblock.offset_size
    if message[1] & _TRACKED:
        largest, at = int.from_bytes(message[at : at + counter], "little"), at + counter
    count = 3 if message[1] & _INDEXED else 2
    if len(message) < at + count * o:
        raise MalformedFileError(f"{structure}: {len(message)} bytes are too few")
    numbers = [int.from_bytes(message[at + i * o : at + (i + 1) * o], "little") for i in range(count)]
    heap, by_name, by_order = [None if n == superblock.undefined else n for n in numbers] + [None] * (3 - count)
    if heap is not None and by_name is None:
        raise MalformedFileError(f"{structure}: it has a heap, but no B-tree by names")
    return DenseInfo(heap, by_name, by_order, largest)


def parse_group_info(message: bytes) -> GroupInfo:
    """What a group info message says.

    Raises
    ------
    MalformedFileError
        As `parse_link_info`.
    """
    if len(message) < 2 or message[0] or message[1] & ~3:
        raise MalformedFileError(
            f"group info message: begins with {message[:2].hex()} where version 0 and its flags are expected"
        )
    limits, estimates = message[1] & 1, message[1] >> 1
    if len(message) < 2 + 4 * (limits + estimates):
        raise MalformedFileError(f"group info message: {len(message)} bytes are too few")
    numbers: list[int | None] = [
        int.from_bytes(message[at : at + 2], "little") for at in range(2, 2 + 4 * (limits + estimates), 2)
    ]
    return GroupInfo(*([] if limits else [None, None]), *numbers)
