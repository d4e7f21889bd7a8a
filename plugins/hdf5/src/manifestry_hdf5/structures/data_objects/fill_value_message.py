"""Fill value messages: the old one and the new one (specification, sections IV.A.2.e and IV.A.2.f)."""

from __future__ import annotations

from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.fields import Fields

__all__ = ["FILL_MESSAGE", "OLD_FILL_MESSAGE", "FillValue", "parse_fill_value", "parse_old_fill_value"]

OLD_FILL_MESSAGE: Final = 0x04
FILL_MESSAGE: Final = 0x05
_UNDEFINED: Final = 0x10
_DEFINED: Final = 0x20
_KNOWN: Final = 0x3F
_STRUCTURE: Final = "fill value message"
_SIGN: Final = 1 << 31


class FillValue(NamedTuple):
    """What elements are before they are written.

    Attributes
    ----------
    value
        An element as the file has it; empty where none was chosen, so that it is zero.
    undefined
        Whether such elements have no value at all.
    allocation, writing
        Numbers of the times at which space is allocated and fill values are written to it; 0 where nothing says them.
    """

    value: bytes = b""
    undefined: bool = False
    allocation: int = 0
    writing: int = 0


def parse_old_fill_value(data: bytes) -> FillValue:
    """The fill value of an old message; one of no bytes is undefined.

    Raises
    ------
    MalformedFileError
        It is too short.
    """
    fields = Fields(data, _STRUCTURE)
    value = fields.octets(fields.take(4))
    return FillValue(value, undefined=not value)


def parse_fill_value(data: bytes) -> FillValue:
    """The fill value of a new message, versions 1 to 3.

    Raises
    ------
    MalformedFileError
        It is too short, of a version that does not exist, or contradicts itself.
    """
    fields = Fields(data, _STRUCTURE)
    version = fields.take(1)
    if version in (1, 2):
        allocation, writing, defined = fields.take(1), fields.take(1), bool(fields.take(1))
        undefined = not defined
    elif version == 3:
        flags = fields.take(1)
        allocation, writing = flags & 3, flags >> 2 & 3
        undefined, defined = bool(flags & _UNDEFINED), bool(flags & _DEFINED)
        if flags & ~_KNOWN or (undefined and defined):
            raise MalformedFileError(f"{_STRUCTURE}: flags {flags:#x}, which contradict each other or do not exist")
    else:
        raise MalformedFileError(f"{_STRUCTURE}: version {version} where 1, 2 or 3 is expected")
    size = fields.take(4) if defined else 0
    if version == 3 and defined and not size:
        raise MalformedFileError(f"{_STRUCTURE}: a value of 0 bytes")
    if version < 3 and size >= _SIGN:  # a negative size says that there is no value
        return FillValue(b"", undefined=True, allocation=allocation, writing=writing)
    return FillValue(fields.octets(size), undefined=undefined, allocation=allocation, writing=writing)
