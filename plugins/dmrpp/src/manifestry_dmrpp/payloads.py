"""Values that are in the document itself.

========================  ===========================================================================================
``compact``               base64 of the elements as the data file has them, in little-endian order
``missingdata``           base64 of little-endian elements, compressed with zlib unless there is exactly one
``vlsa``                  variable-length strings, runs of equal ones as one ``v`` with a count; long ones compressed
``specialstructuredata``  base64 of records member by member, strings as base64 texts that end with ``;``
========================  ===========================================================================================

Nothing is decoded before its size is known to be within the limits.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from manifestry import Limits
from manifestry.plugin import Codec, MalformedFileError, UnsupportedFeatureError, record_layout
from numpy.typing import NDArray

from manifestry_dmrpp.dimensions import axis_lengths
from manifestry_dmrpp.document import StringRun, Variable
from manifestry_dmrpp.elements import ATOMIC, TEXT_TYPES, ElementType, element_type, record_of

__all__ = ["Payload", "payload"]

_COUNT_BYTES: Final = 4
"""Bytes that the ``vlen-utf8`` codec takes for the number of strings, and for the length of each."""


@dataclass(frozen=True, slots=True)
class Payload:
    """All elements of a variable as one chunk."""

    element: ElementType
    codecs: tuple[Codec, ...]
    data: bytes


def payload(variable: Variable, shape: tuple[int, ...], limits: Limits) -> Payload | None:
    """The values that the document holds for a variable, or None when they are elsewhere.

    Raises
    ------
    MalformedFileError
        What is there is not what the shape and the type of the variable need.
    UnsupportedFeatureError
        There is more than may be copied, or Zarr has no such type.
    """
    count = math.prod(shape)
    if variable.strings is not None:
        data = _strings(variable.strings, count, limits)
        return Payload(ElementType(dtype=np.dtypes.StringDType()), (Codec("vlen-utf8"),), data)
    if "specialstructuredata" in variable.payloads:
        return _records(variable, count, limits)
    if "compact" in variable.payloads:
        data = _base64(variable.payloads["compact"])
        return _elements(variable, data, count, limits, text_size=len(data))
    if "missingdata" in variable.payloads:
        data = _base64(variable.payloads["missingdata"])
        return _elements(variable, data, count, limits, compressed=bool(shape) and count != 1)
    return None


def _elements(
    variable: Variable, data: bytes, count: int, limits: Limits, *, text_size: int = 0, compressed: bool = False
) -> Payload:
    if variable.type in TEXT_TYPES and variable.string_length is None:
        if variable.dims or not text_size:
            raise UnsupportedFeatureError("strings without a length", variable.path, "the document does not have it")
        element = ElementType(dtype=np.dtype(f"S{text_size}"), stored_size=text_size)
    else:
        element = element_type(variable)
        element = replace(element, endian=element.endian and "little")
    expected = count * element.stored_size
    _check_size(expected, limits)
    plain = _inflate(data, expected) if compressed else data
    if len(plain) != expected:
        raise MalformedFileError(f"the values in the document are not the {expected} bytes that {count} elements take")
    return Payload(element, element.codecs, plain)


def _strings(runs: list[StringRun], count: int, limits: Limits) -> bytes:
    """The strings in the form of the ``vlen-utf8`` codec."""
    _check_size(count * _COUNT_BYTES, limits)
    parts = [count.to_bytes(_COUNT_BYTES, "little")]
    total, strings = _COUNT_BYTES, 0
    for run in runs:
        times = _parse_size(run.count or "1", "the count of a string")
        text = _text(run, limits).encode("utf-8")
        strings += times
        total += times * (_COUNT_BYTES + len(text))
        if strings > count:
            raise MalformedFileError(f"the document has more strings than the {count} elements of the variable")
        _check_size(total, limits)
        parts += [len(text).to_bytes(_COUNT_BYTES, "little") + text] * times
    if strings != count:
        raise MalformedFileError(f"the document has {strings} strings: the variable has {count} elements")
    return b"".join(parts)


def _text(run: StringRun, limits: Limits) -> str:
    if not run.size:
        return run.text
    size = _parse_size(run.size, "the size of a string")
    _check_size(size, limits)
    data = _inflate(_base64(run.text), size)
    if len(data) != size:
        raise MalformedFileError(f"a string does not inflate to its declared size of {size} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _records(variable: Variable, count: int, limits: Limits) -> Payload:
    """Records; their strings become strings of the length of the longest."""
    data = _base64(variable.payloads["specialstructuredata"])
    _check_size(len(data), limits)
    if count > len(data):  # records have a byte at least; members without elements would let a loop run without end
        raise MalformedFileError(f"the document has {len(data)} bytes of values: too few for {count} records")
    shapes = [axis_lengths(member) for member in variable.members]
    columns: list[list[bytes]] = [[] for _ in variable.members]
    at = 0
    for _ in range(count):
        for member, shape, column in zip(variable.members, shapes, columns, strict=True):
            values, at = _member(member, math.prod(shape), data, at)
            column.extend(values)
    if at != len(data):
        raise MalformedFileError(f"{len(data) - at} bytes follow the last of {count} records: none must")
    fields = [_field(member, column) for member, column in zip(variable.members, columns, strict=True)]
    dtypes = [np.dtype((field.dtype, shape)) for field, shape in zip(fields, shapes, strict=True)]
    stored = record_of(variable, dtypes)
    layout = record_layout(stored)
    _check_size(count * layout.dtype.itemsize, limits)
    records = np.zeros(count, stored)
    for member, field, shape in zip(variable.members, fields, shapes, strict=True):
        records[member.name] = field.reshape(count, *shape)
    element = ElementType(dtype=layout.dtype, endian=layout.endian, stored_size=layout.dtype.itemsize)
    return Payload(element, element.codecs, records.tobytes())


def _member(member: Variable, count: int, data: bytes, at: int) -> tuple[list[bytes], int]:
    """One member of one record, and where the next begins: each of its texts, or the bytes of all its numbers."""
    if member.type not in TEXT_TYPES:
        end = at + count * _number_type(member).itemsize
        if end > len(data):
            raise MalformedFileError(f"the {len(data)} bytes of the records end inside a record")
        return [data[at:end]], end
    texts = []
    for _ in range(count):
        end = data.find(b";", at)
        if end < 0:
            raise MalformedFileError("a string of a record does not end: a semicolon must follow it")
        texts.append(_base64(data[at:end]))
        at = end + 1
    return texts, at


def _field(member: Variable, column: list[bytes]) -> NDArray[Any]:
    """All values of a member."""
    if member.type in TEXT_TYPES:
        return np.array(column, f"S{max(1, *map(len, column), 1)}")
    return np.frombuffer(b"".join(column), _number_type(member))


def _number_type(member: Variable) -> np.dtype[Any]:
    code = ATOMIC.get(member.type)
    if code is None:
        raise UnsupportedFeatureError(f"a Structure with a {member.type}", member.path)
    return np.dtype(code).newbyteorder("<")


def _base64(text: str | bytes) -> bytes:
    try:
        compact = b"".join(text.encode("ascii").split()) if isinstance(text, str) else text
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise MalformedFileError(f"the values in the document are not base64: {error}") from error


def _inflate(data: bytes, expected: int) -> bytes:
    """What zlib makes of data that must have an expected size: never more than one byte beyond is made."""
    try:
        return zlib.decompressobj().decompress(data, expected + 1)
    except zlib.error as error:
        raise MalformedFileError(f"the values in the document do not inflate: {error}") from error


def _parse_size(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:
        raise MalformedFileError(f"{what} is {text[:40]!r}: must be an integer of 20 digits at most")
    return int(text)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_inline_bytes:
        raise UnsupportedFeatureError(
            f"{size} bytes of values in the document", hint=f"limits.max_inline_bytes is {limits.max_inline_bytes}"
        )
