"""Attribute message: attributes of the usual types (specification, section IV.A.2.m).

Numbers, fixed strings and variable-length strings, each alone or in an array, make nearly all attributes. They are
decoded here; for any other the caller asks libhdf5.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.dataspace import parse_dataspace
from manifestry_hdf5.structures.global_heap import GlobalHeap
from manifestry_hdf5.structures.messages.datatype import (
    Datatype,
    FixedPoint,
    FloatingPoint,
    Normalization,
    Reference,
    ReferenceKind,
    String,
    StringPadding,
    VariableLength,
)
from manifestry_hdf5.structures.messages.datatype_message import parse_datatype
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


class UnusualError(Exception):
    """An attribute is not of the usual kinds: libhdf5 has to read it."""


_FLOATS: Final = {2: (15, (10, 5), (0, 10), 15), 4: (31, (23, 8), (0, 23), 127), 8: (63, (52, 11), (0, 52), 1023)}
"""Size → sign, exponent, mantissa and bias of IEEE 754."""


def _plain_types() -> dict[Datatype, np.dtype[Any]]:
    """The numbers that numpy has."""
    types: dict[Datatype, np.dtype[Any]] = {}
    for order, mark in (("little", "<"), ("big", ">")):
        whole: Any = {"order": order, "offset": 0}
        for size in (1, 2, 4, 8):
            for signed in (False, True):
                number = FixedPoint(size=size, precision=8 * size, signed=signed, padding=(0, 0), **whole)
                types[number] = np.dtype(f"{mark}{'i' if signed else 'u'}{size}")
        for size, (sign, exponent, mantissa, bias) in _FLOATS.items():
            real = FloatingPoint(
                size=size,
                precision=8 * size,
                sign=sign,
                exponent=exponent,
                mantissa=mantissa,
                bias=bias,
                normalization=Normalization.HIGHEST_BIT_IMPLIED,
                padding=(0, 0, 0),
                **whole,
            )
            types[real] = np.dtype(f"{mark}f{size}")
    return types


_PLAIN: Final = _plain_types()


@lru_cache(maxsize=256)
def _datatype(message: bytes) -> tuple[Datatype, np.dtype[Any] | None]:
    """A datatype, and numpy's for it where it is a plain number."""
    try:
        datatype = parse_datatype(message)
    except UnsupportedFeatureError as error:
        raise UnusualError from error
    return datatype, _PLAIN.get(datatype)


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
    if not parts.plain:
        raise UnusualError
    datatype, shape, o = _datatype(parts.datatype)[0], _shape(parts.dataspace, superblock), superblock.offset_size
    members = datatype.base if isinstance(datatype, VariableLength) and not datatype.text else None
    if len(shape) != 1 or not isinstance(members, Reference) or members.kind is not ReferenceKind.OBJECT:
        raise UnusualError
    size = datatype.size
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


def _value(message: bytes, shape: tuple[int, ...], data: bytes, superblock: Superblock, heap: GlobalHeap) -> Any:
    (datatype, dtype), count = _datatype(message), math.prod(shape)
    size = datatype.size
    if not count:
        raise UnusualError
    if len(data) < size * count:
        raise MalformedFileError(f"attribute message: {len(data)} bytes where {size * count} are expected")
    if dtype is not None:
        values = np.frombuffer(data, dtype, count).astype(dtype.newbyteorder("=")).reshape(shape)
        return values if shape else values[()]
    if isinstance(datatype, String):
        texts = [_fixed_text(data[i * size : (i + 1) * size], datatype.padding) for i in range(count)]
        return _nest(texts, shape)
    if isinstance(datatype, VariableLength):
        elements = [data[i * size : (i + 1) * size] for i in range(count)]
        if datatype.text:
            return _nest([heap.text(element) for element in elements], shape)
        for element in elements:
            _check_sequence(element, datatype.base.size, superblock, heap)
    raise UnusualError


def _fixed_text(text: bytes, padding: StringPadding) -> bytes:
    if padding is StringPadding.NULL_TERMINATED:
        return text.split(b"\0")[0]
    return text.rstrip(b" " if padding is StringPadding.SPACE_PADDED else b"\0")


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
