"""Attribute message: its parts, and lists of object references (specification, section IV.A.2.m)."""

from __future__ import annotations

from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.dataspace import DATASPACE_MESSAGE, Dataspace
from manifestry_hdf5.structures.global_heap import GlobalHeap
from manifestry_hdf5.structures.messages.datatype import Datatype, Reference, ReferenceKind, VariableLength
from manifestry_hdf5.structures.messages.datatype_message import DATATYPE_MESSAGE
from manifestry_hdf5.structures.object_header import Message
from manifestry_hdf5.structures.superblock import Superblock

__all__ = [
    "ATTRIBUTE_INFO_MESSAGE",
    "ATTRIBUTE_MESSAGE",
    "AttributeParts",
    "attribute_parts",
    "is_dense",
    "reference_lists",
]

ATTRIBUTE_MESSAGE: Final = 0x0C
ATTRIBUTE_INFO_MESSAGE: Final = 0x15
_MAX_REFERENCES: Final = 1 << 20
"""What lists may hold together: damage can make many of them the same long one."""

_SHARED: Final = 0x02
"""The flag of a message that only says where it really is."""


def is_dense(message: bytes, superblock: Superblock) -> bool:
    """Whether an attribute info message says that the attributes are not in the header (section IV.A.2.v)."""
    at = 2 + (2 if message[1] & 1 else 0)
    return message[at : at + superblock.offset_size] != b"\xff" * superblock.offset_size


class AttributeParts(NamedTuple):
    """What an attribute message consists of.

    Attributes
    ----------
    datatype, dataspace
        Data of messages; those of shared ones only say where the message really is.
    flags
        Bit 0: the datatype is shared; bit 1: the dataspace is.
    """

    version: int
    flags: int
    name: bytes
    datatype: bytes
    dataspace: bytes
    data: bytes

    @property
    def plain(self) -> bool:
        """Whether all parts are here, and of a known version."""
        return self.version in (1, 2, 3) and not self.flags

    def messages(self) -> tuple[Message, Message]:
        """The datatype and the dataspace as messages of an object header.

        Raises
        ------
        UnsupportedFeatureError
            The version is not known.
        MalformedFileError
            There are flags that do not exist.
        """
        if self.version not in (1, 2, 3):
            raise UnsupportedFeatureError(f"attribute message of version {self.version}")
        if self.flags > 3:
            raise MalformedFileError(f"attribute message: flags {self.flags:#x} where 0 to 3 are expected")
        return (
            Message(DATATYPE_MESSAGE, _SHARED * (self.flags & 1), self.datatype),
            Message(DATASPACE_MESSAGE, _SHARED * (self.flags >> 1 & 1), self.dataspace),
        )


def attribute_parts(message: bytes) -> AttributeParts:
    """The parts of an attribute message; version 1 pads all but the last to multiples of 8 bytes."""
    version = message[0]
    at = 9 if version == 3 else 8
    parts = []
    for field in (2, 4, 6):
        size = message[field] | message[field + 1] << 8
        parts.append(message[at : at + size])
        at += -(-size // 8) * 8 if version == 1 else size
    name, datatype, dataspace = parts
    return AttributeParts(
        version=version,
        flags=message[1] if version > 1 else 0,
        name=name.split(b"\0")[0],
        datatype=datatype,
        dataspace=dataspace,
        data=message[at:],
    )


def reference_lists(
    datatype: Datatype, space: Dataspace, data: bytes, *, superblock: Superblock, heap: GlobalHeap
) -> tuple[tuple[int, ...], ...]:
    """The value of an attribute that holds a list of object references for each element of one dimension.

    Returns
    -------
    tuple of tuples
        Addresses of object headers; none where the attribute holds something else.

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
    if len(data) < count * size or size != heap.descriptor_size or members.size != o:
        raise MalformedFileError(f"attribute message: {len(data)} bytes do not hold {count} lists of references")
    lists, room = [], _MAX_REFERENCES * o
    for at in range(0, count * size, size):
        length, identifier = int.from_bytes(data[at : at + 4], "little") * o, data[at + 4 : at + size]
        octets = heap.object(identifier) if length and any(identifier[:o]) else b""
        room -= min(length, len(octets))
        if room < 0:
            raise UnsupportedFeatureError(f"attribute of more than {_MAX_REFERENCES} references")
        if octets and length > len(octets):
            raise MalformedFileError(
                f"attribute message: a list of {length} bytes does not fit in an object of {len(octets)}"
            )
        lists.append(tuple(int.from_bytes(octets[i : i + o], "little") for i in range(0, len(octets[:length]), o)))
    return tuple(lists)
