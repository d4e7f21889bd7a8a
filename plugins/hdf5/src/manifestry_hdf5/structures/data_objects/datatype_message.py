"""Datatype message, versions 1 to 5 (specification, section IV.A.2.d)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.data_objects.datatype import (
    Array,
    Bitfield,
    Complex,
    Compound,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Member,
    Normalization,
    Opaque,
    Order,
    Reference,
    ReferenceKind,
    String,
    StringPadding,
    Time,
    VariableLength,
)
from manifestry_hdf5.structures.fields import Fields

__all__ = ["DATATYPE_MESSAGE", "parse_datatype"]

DATATYPE_MESSAGE: Final = 0x03
_STRUCTURE: Final = "datatype message"
_MAX_DEPTH: Final = 64
"""Types inside each other."""

_MAX_DIMENSIONS: Final = 32
_MAX_OLD_DIMENSIONS: Final = 4
_UTF8: Final = 1
"""The number of the character set."""


@lru_cache(maxsize=512)
def parse_datatype(data: bytes) -> Datatype:
    """The datatype that a message describes; what follows its description is not looked at, as libhdf5 does.

    Raises
    ------
    MalformedFileError
        It is too short, or contradicts itself.
    UnsupportedFeatureError
        Its version or class is not known, or types are nested too deeply.
    """
    return _datatype(Fields(data, _STRUCTURE), 0)


def _expect(condition: bool, problem: str) -> None:  # noqa: FBT001 reads like an assertion
    if not condition:
        raise MalformedFileError(f"{_STRUCTURE}: {problem}")


class _Head(NamedTuple):
    """What every description of a type begins with, and how many types it is inside of."""

    version: int
    flags: int
    size: int
    depth: int


def _datatype(fields: Fields, depth: int) -> Datatype:
    if depth > _MAX_DEPTH:
        raise UnsupportedFeatureError(f"datatypes nested deeper than {_MAX_DEPTH}")
    first, flags, size = fields.take(1), fields.take(3), fields.take(4)
    head = _Head(first >> 4, flags, size, depth)
    if head.version not in (1, 2, 3, 4, 5):
        raise UnsupportedFeatureError(f"datatype message of version {head.version}")
    _expect(size > 0, "a type of 0 bytes")
    reader = _READERS.get(first & 0x0F)
    if reader is None:
        raise UnsupportedFeatureError(f"datatype of class {first & 0x0F}")
    return reader(fields, head)


def _order(flags: int) -> Order:
    return "big" if flags & 1 else "little"


def _string_padding(number: int) -> StringPadding:
    _expect(number <= StringPadding.SPACE_PADDED, f"string padding {number} where 0, 1 or 2 is expected")
    return StringPadding(number)


def _padding(flags: int) -> tuple[int, int]:
    """The bits below and above those that have a meaning."""
    return flags >> 1 & 1, flags >> 2 & 1


def _bits(fields: Fields, size: int) -> tuple[int, int]:
    """Offset and precision."""
    offset, precision = fields.take(2), fields.take(2)
    _expect(
        precision > 0 and offset + precision <= 8 * size,
        f"{precision} bits from bit {offset} on are none, or more than {size} bytes have",
    )
    return offset, precision


def _fixed_point(fields: Fields, head: _Head) -> FixedPoint:
    offset, precision = _bits(fields, head.size)
    return FixedPoint(
        size=head.size,
        order=_order(head.flags),
        precision=precision,
        offset=offset,
        signed=bool(head.flags & 8),
        padding=_padding(head.flags),
    )


def _bitfield(fields: Fields, head: _Head) -> Bitfield:
    offset, precision = _bits(fields, head.size)
    return Bitfield(
        size=head.size, order=_order(head.flags), precision=precision, offset=offset, padding=_padding(head.flags)
    )


def _floating_point(fields: Fields, head: _Head) -> FloatingPoint:
    size, flags = head.size, head.flags
    order, vax = _order(flags), head.version >= 3 and bool(flags & 0x40)
    _expect(not vax or order == "big", "a byte order that does not exist")
    normalization = flags >> 4 & 3
    _expect(normalization < 3, "normalization 3 where 0, 1 or 2 is expected")
    offset, precision = _bits(fields, size)
    exponent = fields.take(1), fields.take(1)
    mantissa = fields.take(1), fields.take(1)
    sign = flags >> 8 & 0xFF
    for at, count in ((sign, 1), exponent, mantissa):
        _expect(count > 0 and at + count <= 8 * size, f"{count} bits at bit {at} of a float of {size} bytes")
    parts = sorted(((sign, 1), exponent, mantissa))
    apart = all(at + count <= after for (at, count), (after, _) in pairwise(parts))
    _expect(apart, f"sign, exponent and mantissa of a float overlap: {parts}")
    return FloatingPoint(
        size=size,
        order="vax" if vax else order,
        precision=precision,
        offset=offset,
        sign=sign,
        exponent=exponent,
        mantissa=mantissa,
        bias=fields.take(4),
        normalization=Normalization(normalization),
        padding=(*_padding(flags), flags >> 3 & 1),
    )


def _time(fields: Fields, head: _Head) -> Time:
    return Time(head.size, _order(head.flags), fields.take(2))


def _string(_: Fields, head: _Head) -> String:
    return String(head.size, _string_padding(head.flags & 0x0F), head.flags >> 4 & 0x0F == _UTF8)


def _opaque(fields: Fields, head: _Head) -> Opaque:
    length = head.flags & 0xFF
    _expect(length % 8 == 0, f"a tag of {length} bytes where a multiple of 8 is expected")
    return Opaque(head.size, fields.octets(length).split(b"\0")[0])


def _reference(_: Fields, head: _Head) -> Reference:
    kind = head.flags & 0x0F
    _expect(kind <= ReferenceKind.ATTRIBUTE, f"reference of kind {kind} where 0 to 4 is expected")
    encoding = head.flags >> 4 & 0x0F
    _expect(kind <= ReferenceKind.REGION or encoding == 1, f"reference of version {encoding} where 1 is expected")
    return Reference(head.size, ReferenceKind(kind))


def _compound(fields: Fields, head: _Head) -> Compound:
    count, size = head.flags & 0xFFFF, head.size
    _expect(count > 0, "a compound without members")
    offset_size = (size.bit_length() - 1) // 8 + 1 if head.version >= 3 else 4
    members: list[Member] = []
    for _ in range(count):
        name = _name(fields, head)
        offset = fields.take(offset_size)
        shape = _old_dimensions(fields) if head.version == 1 else ()
        datatype = _datatype(fields, head.depth + 1)
        if shape:
            datatype = Array(datatype.size * math.prod(shape), datatype, shape)
        members.append(Member(name, offset, datatype))
    _expect(len({member.name for member in members}) == count, "members of one name")
    free = 0
    for member in sorted(members, key=lambda member: member.offset):
        end = member.offset + member.datatype.size
        _expect(free <= member.offset and end <= size, f"member {member.name!r} overlaps another, or the end")
        free = end
    return Compound(size, tuple(members))


def _name(fields: Fields, head: _Head) -> bytes:
    return fields.text(align=1 if head.version >= 3 else 8)


def _old_dimensions(fields: Fields) -> tuple[int, ...]:
    """The dimensions that a member has of its own in version 1."""
    rank = fields.take(1)
    _expect(rank <= _MAX_OLD_DIMENSIONS, f"a member of {rank} dimensions where 4 or fewer are expected")
    fields.skip(11)
    shape = tuple(fields.take(4) for _ in range(_MAX_OLD_DIMENSIONS))[:rank]
    _expect(all(shape), f"a member of the shape {shape}")
    return shape


def _enumeration(fields: Fields, head: _Head) -> Enumeration:
    count, size = head.flags & 0xFFFF, head.size
    base = _datatype(fields, head.depth + 1)
    if not isinstance(base, FixedPoint) or base.size != size:
        raise MalformedFileError(f"{_STRUCTURE}: an enumeration of {size} bytes whose base is {base}")
    names = tuple(_name(fields, head) for _ in range(count))
    _expect(all(names), "a value of an enumeration without a name")
    return Enumeration(size, base, names, tuple(_integer(fields.octets(size), base) for _ in range(count)))


def _integer(octets: bytes, base: FixedPoint) -> int:
    """The value of an integer that may not take all bits."""
    value = int.from_bytes(octets, "big" if base.order == "big" else "little") >> base.offset
    value &= (1 << base.precision) - 1
    negative = base.signed and value >> (base.precision - 1)
    return value - (1 << base.precision) if negative else value


def _variable_length(fields: Fields, head: _Head) -> VariableLength:
    kind = head.flags & 0x0F
    _expect(kind <= 1, "variable-length type: it is neither a sequence nor a text")
    padding = _string_padding(head.flags >> 4 & 0x0F if kind else 0)
    utf8 = kind == 1 and head.flags >> 8 & 0x0F == _UTF8
    base = _datatype(fields, head.depth + 1)
    return VariableLength(size=head.size, base=base, text=kind == 1, padding=padding, utf8=utf8)


def _array(fields: Fields, head: _Head) -> Array:
    rank, old = fields.take(1), head.version < 3
    _expect(0 < rank <= _MAX_DIMENSIONS, f"an array of {rank} dimensions where 1 to {_MAX_DIMENSIONS} are expected")
    fields.skip(3 if old else 0)
    shape = tuple(fields.take(4) for _ in range(rank))
    fields.skip(4 * rank if old else 0)
    base = _datatype(fields, head.depth + 1)
    _expect(
        head.size == math.prod(shape) * base.size,
        f"an array of {head.size} bytes, of the shape {shape} of {base.size} bytes each",
    )
    return Array(head.size, base, shape)


def _complex(fields: Fields, head: _Head) -> Complex:
    base = _datatype(fields, head.depth + 1)
    if not isinstance(base, FloatingPoint) or head.size != 2 * base.size or not head.flags & 1:
        raise MalformedFileError(f"{_STRUCTURE}: complex numbers of {head.size} bytes whose parts are {base}")
    if head.flags >> 1:
        raise UnsupportedFeatureError("complex numbers that are not in rectangular form")
    return Complex(head.size, base)


_READERS: Final[dict[int, Callable[[Fields, _Head], Datatype]]] = {
    0: _fixed_point,
    1: _floating_point,
    2: _time,
    3: _string,
    4: _bitfield,
    5: _opaque,
    6: _compound,
    7: _reference,
    8: _enumeration,
    9: _variable_length,
    10: _array,
    11: _complex,
}
"""By the number of their class."""
