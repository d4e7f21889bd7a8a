"""Stored bytes → elements of an array, for any element type (specification, section IV.A.2.d).

======================  =========================================================
in the file             in the array
======================  =========================================================
numbers, booleans       the same, in native byte order
fixed strings, opaque   the same, without padding
arrays                  more dimensions
records                 packed; texts in them as long as the longest in their field
variable-length texts   objects: ``str``
object references       objects: the paths of what they point at, as ``str``
sequences               objects: an array of one dimension for each
======================  =========================================================
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_hdf5.objects.datatypes import ElementType
from manifestry_hdf5.objects.stored_numbers import floats_of, integers_of, narrowed
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.data_objects.datatype import (
    Array,
    Bitfield,
    Complex,
    Compound,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Opaque,
    Reference,
    ReferenceKind,
    String,
    StringPadding,
    VariableLength,
)
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

__all__ = [
    "HeapValues",
    "TargetOf",
    "TooManyBytesError",
    "check_dimensions",
    "elements_of",
    "is_boolean",
    "opaque_dtype",
    "values_of",
]

type Octets = NDArray[np.uint8]
"""Bytes of elements, ``(n, size)``."""
type Values = np.ndarray[Any, Any]
type TargetOf = Callable[[bytes, ReferenceKind], str | None]


class TooManyBytesError(Exception):
    """Values of variable length take more bytes than they may."""


_NOTHING: Final[Mapping[int, bytes]] = {}
_ADDRESSES: Final = {2: "H", 4: "I", 8: "Q"}
"""Bytes of an address → how `struct` calls it."""


@cache
def _descriptor(size: int) -> struct.Struct:
    """Number of members, address of a heap collection, number of the object in it."""
    if size - 8 not in _ADDRESSES:
        raise UnsupportedFeatureError(f"addresses of {size - 8} bytes")
    return struct.Struct(f"<I{_ADDRESSES[size - 8]}I")


class HeapValues:
    """What descriptors of variable length stand for, as long as all of it takes no more than some bytes.

    Parameters
    ----------
    heap
        Where it is.
    limit
        Bytes that may be taken: damage can make many descriptors the same long object.
    target_of
        Gives the paths of references.
    """

    def __init__(self, heap: GlobalHeap, limit: int, target_of: TargetOf | None = None) -> None:
        self._heap = heap
        self._left = limit
        self._target_of = target_of

    def path(self, element: bytes, kind: ReferenceKind) -> str:
        """The path that a reference stands for; of a null one the empty text.

        Raises
        ------
        UnsupportedFeatureError
            There is none.
        """
        if self._target_of is None:
            raise UnsupportedFeatureError("references as elements")
        path = self._target_of(element, kind) or ""
        self.take(len(path))
        return path

    def take(self, size: int) -> None:
        """Count bytes.

        Raises
        ------
        TooManyBytesError
            There are more than may be taken.
        """
        self._left -= size
        if self._left < 0:
            raise TooManyBytesError

    def runs(self, descriptors: bytes, size: int, member: int) -> Iterator[bytes]:
        """The members of each descriptor of `size` bytes; each takes `member` bytes, and one that points nowhere has none.

        Raises
        ------
        MalformedFileError
            The heap has fewer bytes, or there is no such object in it.
        TooManyBytesError
            As `take`.
        """
        if size != self._heap.descriptor_size:
            raise MalformedFileError(
                f"variable-length type: {size} bytes where {self._heap.descriptor_size} are expected"
            )
        take, collection, objects = self.take, -1, _NOTHING
        for count, address, number in _descriptor(size).iter_unpack(descriptors):
            if not count or not address:
                yield b""
                continue
            if address != collection:
                collection, objects = address, self._heap.collection(address)
            stored, length = objects.get(number), count * member
            if stored is None:
                raise MalformedFileError(f"global heap collection at {address:#x}: has no object {number}")
            if length > len(stored):
                problem = f"{count} members of {member} bytes do not fit in an object of {len(stored)}"
                raise MalformedFileError(f"global heap collection at {address:#x}: {problem}")
            take(length)
            yield stored[:length]

    def texts(self, descriptors: bytes, size: int) -> list[str]:
        """The texts of descriptors of `size` bytes; each ends at its first zero byte.

        Raises
        ------
        MalformedFileError, TooManyBytesError
            As `runs`.
        """
        return [decode_text(text.split(b"\0", 1)[0]) for text in self.runs(descriptors, size, 1)]


def elements_of(
    octets: Octets,
    datatype: Datatype,
    element: ElementType,
    heap: GlobalHeap,
    *,
    limit: int,
    target_of: TargetOf | None = None,
) -> Values:
    """Elements as arrays hold them.

    Parameters
    ----------
    octets
        Bytes of elements as they are in the file, ``(n, datatype.size)``, after filters.
    element
        What `element_type` makes of the datatype; or for the only sequence of a dataset the type of its members, with
        their number for a shape.
    limit
        Bytes that may be taken from the heap, and that records with texts may take.
    target_of
        Gives the path of the object that a reference points at, None for a null reference.

    Returns
    -------
    numpy.ndarray
        ``(n, *element.shape)``; records with texts are of a type of their own.

    Raises
    ------
    MalformedFileError
        The heap does not hold what elements say.
    UnsupportedFeatureError
        There are no elements of the type, or not all of them can be expressed exactly.
    TooManyBytesError
        They take more bytes than `limit`.
    """
    check_dimensions(datatype)
    heap_values = HeapValues(heap, limit, target_of)
    if element.members is None:
        return values_of(octets, datatype, element.dtype, heap_values)
    sequences = _sequences(octets, datatype, element.members, heap_values)
    if element.dtype == object:
        return _objects(sequences)
    if any(members.shape != element.shape for members in sequences):
        raise MalformedFileError(f"single sequence: its length is not {element.shape}")
    return np.stack(sequences) if sequences else np.empty((0, *element.shape), element.dtype)


def values_of(octets: Octets, datatype: Datatype, dtype: np.dtype[Any], heap: HeapValues) -> Values:
    """Elements of a type of numpy, ``(n, *shape)`` with the dimensions of array datatypes; texts as objects.

    Parameters
    ----------
    dtype
        What elements, or those of arrays, become: in any byte order, of records with any gaps. Where it has texts in
        records, another takes its place that has room for the longest.

    Raises
    ------
    MalformedFileError, UnsupportedFeatureError, TooManyBytesError
        As `elements_of`.
    """
    dtype = _innermost(dtype)
    match datatype:
        case FixedPoint() | Bitfield():
            values = integers_of(octets, datatype)
        case FloatingPoint():
            values = narrowed(floats_of(octets, datatype), dtype)
        case Enumeration():
            numbers = integers_of(octets, datatype.base)
            values = numbers != 0 if is_boolean(datatype) else numbers
        case String():
            values = _strings(octets, datatype)
        case Array():
            parts = np.ascontiguousarray(octets).reshape(-1, datatype.base.size)
            values = values_of(parts, datatype.base, dtype, heap)
            return values.reshape(len(octets), *datatype.shape, *values.shape[1:])
        case Compound():
            return _records(octets, datatype, dtype, heap)
        case Complex():
            half = datatype.base.size
            parts = _complex(*(floats_of(part, datatype.base) for part in (octets[:, :half], octets[:, half:])))
            values = narrowed(parts, dtype)
        case Opaque():
            values = np.ascontiguousarray(octets).view(opaque_dtype(datatype))[:, 0]
            _check_characters(values)
        case VariableLength(text=True):
            return _objects(heap.texts(octets.tobytes(), datatype.size))
        case Reference():
            return _objects([heap.path(row.tobytes(), datatype.kind) for row in octets])
        case _:
            raise UnsupportedFeatureError(f"elements of the type {type(datatype).__name__.lower()}")
    return values.astype(dtype, copy=False)


def check_dimensions(datatype: Datatype) -> None:
    """Check that arrays inside each other have no more dimensions than numpy has, beside those of a dataspace.

    Raises
    ------
    UnsupportedFeatureError
        They have.
    """
    if _rank(datatype) > _MAX_DIMENSIONS:
        raise UnsupportedFeatureError(f"array datatypes of more than {_MAX_DIMENSIONS} dimensions inside each other")


_MAX_DIMENSIONS: Final = 32


def _rank(datatype: Datatype) -> int:
    match datatype:
        case Array():
            return len(datatype.shape) + _rank(datatype.base)
        case VariableLength():
            return _rank(datatype.base)
        case Compound():
            return max(_rank(member.datatype) for member in datatype.members)
    return 0


def _innermost(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of the elements of arrays in arrays."""
    while dtype.subdtype is not None:
        dtype = dtype.subdtype[0]
    return dtype


def is_boolean(datatype: Enumeration) -> bool:
    """Whether an enumeration is one of booleans, in the form that h5py gives them."""
    return len(datatype.names) == 2 and dict(zip(datatype.names, datatype.values, strict=True)) == _BOOLEAN


_BOOLEAN: Final = {b"FALSE": 0, b"TRUE": 1}


def _strings(octets: Octets, datatype: String) -> Values:
    """Fixed strings, padded with zero bytes."""
    if datatype.padding is StringPadding.SPACE_PADDED:
        kept = np.logical_or.accumulate((octets != ord(" "))[:, ::-1], axis=1)[:, ::-1]
    elif datatype.padding is StringPadding.NULL_TERMINATED:
        kept = np.logical_and.accumulate(octets != 0, axis=1)
    else:
        return np.ascontiguousarray(octets).view(f"S{datatype.size}")[:, 0]
    return np.where(kept, octets, np.uint8(0)).view(f"S{datatype.size}")[:, 0]


_NUMPY_TAG: Final = b"NUMPY:"
"""How h5py's tags begin that name types of numpy."""


def opaque_dtype(datatype: Opaque) -> np.dtype[Any]:
    """The type of numpy that h5py has written into the tag, in the byte order of the file; else raw bytes.

    Raises
    ------
    UnsupportedFeatureError
        It is no type, or of another size.
    """
    size, tag = datatype.size, datatype.tag
    if not tag.startswith(_NUMPY_TAG):
        return np.dtype(f"V{size}")
    try:
        dtype = np.dtype(tag.removeprefix(_NUMPY_TAG).decode())
    except (TypeError, ValueError, SyntaxError) as error:
        raise UnsupportedFeatureError(f"opaque elements tagged {tag!r}") from error
    if np.issubdtype(dtype, np.void) and dtype.names is None and dtype.subdtype is None:
        return np.dtype(f"V{size}")
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None or dtype.itemsize != size:
        raise UnsupportedFeatureError(f"opaque elements tagged {tag!r}")
    return dtype


def _check_characters(values: Values) -> None:
    """Check that numpy's texts consist of characters; else it raises errors whenever it is asked for one."""
    if np.issubdtype(values.dtype, np.str_) and values.size:
        numbers = np.ascontiguousarray(values).view(np.dtype("u4").newbyteorder(values.dtype.byteorder))
        if numbers.max() > sys.maxunicode:
            raise MalformedFileError(f"opaque elements: {numbers.max():#x} is no character")


def _complex(real: Values, imaginary: Values) -> Values:
    if real.dtype.itemsize == 2:
        raise UnsupportedFeatureError("complex numbers of half precision", hint="Zarr has no such type")
    values = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
    values.real, values.imag = real, imaginary
    return values


def _records(octets: Octets, datatype: Compound, dtype: np.dtype[Any], heap: HeapValues) -> Values:
    """Records; complex numbers where their two parts are to become that."""
    parts = [(octets[:, m.offset : m.offset + m.datatype.size], m.datatype) for m in datatype.members]
    if dtype.names is None:
        real, imaginary = (floats_of(part, kind) for part, kind in parts if isinstance(kind, FloatingPoint))
        return narrowed(_complex(real, imaginary), dtype)
    columns = [values_of(part, kind, dtype[i], heap) for i, (part, kind) in enumerate(parts)]
    if any(column.dtype == object or column.dtype != _innermost(dtype[i]) for i, column in enumerate(columns)):
        columns = [_texts(column, heap) if column.dtype == object else column for column in columns]
        dtype = np.dtype([(name, c.dtype, c.shape[1:]) for name, c in zip(dtype.names, columns, strict=True)])
    assert dtype.names is not None
    records = np.zeros(len(octets), dtype)
    for name, column in zip(dtype.names, columns, strict=True):
        records[name] = column
    return records


def _texts(column: Values, heap: HeapValues) -> Values:
    """Texts of a field as long as the longest of them."""
    texts = column.reshape(-1).tolist()
    dtype = np.dtype(f"U{max(map(len, texts), default=1) or 1}")
    heap.take(dtype.itemsize * len(texts))
    return np.array(texts, dtype).reshape(column.shape)


def _sequences(octets: Octets, datatype: Datatype, members: np.dtype[Any], heap: HeapValues) -> list[Values]:
    """The sequence of each element, with members of a type of numpy."""
    assert isinstance(datatype, VariableLength)
    size = datatype.base.size
    runs = list(heap.runs(octets.tobytes(), datatype.size, size))
    values = values_of(np.frombuffer(b"".join(runs), "u1").reshape(-1, size), datatype.base, members, heap)
    ends = np.cumsum([len(run) // size for run in runs], dtype="i8").tolist()
    return [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _objects(items: Sequence[Any]) -> Values:
    objects = np.empty(len(items), object)
    for i, one in enumerate(items):  # numpy would make one array of several of the same length
        objects[i] = one
    return objects
