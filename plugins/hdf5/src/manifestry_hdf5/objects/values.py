"""Values as libhdf5 gives them → elements of an array, and those as the bytes of a chunk.

======================  ====================================  ===============================================
in the file             in the array                          in a chunk
======================  ====================================  ===============================================
numbers, fixed strings  the same                              ``bytes``, little-endian
variable-length texts   ``StringDType``                       ``vlen-utf8``
sequences               objects: an array for each            ``manifestry.sequences``, ``vlen-bytes``
texts in records        texts as long as the longest of them  ``bytes``: UTF-32
======================  ====================================  ===============================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from manifestry.plugin import Codec, is_variable_length, serializer

from manifestry_hdf5.libhdf5.sequences import in_file_order
from manifestry_hdf5.objects.attributes import decode_text
from manifestry_hdf5.objects.datatypes import ElementType

__all__ = ["chunk_bytes", "chunk_codecs", "model_values"]

type Values = np.ndarray[Any, Any]


def model_values(values: Values, element: ElementType) -> Values:
    """Values as h5py gives them in the element type of the array; texts as objects."""
    if element.dtype == object:
        return _objects((_members(v, element) for v in values.reshape(-1)), values.shape)
    if element.members is not None:  # the only sequence of a dataset without dimensions
        return _members(values, element)
    if is_variable_length(element.dtype):  # texts
        return _objects(map(_text, values.reshape(-1).tolist()), values.shape)
    if element.dtype.names is None:
        return values.astype(element.dtype, copy=False)
    packed = np.zeros(values.shape, _with_lengths(values, element.dtype) if element.texts else element.dtype)
    _assign(packed, values)
    return packed


def _objects(items: Iterable[Any], shape: tuple[int, ...]) -> Values:
    elements = list(items)
    objects = np.empty(len(elements), object)
    for i, one in enumerate(elements):  # numpy would make one array of several of the same length
        objects[i] = one
    return objects.reshape(shape)


def _text(value: Any) -> str:
    return decode_text(value) if isinstance(value, bytes) else str(value or "")


def _members(value: Any, element: ElementType) -> Values:
    """One sequence; h5py gives None or an empty array for one that was never written."""
    dtype = element.members
    assert dtype is not None
    if value is None:
        return np.zeros(0, dtype)
    if dtype.names is None:
        return in_file_order(np.asarray(value), element.endian).astype(dtype, copy=False)
    packed = np.zeros(len(value), dtype)
    _assign(packed, value)
    return packed


def _with_lengths(values: Values, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A record type with room for the longest text of each field."""
    fields: list[tuple[str, np.dtype[Any]]] = []
    for name in dtype.names or ():
        member, column = dtype[name], values[name]
        base = member.base
        if base.names is not None:
            base = _with_lengths(column, base)
        elif column.dtype == object:
            base = np.dtype(f"U{max((len(_text(v)) for v in column.reshape(-1).tolist()), default=1) or 1}")
        fields.append((name, np.dtype((base, member.shape))))
    return np.dtype(fields)


def _assign(target: Values, values: Values) -> None:
    """Copy records field by field: those in memory have gaps."""
    for name in target.dtype.names or ():
        column = values[name]
        if target.dtype[name].base.names is not None:
            _assign(target[name], column)
        elif column.dtype == object:
            target[name] = _objects(map(_text, column.reshape(-1).tolist()), column.shape)
        else:
            target[name] = column


def chunk_codecs(element: ElementType, dtype: np.dtype[Any]) -> tuple[Codec, ...]:
    """The codecs that decode what `chunk_bytes` makes of elements of a type."""
    if element.members is not None and np.issubdtype(dtype, np.object_):
        return Codec("manifestry.sequences", {"dtype": _describe(element.members)}), Codec("vlen-bytes")
    return (serializer(dtype),)


def _describe(dtype: np.dtype[Any]) -> Any:
    """A dtype as JSON, little-endian: its name, or names, types and shapes of the fields."""
    if dtype.names is None:
        return dtype.newbyteorder("<").str
    fields = [(name, dtype[name]) for name in dtype.names]
    return [[name, _describe(member.base), *([list(member.shape)] if member.shape else [])] for name, member in fields]


def chunk_bytes(chunk: Values, element: ElementType) -> bytes:
    """The bytes of a chunk."""
    if chunk.dtype != object:
        return np.ascontiguousarray(chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)).tobytes()
    flat = chunk.reshape(-1).tolist()
    if element.members is None:
        return _frame([text.encode() for text in flat])
    stored = element.members.newbyteorder("<")
    return _frame([members.astype(stored).tobytes() if len(members) else b"" for members in flat])


def _frame(items: list[bytes]) -> bytes:
    """The form of ``vlen-utf8`` and ``vlen-bytes``: how many there are, and each after its length."""
    parts = [len(items).to_bytes(4, "little")]
    for item in items:
        parts += (len(item).to_bytes(4, "little"), item)
    return b"".join(parts)
