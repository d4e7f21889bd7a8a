"""Dataspace message: dimensions of an object, and how far they may grow (specification, section IV.A.2.b)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["DATASPACE_MESSAGE", "UNLIMITED", "Dataspace", "parse_dataspace"]

UNLIMITED: Final = -1
"""The maximum of a dimension that may grow without limit."""

DATASPACE_MESSAGE: Final = 0x01
_NULL: Final = 2
_MAX_DIMENSIONS: Final = 32
_WIDTHS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Dataspace(NamedTuple):
    """Lengths of the dimensions, at present and at most; both empty where it is `null`, without any element."""

    shape: tuple[int, ...]
    maximum: tuple[int, ...]
    null: bool = False


def parse_dataspace(message: bytes, superblock: Superblock) -> Dataspace:
    """The dimensions that a message says.

    Raises
    ------
    MalformedFileError
        It is too short, has too many dimensions or a version that does not exist.
    """
    try:
        version, rank, flags = message[0], message[1], message[2]
        if version not in (1, 2) or rank > _MAX_DIMENSIONS:
            raise MalformedFileError(
                f"dataspace message: version {version} with {rank} dimensions where version 1 or 2 with at most "
                f"{_MAX_DIMENSIONS} is expected"
            )
        if version == 2 and message[3] == _NULL:
            return Dataspace((), (), null=True)
        form = struct.Struct(f"<{rank}{_WIDTHS[superblock.length_size]}")
        at = 8 if version == 1 else 4
        shape = form.unpack_from(message, at)
        if not flags & 1:
            return Dataspace(shape, shape)
        maximum, endless = form.unpack_from(message, at + form.size), (1 << 8 * superblock.length_size) - 1
        return Dataspace(
            shape, tuple(UNLIMITED if n == endless else n for n in maximum) if endless in maximum else maximum
        )
    except (IndexError, KeyError, struct.error) as error:
        raise MalformedFileError("dataspace message: too short") from error
