"""Superblock: where everything in a file begins (specification, section II.A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5 import SIGNATURE
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.fields import Fields

__all__ = ["Read", "Superblock", "read_superblock"]

_WRITING: Final = 0x01
_SWMR: Final = 0x04
_FIRST_USER_BLOCK: Final = 512
_WIDTHS: Final = (2, 4, 8, 16, 32)
"""Bytes that an address or a length may have."""
_LONGEST_LENGTH: Final = 8
"""Bytes of a length; libhdf5 (up to 2.0 at least) takes larger ones, and writes nothing in their place."""

_CHECKSUM: Final = 4
_LONGEST: Final = 512
"""Bytes that hold a superblock of any version."""

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
    root
        Address of the object header of the root group.
    end
        Absolute position behind all that the file should have.
    extension, driver
        Addresses of the object header of the superblock extension and of the driver information block, None where there
        are none.
    writing, swmr
        Whether a program that writes to the file has not closed it, and whether it lets others read meanwhile; known from
        version 3 on.
    size
        Bytes of the file.
    """

    base: int
    offset_size: int
    length_size: int
    root: int = 0
    end: int = 0
    extension: int | None = None
    driver: int | None = None
    writing: bool = False
    swmr: bool = False
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


def read_superblock(read: Read, size: int) -> Superblock:
    """The superblock of a file of `size` bytes.

    Raises
    ------
    MalformedFileError
        There is none, or it is damaged.
    UnsupportedFeatureError
        Lengths have more bytes than any library writes.
    """
    start = 0
    while start < size:
        head = read(start, start + _LONGEST)
        if head.startswith(SIGNATURE):
            superblock = _parse(head, start, size)
            if not superblock.writing and superblock.end > size:
                raise MalformedFileError(f"superblock: the file is cut off at {size} of {superblock.end} bytes")
            return superblock
        start = 2 * start or _FIRST_USER_BLOCK
    raise MalformedFileError("superblock: there is none, this is no HDF5 file")


def _parse(head: bytes, start: int, size: int) -> Superblock:
    fields = Fields(head, "superblock")
    fields.skip(len(SIGNATURE))
    version = fields.take(1)
    if version in (0, 1):
        return _old(fields, version, start, size)
    if version in (2, 3):
        return _new(fields, head, start, size)
    raise MalformedFileError(f"superblock: version {version} where 0 to 3 is expected")


def _widths(fields: Fields) -> tuple[int, int]:
    offset_size, length_size = fields.take(1), fields.take(1)
    if offset_size not in _WIDTHS or length_size not in _WIDTHS:
        raise MalformedFileError(f"superblock: addresses of {offset_size} and lengths of {length_size} bytes")
    if length_size > _LONGEST_LENGTH:
        hint = "libhdf5 leaves such lengths out when it writes them; make the file again with lengths of 8 bytes"
        raise UnsupportedFeatureError(f"lengths of {length_size} bytes", "superblock", hint)
    return offset_size, length_size


def _old(fields: Fields, version: int, start: int, size: int) -> Superblock:
    """Versions 0 and 1, which have the symbol table entry of the root group."""
    free_space, root_entry, _, shared = fields.octets(4)
    if free_space or root_entry or shared:
        raise MalformedFileError("superblock: a version of its parts is not 0")
    o, n = _widths(fields)
    fields.skip(9 if version == 0 else 13)  # the sizes of nodes and flags
    undefined = (1 << 8 * o) - 1
    base = fields.take(o)
    fields.skip(o)
    end, driver = fields.take(o), fields.take(o)
    fields.skip(n)  # the name of the root group, which is as long as a length, whatever the specification says
    root = fields.take(o)
    return Superblock(
        base=start,
        offset_size=o,
        length_size=n,
        root=root,
        end=end - base + start,  # a file may have been put behind other bytes since
        driver=None if driver == undefined else driver,
        size=size,
    )


def _new(fields: Fields, head: bytes, start: int, size: int) -> Superblock:
    """Versions 2 and 3."""
    o, n = _widths(fields)
    flags = fields.take(1) if head[8] == 3 else fields.take(1) & 0
    base, extension, end, root = fields.take(o), fields.take(o), fields.take(o), fields.take(o)
    length = 12 + 4 * o
    if fields.take(_CHECKSUM) != lookup3_of(head[:length]):
        raise MalformedFileError("superblock: its checksum does not match its bytes")
    return Superblock(
        base=start,
        offset_size=o,
        length_size=n,
        root=root,
        end=end - base + start,  # a file may have been put behind other bytes since
        extension=None if extension == (1 << 8 * o) - 1 else extension,
        writing=bool(flags & _WRITING),
        swmr=bool(flags & _SWMR),
        size=size,
    )
