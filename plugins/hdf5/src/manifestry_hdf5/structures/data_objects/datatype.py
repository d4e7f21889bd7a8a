"""Datatypes as plain records, one for each class (specification, section IV.A.2.d)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

__all__ = [
    "Array",
    "Bitfield",
    "Complex",
    "Compound",
    "Datatype",
    "Enumeration",
    "FixedPoint",
    "FloatingPoint",
    "Member",
    "Normalization",
    "Opaque",
    "Order",
    "Reference",
    "ReferenceKind",
    "String",
    "StringPadding",
    "Time",
    "VariableLength",
]

type Order = Literal["little", "big", "vax"]
type Datatype = (
    FixedPoint
    | FloatingPoint
    | Time
    | String
    | Bitfield
    | Opaque
    | Compound
    | Reference
    | Enumeration
    | VariableLength
    | Array
    | Complex
)
"""Each has its `size`, the bytes of one element in the file."""


class StringPadding(IntEnum):
    """What follows a text that is shorter than its type."""

    NULL_TERMINATED = 0
    NULL_PADDED = 1
    SPACE_PADDED = 2


class Normalization(IntEnum):
    """Whether the highest bit of the mantissa is stored."""

    NONE = 0
    HIGHEST_BIT_SET = 1
    HIGHEST_BIT_IMPLIED = 2


class ReferenceKind(IntEnum):
    """What a reference points to; the last three have the form of HDF5 1.12."""

    OBJECT = 0
    REGION = 1
    NEW_OBJECT = 2
    NEW_REGION = 3
    ATTRIBUTE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint:
    """An integer: `precision` bits, the lowest of them bit `offset`; the bits of the padding are 0 or 1."""

    size: int
    order: Order
    precision: int
    offset: int
    signed: bool
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bitfield:
    """Bits, in the form of an unsigned integer."""

    size: int
    order: Order
    precision: int
    offset: int
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingPoint:
    """A floating-point number.

    Attributes
    ----------
    precision, offset
        How many bits have a meaning, and the lowest of them.
    sign, exponent, mantissa
        Position of the sign; positions of the lowest bits and numbers of bits of the others.
    padding
        The bits below, above and between those that have a meaning: 0 or 1.
    """

    size: int
    order: Order
    precision: int
    offset: int
    sign: int
    exponent: tuple[int, int]
    mantissa: tuple[int, int]
    bias: int
    normalization: Normalization
    padding: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Time:
    """A time, of which nothing but its bits is specified."""

    size: int
    order: Order
    precision: int


@dataclass(frozen=True, slots=True)
class String:
    """A text of fixed length; `utf8` where it is not called ASCII."""

    size: int
    padding: StringPadding
    utf8: bool


@dataclass(frozen=True, slots=True)
class Opaque:
    """Bytes without a meaning, and a description of them."""

    size: int
    tag: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a compound and where it begins."""

    name: bytes
    offset: int
    datatype: Datatype


@dataclass(frozen=True, slots=True)
class Compound:
    """A record; its members lie inside it, one beside the other, in any order."""

    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A pointer into the file."""

    size: int
    kind: ReferenceKind


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An integer whose values have names."""

    size: int
    base: FixedPoint
    names: tuple[bytes, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableLength:
    """A sequence of any length, or with `text` a text; `padding` and `utf8` as those of `String`."""

    size: int
    base: Datatype
    text: bool
    padding: StringPadding
    utf8: bool


@dataclass(frozen=True, slots=True)
class Array:
    """Elements of one type in some dimensions."""

    size: int
    base: Datatype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Complex:
    """A complex number of HDF5 2.0: its real and its imaginary part."""

    size: int
    base: FloatingPoint
