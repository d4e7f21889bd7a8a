"""Attribute message: attributes of the usual types (specification, section IV.A.2.m).

Numbers, fixed strings and variable-length strings, each alone or in an array, make nearly all attributes. They are
decoded here; for any other the caller asks libhdf5.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from h5py import h5t
from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.dataspace import parse_dataspace
from manifestry_hdf5.structures.global_heap import GlobalHeap
from manifestry_hdf5.structures.superblock import Superblock

__all__ = [
    "ATTRIBUTE_INFO_MESSAGE",
    "ATTRIBUTE_MESSAGE",
    "AttributeParts",
    "UnusualError",
    "attribute_parts",
    "is_dense",
    "parse_attribute",
    "parse_reference_lists",
]

ATTRIBUTE_MESSAGE: Final = 0x0C
ATTRIBUTE_INFO_MESSAGE: Final = 0x15

_STRING, _REFERENCE, _VARIABLE_LENGTH = 3, 7, 9
_NULL_TERMINATED, _SPACE_PADDED = 0, 2


class UnusualError(Exception):
    """An attribute is not of the usual kinds: libhdf5 has to read it."""


def _plain_types() -> dict[bytes, np.dtype[Any]]:
    """Datatype messages of the numbers that numpy has, without the version, which is in the first byte."""
    types = {}
    for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
        for order in "<>":
            dtype = np.dtype(order + code)
            types[_without_version(h5t.py_create(dtype).encode()[2:])] = dtype
    return types


def _without_version(message: bytes) -> bytes:
    return bytes([message[0] & 0x0F]) + message[1:]


_PLAIN: Final = _plain_types()


def is_dense(message: bytes, superblock: Superblock) -> bool:
    """Whether an attribute info message says that the attributes are not in the header (section IV.A.2.v)."""
    at = 2 + (2 if message[1] & 1 else 0)
    return message[at : at + superblock.offset_size] != b"\xff" * superblock.offset_size


class AttributeParts(NamedTuple):
    """What an attribute message consists of; `plain` unless parts of it are somewhere else."""

    name: bytes
    datatype: bytes
    dataspace: bytes
    data: bytes
    plain: bool


def attribute_parts(message: bytes) -> AttributeParts:
    """The parts of an attribute message; version 1 pads all but the last to multiples of 8 bytes."""
    version = message[0]
    at = 9 if version == 3 else 8
    parts = []
    for field in (2, 4, 6):
        size = message[field] | message[field + 1] << 8
        parts.append(message[at : at + size])
        at += -(-size // 8) * 8 if version == 1 else size
    plain = version in (1, 2, 3) and not (version > 1 and message[1])
    name, datatype, dataspace = parts
    return AttributeParts(
        name=name.split(b"\0")[0], datatype=datatype, dataspace=dataspace, data=message[at:], plain=plain
    )


def parse_attribute(parts: AttributeParts, superblock: Superblock, heap: GlobalHeap) -> Any:
    """The value of an attribute: numbers as numpy has them, texts as bytes, arrays of texts as nested lists.

    Raises
    ------
    UnusualError
        It is of another type, or shares a part with other objects.
    MalformedFileError
        It refers to a heap that is not there.
    """
    if not parts.plain:
        raise UnusualError
    return _value(parts.datatype, _shape(parts.dataspace, superblock), parts.data, superblock, heap)


def parse_reference_lists(
    parts: AttributeParts, superblock: Superblock, heap: GlobalHeap
) -> tuple[tuple[int, ...], ...]:
    """The value of an attribute that holds a list of object references for each element of one dimension.

    Returns
    -------
    tuple of tuples
        Addresses of object headers.

    Raises
    ------
    UnusualError, MalformedFileError
        As `parse_attribute`.
    """
    datatype, member, o = parts.datatype, parts.datatype[8:], superblock.offset_size
    shape = _shape(parts.dataspace, superblock)
    sequence = (datatype[0] & 0x0F, datatype[1] & 0x0F) == (_VARIABLE_LENGTH, 0)
    if not parts.plain or len(shape) != 1 or not sequence or (member[0] & 0x0F, member[1] & 0x0F) != (_REFERENCE, 0):
        raise UnusualError
    size = int.from_bytes(datatype[4:8], "little")
    if len(parts.data) < shape[0] * size or size != 8 + o:
        raise MalformedFileError(
            f"attribute message: {len(parts.data)} bytes do not hold {shape[0]} lists of references"
        )
    lists = []
    for at in range(0, shape[0] * size, size):
        count = int.from_bytes(parts.data[at : at + 4], "little")
        octets = heap.object(parts.data[at + 4 : at + size])[: count * o] if count else b""
        lists.append(tuple(int.from_bytes(octets[i : i + o], "little") for i in range(0, len(octets), o)))
    return tuple(lists)


def _shape(message: bytes, superblock: Superblock) -> tuple[int, ...]:
    space = parse_dataspace(message, superblock)
    if space.null:
        raise UnusualError
    return space.shape


def _value(datatype: bytes, shape: tuple[int, ...], data: bytes, superblock: Superblock, heap: GlobalHeap) -> Any:
    size, count = int.from_bytes(datatype[4:8], "little"), math.prod(shape)
    if not size or not count:
        raise UnusualError
    if len(data) < size * count:
        raise MalformedFileError(f"attribute message: {len(data)} bytes where {size * count} are expected")
    datatype_class = datatype[0] & 0x0F
    if datatype_class == _STRING:
        padding = datatype[1] & 0x0F
        texts = [_fixed_text(data[i * size : (i + 1) * size], padding) for i in range(count)]
        return _nest(texts, shape)
    if datatype_class == _VARIABLE_LENGTH and datatype[1] & 0x0F == 1:
        texts = [heap.text(data[i * size : (i + 1) * size]) for i in range(count)]
        return _nest(texts, shape)
    if datatype_class == _VARIABLE_LENGTH:
        member = int.from_bytes(datatype[12:16], "little")
        for i in range(count):
            _check_sequence(data[i * size : (i + 1) * size], member, superblock, heap)
    dtype = _PLAIN.get(_without_version(datatype[: 12 if datatype_class == 0 else 20]))
    if dtype is None:
        raise UnusualError
    values = np.frombuffer(data, dtype, count).astype(dtype.newbyteorder("=")).reshape(shape)
    return values if shape else values[()]


def _fixed_text(text: bytes, padding: int) -> bytes:
    if padding == _NULL_TERMINATED:
        return text.split(b"\0")[0]
    return text.rstrip(b" " if padding == _SPACE_PADDED else b"\0")


def _check_sequence(descriptor: bytes, member: int, superblock: Superblock, heap: GlobalHeap) -> None:
    """Check that a sequence is as long as it says, since libhdf5 allocates it before it looks."""
    count = int.from_bytes(descriptor[:4], "little")
    if count and any(descriptor[4 : 4 + superblock.offset_size]):
        stored = len(heap.object(descriptor[4:]))
        if stored < count * member:
            raise MalformedFileError(
                f"attribute message: {count} members of {member} bytes do not fit in an object of {stored}"
            )


def _nest(texts: list[bytes], shape: tuple[int, ...]) -> Any:
    """Texts in lists of the shape of their dataspace; one text alone for a scalar."""
    if not shape:
        return texts[0]
    if len(shape) == 1:
        return texts
    step = math.prod(shape[1:])
    return [_nest(texts[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]
