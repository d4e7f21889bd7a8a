"""Attribute message: name, type, dimensions and value of an attribute (specification, section IV.A.2.m)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.data_objects.dataspace_message import Dataspace
from manifestry_hdf5.structures.data_objects.datatype import Datatype, Reference, ReferenceKind, VariableLength
from manifestry_hdf5.structures.data_objects.datatype_message import DATATYPE_MESSAGE
from manifestry_hdf5.structures.data_objects.object_header import Message
from manifestry_hdf5.structures.encodings.references import check_address_size
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

__all__ = [
    "ATTRIBUTE_MESSAGE",
    "AttributeParts",
    "attribute_parts",
    "heap_addresses",
    "reference_lists",
    "shared_datatype",
]

ATTRIBUTE_MESSAGE: Final = 0x0C
_STRUCTURE: Final = "attribute message"
_DATATYPE_SHARED, _DATASPACE_SHARED = 0x01, 0x02
_SIZES: Final = struct.Struct("<HHH")
_MAX_REFERENCES: Final = 1 << 20
"""What lists may hold together: damage can make many of them the same long one."""

_VARIABLE_LENGTH: Final = 9
"""The class of datatypes whose elements are in the global heap."""


class AttributeParts(NamedTuple):
    """What an attribute message consists of.

    Attributes
    ----------
    datatype, dataspace
        Messages of these kinds, or what says where they are.
    data
        The elements, and what follows them.
    flags
        Which of the two are shared with other objects.
    """

    name: bytes
    datatype: bytes
    dataspace: bytes
    data: bytes
    flags: int

    @property
    def datatype_shared(self) -> bool:
        """Whether `datatype` only says where the message is."""
        return bool(self.flags & _DATATYPE_SHARED)

    @property
    def dataspace_shared(self) -> bool:
        """Whether `dataspace` only says where the message is."""
        return bool(self.flags & _DATASPACE_SHARED)


def attribute_parts(message: bytes) -> AttributeParts:
    """The parts of an attribute message; version 1 pads all but the last to multiples of 8 bytes.

    Raises
    ------
    MalformedFileError
        It is too short, or its name has no end.
    UnsupportedFeatureError
        Its version is not known.
    """
    if len(message) < 8:
        raise MalformedFileError(f"{_STRUCTURE}: {len(message)} bytes are too few")
    version, flags = message[0], message[1]
    if version not in (1, 2, 3):
        raise UnsupportedFeatureError(f"{_STRUCTURE} of version {version}")
    at, old = 9 if version == 3 else 8, version == 1
    sizes = _SIZES.unpack_from(message, 2)
    steps = [-(-size // 8) * 8 for size in sizes] if old else sizes
    second = at + steps[0]
    third = second + steps[1]
    name, datatype = message[at : at + sizes[0]], message[second : second + sizes[1]]
    dataspace, at = message[third : third + sizes[2]], third + steps[2]
    end = name.find(b"\0")
    if at > len(message) or end < 0:
        raise MalformedFileError(f"{_STRUCTURE}: parts of {sizes} bytes in a message of {len(message)}")
    flags = 0 if old else flags
    return AttributeParts(name[:end], datatype, dataspace, message[at:], flags)


def heap_addresses(message: bytes, superblock: Superblock) -> Iterator[int]:
    """Addresses of the global heap collections that hold elements of an attribute: to read them ahead, unchecked."""
    try:
        parts = attribute_parts(message)
    except (MalformedFileError, UnsupportedFeatureError):
        return
    if parts.datatype_shared or not parts.datatype or parts.datatype[0] & 0x0F != _VARIABLE_LENGTH:
        return
    o = superblock.offset_size
    for at in range(0, len(parts.data) - 7 - o, 8 + o):
        if any(parts.data[at : at + 4]):
            yield int.from_bytes(parts.data[at + 4 : at + 4 + o], "little")


def shared_datatype(message: bytes) -> Message | None:
    """What says where the type of an attribute is, where it is shared: to read it ahead, unchecked."""
    try:
        parts = attribute_parts(message)
    except (MalformedFileError, UnsupportedFeatureError):
        return None
    return Message.to_shared(DATATYPE_MESSAGE, parts.datatype) if parts.datatype_shared else None


def reference_lists(
    datatype: Datatype, space: Dataspace, data: bytes, *, superblock: Superblock, heap: GlobalHeap
) -> tuple[tuple[int, ...], ...]:
    """The value of an attribute that holds a list of object references for each element of one dimension.

    Returns
    -------
    tuple of tuples
        Addresses of object headers; empty where it holds anything else.

    Raises
    ------
    MalformedFileError
        It is too short, or the heap does not hold what it says.
    UnsupportedFeatureError
        Its references are no addresses of objects, or more than anyone has.
    """
    size, o = datatype.size, superblock.offset_size
    members = datatype.base if isinstance(datatype, VariableLength) and not datatype.text else None
    if len(space.shape) != 1 or not isinstance(members, Reference):
        return ()
    if members.kind is not ReferenceKind.OBJECT:
        raise UnsupportedFeatureError(f"lists of references of the kind {members.kind.name.lower()}")
    count = space.shape[0]
    if len(data) < count * size or size != heap.descriptor_size:
        raise MalformedFileError(f"{_STRUCTURE}: {len(data)} bytes do not hold {count} lists of references")
    step = members.size
    check_address_size(step, superblock)
    lists, room = [], _MAX_REFERENCES * step
    for at in range(0, count * size, size):
        length, identifier = int.from_bytes(data[at : at + 4], "little") * step, data[at + 4 : at + size]
        octets = heap.object(identifier) if length and any(identifier[:o]) else b""
        room -= min(length, len(octets))
        if room < 0:
            raise UnsupportedFeatureError(f"attribute of more than {_MAX_REFERENCES} references")
        if octets and length > len(octets):
            raise MalformedFileError(
                f"{_STRUCTURE}: a list of {length} bytes does not fit in an object of {len(octets)}"
            )
        lists.append(tuple(int.from_bytes(octets[i : i + o], "little") for i in range(0, len(octets[:length]), step)))
    return tuple(lists)
