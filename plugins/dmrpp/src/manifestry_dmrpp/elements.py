"""DAP4 types → element types: what one element is, and how the data file stores it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from manifestry.plugin import Codec, MalformedFileError, UnsupportedFeatureError, record_layout, serializer

from manifestry_dmrpp.dimensions import axis_lengths
from manifestry_dmrpp.document import Enumeration, Group, Variable

__all__ = ["ATOMIC", "TEXT_TYPES", "VARIABLE_TYPES", "ElementType", "element_type", "record_of"]

ATOMIC: Final = {
    "Byte": "u1", "UByte": "u1", "Char": "S1", "UInt8": "u1", "Int8": "i1", "Int16": "i2", "UInt16": "u2",
    "Int32": "i4", "UInt32": "u4", "Int64": "i8", "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
"""Types of one number or character, as numpy codes."""

TEXT_TYPES: Final = frozenset({"String", "Url", "URL", "URI"})
VARIABLE_TYPES: Final = frozenset({*ATOMIC, *TEXT_TYPES, "Structure", "Sequence", "Enum", "Opaque"})

_HEAP_REFERENCES: Final = (12, 16)
"""Bytes that HDF5 stores in place of a variable-length string; older documents list them as if they were the string."""

_MAX_RECORD_BYTES: Final = 16 << 20
_OFFSET_DIGITS: Final = 12

_PADDING: Final = {"space_pad": "space", "null_term": "null-terminated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementType:
    """What one element is.

    Attributes
    ----------
    dtype
        numpy dtype in native byte order.
    endian
        Byte order in the data file; None for single bytes.
    stored_size
        Bytes of an element in the data file.
    storage
        Codecs that turn stored elements into those of `dtype`.
    attributes
        Attributes that the type brings along (the labels of an enumeration).
    """

    dtype: np.dtype[Any]
    endian: Literal["little", "big"] | None = None
    stored_size: int = 0
    storage: tuple[Codec, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codec that makes bytes of elements, and those of `storage`."""
        return (serializer(self.dtype, self.endian or "little"), *self.storage)


def element_type(variable: Variable) -> ElementType:
    """The element type of a variable whose values are in the data file.

    Raises
    ------
    UnsupportedFeatureError
        Zarr has no such type, or the document does not say how long the elements are.
    MalformedFileError
        An enumeration is not declared, a length or offset is not a number.
    """
    chunks = variable.chunks
    order: Literal["little", "big"] = (
        "big" if chunks is not None and chunks.properties.get("byteOrder") == "BE" else "little"
    )
    if variable.type in TEXT_TYPES:
        return _string(variable)
    if variable.type == "Structure":
        offsets = chunks.properties.get("structOffset") if chunks is not None else None
        return _structure(variable, order, offsets)
    if variable.type == "Opaque":
        size = _bytes_per_element(variable)
        return ElementType(dtype=np.dtype(f"V{size}"), stored_size=size)
    return _number(variable, order)


def _number(variable: Variable, order: Literal["little", "big"]) -> ElementType:
    if variable.type == "Enum":
        dtype, attributes = _enum(_enumeration(variable.enum, variable.group))
        return replace(_number_type(dtype, order), attributes=attributes)
    if variable.type not in ATOMIC:
        raise UnsupportedFeatureError(f"variables of type {variable.type}", variable.path, "Zarr has no such type")
    return _number_type(np.dtype(ATOMIC[variable.type]), order)


@lru_cache(maxsize=64)
def _number_type(dtype: np.dtype[Any], order: Literal["little", "big"]) -> ElementType:
    """One number or character."""
    return ElementType(dtype=dtype, endian=order, stored_size=dtype.itemsize)


def _enumeration(name: str, group: Group) -> Enumeration:
    path, _, last = name.rpartition("/")
    scopes = [list(group.scopes())[-1]] if name.startswith("/") else list(group.scopes())
    for scope in scopes:
        holder = scope.find(path)
        if holder is not None and last in holder.enumerations:
            return holder.enumerations[last]
    raise MalformedFileError(f"the enumeration {name!r} is not declared")


def _enum(enumeration: Enumeration) -> tuple[np.dtype[Any], Mapping[str, Any]]:
    """The integer type, and the labels as CF has them; truth values as h5py writes them are booleans."""
    code = ATOMIC.get(enumeration.base, "")
    if not np.issubdtype(code or "S1", np.integer):
        raise MalformedFileError(f"an enumeration has the base type {enumeration.base!r}: must be an integer type")
    dtype = np.dtype(code)
    try:
        values = np.array([int(value) for _, value in enumeration.labels], "O").astype(dtype)
    except (ValueError, OverflowError) as error:
        raise MalformedFileError(
            f"an enumeration has the labels and values {enumeration.labels[:5]}: the values must be of type"
            f" {enumeration.base}"
        ) from error
    names = [name for name, _ in enumeration.labels]
    if dtype.itemsize == 1 and dict(zip(names, values.tolist(), strict=True)) == {"FALSE": 0, "TRUE": 1}:
        return np.dtype("?"), {}
    flags = {"flag_values": values, "flag_meanings": " ".join(name.replace(" ", "_") for name in names)}
    return dtype, flags if names else {}


def _string(variable: Variable) -> ElementType:
    """Strings of fixed length; where no length is declared, it follows from the size of the chunks."""
    if variable.string_length is not None:
        if not variable.string_length.isdecimal() or not 0 < int(variable.string_length) < 1 << 31:
            raise MalformedFileError(
                f"strings of length {variable.string_length!r}: must be a positive integer below 2**31"
            )
        size = int(variable.string_length)
        padding = _PADDING.get(variable.string_padding or "")
        trimmed = padding == "space" or (padding is not None and size > 1)
        storage = (Codec("manifestry.fixed_string", {"length": size, "padding": padding}),) if trimmed else ()
        return ElementType(dtype=np.dtype(f"S{size}"), stored_size=size, storage=storage)
    if variable.chunks is None or not len(variable.chunks):
        return ElementType(dtype=np.dtypes.StringDType())
    size = _bytes_per_element(variable)
    if size in _HEAP_REFERENCES and "version" not in list(variable.group.scopes())[-1].properties:
        raise UnsupportedFeatureError(
            f"strings of {size} bytes in a document without a version",
            variable.path,
            "they may be references to strings elsewhere; make the document again with BES 3.21 or later",
        )
    return ElementType(dtype=np.dtype(f"S{size}"), stored_size=size)


def _bytes_per_element(variable: Variable) -> int:
    """Bytes of an element without a declared length: those of a chunk, divided among its elements."""
    chunks = variable.chunks
    if chunks is None or not len(chunks) or chunks.properties.get("compressionType"):
        raise UnsupportedFeatureError(
            f"{variable.type} without a length", variable.path, "the document does not have it"
        )
    shape = chunks.shape(axis_lengths(variable))
    size, rest = divmod(chunks.sizes[0], math.prod(shape))
    if rest or not 0 < size < 1 << 31 or any(n != chunks.sizes[0] for n in chunks.sizes):
        raise MalformedFileError(
            f"chunks of {chunks.sizes[0]} bytes cannot be divided among the elements: must all have one size, a"
            " multiple of the number of elements, for elements of one size"
        )
    return int(size)


def _structure(variable: Variable, order: Literal["little", "big"], offsets: str | None) -> ElementType:
    stored = _complex_or_same(_stored_record(variable, offsets)).newbyteorder(order)
    if stored.names is None:
        return ElementType(dtype=stored.newbyteorder("="), endian=order, stored_size=stored.itemsize)
    layout = record_layout(stored)
    return ElementType(dtype=layout.dtype, endian=layout.endian, stored_size=stored.itemsize, storage=layout.codecs)


def _stored_record(variable: Variable, offsets: str | None) -> np.dtype[Any]:
    """A record with its members at their offsets; without offsets they follow each other."""
    if not variable.members:
        raise UnsupportedFeatureError("a Structure without members", variable.path)
    dtypes = [_stored_member(member) for member in variable.members]
    ends = np.cumsum([dtype.itemsize for dtype in dtypes], dtype="O").tolist()
    starts, size = [0, *ends[:-1]], ends[-1]
    if offsets is not None:
        starts, size = _parse_offsets(offsets, len(dtypes))
        for member, dtype, start, end in zip(variable.members, dtypes, starts, [*starts[1:], size], strict=True):
            if start + dtype.itemsize > end:
                raise MalformedFileError(
                    f"structOffset {offsets!r}: members must not overlap or reach beyond the record"
                )
            if start + dtype.itemsize < end and dtype.base.names is not None:
                hint = "the document does not say where its members are; read it from the data file"
                raise UnsupportedFeatureError("a Structure in a Structure, with room to spare", member.path, hint)
    if size > _MAX_RECORD_BYTES:
        raise UnsupportedFeatureError(f"records of {size} bytes", variable.path)
    return record_of(variable, dtypes, offsets=starts, itemsize=size)


def record_of(variable: Variable, dtypes: Sequence[np.dtype[Any]], **layout: Any) -> np.dtype[Any]:
    """The record dtype of a Structure; without offsets its members follow each other.

    Raises
    ------
    UnsupportedFeatureError
        Two members have one name, or one has none (numpy would choose one).
    """
    names = [member.name for member in variable.members]
    if "" in names or len(set(names)) < len(names):
        raise UnsupportedFeatureError(f"a Structure with members named {names!r}", variable.path)
    described: Any = {"names": names, "formats": dtypes, **layout}
    record: np.dtype[Any] = np.dtype(described)
    return record


def _parse_offsets(text: str, count: int) -> tuple[list[int], int]:
    """Where the members of a record begin, and its size; ``structOffset`` leaves out the first, which is at 0."""
    offsets = text.split()
    if len(offsets) != count or not all(o.isascii() and o.isdecimal() and len(o) < _OFFSET_DIGITS for o in offsets):
        raise MalformedFileError(
            f"structOffset {text!r}: must be {count} integers, one for each member, of less than {_OFFSET_DIGITS} digits"
        )
    return [0, *map(int, offsets[:-1])], int(offsets[-1])


def _stored_member(member: Variable) -> np.dtype[Any]:
    if member.type in TEXT_TYPES or member.type == "Opaque":
        raise UnsupportedFeatureError(f"a Structure with a {member.type}", member.path, "its length is not declared")
    dtype = _stored_record(member, None) if member.type == "Structure" else _number(member, "little").dtype
    shape = axis_lengths(member)
    if math.prod(shape) * dtype.itemsize > _MAX_RECORD_BYTES:
        raise UnsupportedFeatureError(f"a member of shape {shape}", member.path)
    return np.dtype((_complex_or_same(dtype), shape))


def _complex_or_same(record: np.dtype[Any]) -> np.dtype[Any]:
    """The complex number that h5py and many others keep as a record of two floats ``r`` and ``i``."""
    if record.names == ("r", "i") and record["r"] == record["i"] and record["r"] in (np.dtype("f4"), np.dtype("f8")):
        return np.dtype(f"c{record.itemsize}") if record.itemsize == 2 * record["r"].itemsize else record
    return record
