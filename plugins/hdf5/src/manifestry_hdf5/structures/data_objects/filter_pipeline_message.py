"""Filter pipeline message, versions 1 and 2 (specification, section IV.A.2.l)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.fields import Fields

__all__ = ["FILTER_PIPELINE_MESSAGE", "OPTIONAL", "FilterNumber", "StoredFilter", "parse_filter_pipeline"]

FILTER_PIPELINE_MESSAGE: Final = 0x0B
_STRUCTURE: Final = "filter pipeline message"
_MAX_FILTERS: Final = 32
_FIRST_WITH_NAME: Final = 256
"""Filters with lower numbers are those of HDF5 itself, which version 2 does not name."""


OPTIONAL: Final = 0x0001
"""Flag of a filter that may be skipped for a chunk that it fails on or makes larger."""


class FilterNumber(IntEnum):
    """The filters of HDF5 itself."""

    DEFLATE = 1
    SHUFFLE = 2
    FLETCHER32 = 3
    SZIP = 4
    NBIT = 5
    SCALEOFFSET = 6


class StoredFilter(NamedTuple):
    """One filter: its registered number, flags, client data (unsigned), and its name, where there is one."""

    number: int
    flags: int
    client_data: tuple[int, ...]
    name: bytes


def parse_filter_pipeline(data: bytes, structure: str = _STRUCTURE) -> tuple[StoredFilter, ...]:
    """The filters of a message, in the order in which they were applied.

    Parameters
    ----------
    structure
        What the message is called in refusals.

    Raises
    ------
    MalformedFileError
        It is too short, of a version that does not exist, has too many filters or names without end.
    """
    fields = Fields(data, structure)
    version, count = fields.take(1), fields.take(1)
    if version not in (1, 2) or count > _MAX_FILTERS:
        raise MalformedFileError(
            f"{structure}: version {version} with {count} filters where version 1 or 2 with at most {_MAX_FILTERS} "
            f"is expected"
        )
    if version == 1:
        fields.skip(6)
    return tuple(_filter(fields, version) for _ in range(count))


def _filter(fields: Fields, version: int) -> StoredFilter:
    number = fields.take(2)
    name_size = fields.take(2) if version == 1 or number >= _FIRST_WITH_NAME else 0
    flags, count = fields.take(2), fields.take(2)
    name, end, _ = fields.octets(name_size).partition(b"\0")
    if (name_size and not end) or (version == 1 and name_size % 8):
        raise MalformedFileError(
            f"{fields.structure}: the name of filter {number} has {name_size} bytes where one that ends with a zero is "
            f"expected{', and a multiple of 8 bytes' if version == 1 else ''}"
        )
    client_data = struct.unpack(f"<{count}I", fields.octets(4 * count))
    if version == 1 and count % 2:
        fields.skip(4)
    return StoredFilter(number, flags, client_data, name)
