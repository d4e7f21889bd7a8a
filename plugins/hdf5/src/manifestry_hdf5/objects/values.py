"""Elements of an array → the bytes of a chunk.

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

from typing import Any

import numpy as np
from manifestry.plugin import Codec, serializer

from manifestry_hdf5.objects.datatypes import ElementType

__all__ = ["chunk_bytes", "chunk_codecs"]

type Values = np.ndarray[Any, Any]


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
