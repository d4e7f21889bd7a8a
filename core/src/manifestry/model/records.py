"""Records as archives store them → records as Zarr has them.

Zarr's structs are packed and have one byte order. Archives leave gaps between fields, and some give every field its own
order: the codec ``manifestry.record`` makes packed little-endian records of those. All parsers describe a stored record
by a numpy dtype, so that one record is the same array whichever format it was read from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

import numpy as np

from manifestry.errors import UnsupportedFeatureError
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import has_byte_order, is_complex

__all__ = ["RecordLayout", "record_layout"]

_MAX_PARTS: Final = 10_000
"""Fields of a record, and numbers in one that needs a codec: every document of the array holds them all."""


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """How a stored record is read.

    Attributes
    ----------
    dtype
        Packed, in native byte order.
    endian
        Of the ``bytes`` codec. zarr-python wants one as soon as a field has several bytes, even a text.
    codecs
        What makes packed records of the stored ones: nothing, or ``manifestry.record``.
    """

    dtype: np.dtype[Any]
    endian: Literal["little", "big"] | None
    codecs: tuple[Codec, ...] = ()


def record_layout(stored: np.dtype[Any]) -> RecordLayout:
    """The layout of a record.

    Parameters
    ----------
    stored
        A dtype with fields at their offsets and in their byte orders; fields may be records and arrays. Nothing but
        its size says where it ends.

    Raises
    ------
    UnsupportedFeatureError
        It has no fields, one without elements, or more than can be described.

    Examples
    --------
    >>> record_layout(np.dtype([("id", ">i4"), ("xyz", ">f4", (3,))]))
    RecordLayout(dtype=dtype([('id', '<i4'), ('xyz', '<f4', (3,))]), endian='big', codecs=())
    >>> record_layout(np.dtype([("flag", "u1"), ("x", ">f8")], align=True)).codecs[0].configuration
    {'itemsize': 16, 'fields': [[0, 1, 0], [8, 8, 1]]}
    """
    leaves = list(islice(_leaves(stored, 0), _MAX_PARTS + 1))
    if not leaves or not all(kind.itemsize for _, kind in leaves):
        raise UnsupportedFeatureError("records without fields, or with fields without elements")
    if len(leaves) > _MAX_PARTS:
        raise UnsupportedFeatureError(f"records of more than {_MAX_PARTS} fields")
    dtype = _pack(stored)
    orders = {order for _, kind in leaves if (order := _order(kind)) is not None}
    endian: Literal["little", "big"] | None = (
        "little" if any(dtype[n].itemsize > 1 for n in dtype.names or ()) else None
    )
    ends = np.cumsum([kind.itemsize for _, kind in leaves]).tolist()
    if [at for at, _ in leaves] == [0, *ends[:-1]] and ends[-1] == stored.itemsize and len(orders) <= 1:
        return RecordLayout(dtype, "big" if orders == {">"} else endian)
    parts = list(islice((part for at, kind in leaves for part in _parts(at, kind)), _MAX_PARTS + 1))
    if len(parts) > _MAX_PARTS:
        raise UnsupportedFeatureError(f"records with gaps that have more than {_MAX_PARTS} numbers")
    return RecordLayout(dtype, endian, (Codec("manifestry.record", {"itemsize": stored.itemsize, "fields": parts}),))


def _pack(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.subdtype is not None:
        return np.dtype((_pack(dtype.base), dtype.shape))
    if dtype.names is None:
        return dtype.newbyteorder("=")
    return np.dtype([(name, _pack(dtype[name])) for name in dtype.names])


def _leaves(dtype: np.dtype[Any], start: int) -> Iterator[tuple[int, np.dtype[Any]]]:
    """Position and type of every field that is no record; arrays of records are taken element by element."""
    if dtype.names is not None and dtype.fields is not None:
        for name in dtype.names:
            kind, offset = dtype.fields[name][:2]
            yield from _leaves(kind, start + offset)
    elif dtype.subdtype is not None and dtype.base.names is not None:
        for at in range(start, start + dtype.itemsize, dtype.base.itemsize):
            yield from _leaves(dtype.base, at)
    else:
        yield start, dtype


def _order(kind: np.dtype[Any]) -> str | None:
    """``"<"`` or ``">"`` for numbers of several bytes and UTF-32, else None."""
    return kind.base.str[0] if has_byte_order(kind.base) else None


def _parts(at: int, kind: np.dtype[Any]) -> Iterator[list[int]]:
    """``[position, size, swap]``: a field whose bytes stay as they are is one part, else each number is."""
    if _order(kind) != ">":
        yield [at, kind.itemsize, 0]
        return
    base = kind.base
    size = 4 if np.issubdtype(base, np.str_) else base.itemsize // 2 if is_complex(base) else base.itemsize
    for position in range(at, at + kind.itemsize, size):
        yield [position, size, 1]
