"""Shared message: where a message of an object really is (specification, section IV.A.2, "shared message")."""

from __future__ import annotations

from typing import Final

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.messages.fields import Fields
from manifestry_hdf5.structures.superblock import Superblock

__all__ = ["shared_address"]

_IN_HEAP: Final = 1


def shared_address(data: bytes, superblock: Superblock) -> int | None:
    """Address of the object header that holds a message; None where it is in the heap of shared messages.

    Parameters
    ----------
    data
        What the object has in place of the message, versions 1 to 3.

    Raises
    ------
    MalformedFileError
        It is too short, or of a version that does not exist.
    """
    fields = Fields(data, "shared message")
    version, kind = fields.take(1), fields.take(1)
    if version not in (1, 2, 3):
        raise MalformedFileError(f"shared message: version {version} where 1, 2 or 3 is expected")
    if version == 1:
        fields.skip(6 + superblock.length_size)
    if version == 3 and kind == _IN_HEAP:
        return None
    return fields.take(superblock.offset_size)
