"""Link message: a name in a group, and what it leads to (specification, section IV.A.2.g)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["LINK_MESSAGE", "Link", "LinkKind", "parse_link"]

LINK_MESSAGE: Final = 0x06
_VERSION: Final = 1
_KNOWN_FLAGS: Final = 0x1F
_HARD: Final = 0
_HAS_ORDER, _HAS_KIND, _HAS_CHARACTER_SET = 0x04, 0x08, 0x10
_MAX_KIND: Final = 255


class LinkKind(IntEnum):
    """What a link is; numbers from 65 on are given out by programs."""

    HARD = 0
    SOFT = 1
    EXTERNAL = 64
    USER_DEFINED = 65


class Link(NamedTuple):
    """A link of a group.

    Attributes
    ----------
    name
        As it is in the file.
    kind
        Any kind that programs defined is `LinkKind.USER_DEFINED`.
    address
        Of the object header that a hard link leads to; 0 for others.
    target
        The path of a soft link, or that in the file of an external one; what a user-defined link holds.
    file
        The name of the file that an external link leads to.
    order
        How many links the group had been given before this one, where the group keeps count.
    utf8
        Whether the name is declared to be UTF-8 and not ASCII.
    """

    name: bytes
    kind: LinkKind
    address: int = 0
    target: bytes = b""
    file: bytes = b""
    order: int | None = None
    utf8: bool = False


def parse_link(message: bytes, superblock: Superblock) -> Link:
    """The link that a message says.

    Raises
    ------
    MalformedFileError
        It is too short, or has a version, flags or a kind that do not exist.
    """
    if len(message) < 4 or message[0] != _VERSION or message[1] & ~_KNOWN_FLAGS:
        raise MalformedFileError(
            f"link message: begins with {message[:2].hex()} where version 1 and its flags are expected"
        )
    flags, at, number, order, utf8 = message[1], 2, 0, None, False
    if flags & _HAS_KIND:
        number, at = message[at], at + 1
    if flags & _HAS_ORDER:
        order, at = int.from_bytes(message[at : at + 8], "little", signed=True), at + 8
    if flags & _HAS_CHARACTER_SET:
        utf8, at = message[at : at + 1] == b"\1", at + 1
    width = 1 << (flags & 3)
    length, at = int.from_bytes(message[at : at + width], "little"), at + width
    name, at = message[at : at + length], at + length
    if not length or at > len(message):
        raise MalformedFileError(f"link message: a name of {length} bytes in a message of {len(message)}")
    if number == _HARD:
        o = superblock.offset_size
        if len(message) < at + o:
            raise MalformedFileError("link message: too short")
        address = int.from_bytes(message[at : at + o], "little")
        return Link(name, LinkKind.HARD, address, order=order, utf8=utf8)
    length = int.from_bytes(message[at : at + 2], "little")
    value = message[at + 2 : at + 2 + length]
    if len(message) < at + 2 + length:
        raise MalformedFileError(f"link message: a target of {length} bytes in a message of {len(message)}")
    return _link_by_path(name, number, value, order=order, utf8=utf8)


def _link_by_path(name: bytes, number: int, value: bytes, *, order: int | None, utf8: bool) -> Link:
    if number == LinkKind.SOFT:
        if not value:
            raise MalformedFileError("link message: a soft link to nothing")
        return Link(name, LinkKind.SOFT, target=value.split(b"\0")[0], order=order, utf8=utf8)
    if number == LinkKind.EXTERNAL:
        file, *rest = value[1:].split(b"\0")  # behind version and flags
        if value[:1] != b"\0" or len(rest) < 2:
            raise MalformedFileError("link message: an external link without a file and a path in it")
        return Link(name, LinkKind.EXTERNAL, target=rest[0], file=file, order=order, utf8=utf8)
    if not LinkKind.EXTERNAL < number <= _MAX_KIND:
        raise MalformedFileError(f"link message: links of kind {number} do not exist")
    return Link(name, LinkKind.USER_DEFINED, target=value, order=order, utf8=utf8)
