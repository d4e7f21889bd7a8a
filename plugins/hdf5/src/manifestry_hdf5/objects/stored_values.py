"""Stored bytes → elements of an array, for any element type (specification, section IV.A.2.d).

======================  =========================================================
in the file             in the array
======================  =========================================================
numbers, booleans       the same, in native byte order
fixed strings, opaque   the same, without padding
arrays                  more dimensions
records                 packed; texts in them as long as the longest in their field
variable-length texts   objects: ``str``
sequences               objects: an array of one dimension for each
======================  =========================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_hdf5.objects.datatypes import ElementType
from manifestry_hdf5.objects.stored_numbers import float_dtype, floats_of, integers_of
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.global_heap import GlobalHeap
from manifestry_hdf5.structures.messages.datatype import (
    Array,
    Bitfield,
    Complex,
    Compound,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Opaque,
    String,
    StringPadding,
    VariableLength,
)

__all__ = [
    "HeapValues",
    "TooManyBytesError",
    "elements_of",
    "is_boolean",
    "member_names",
    "opaque_dtype",
    "packed",
    "parts_of_complex",
    "values_of",
]

type Octets = NDArray[np.uint8]
"""Bytes of elements, ``(n, size)``."""
type Values = np.ndarray[Any, Any]


class TooManyBytesError(Exception):
    """Values of variable length take more bytes than they may."""


class HeapValues:
    """What descriptors of variable length stand for, as long as all of it takes no more than some bytes.

    Parameters
    ----------
    heap
        Where it is.
    limit
        Bytes that may be taken: damage can make many descriptors the same long object.
    """

    def __init__(self, heap: GlobalHeap, limit: int) -> None:
        self._heap = heap
        self._left = limit

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
        for at in range(0, len(descriptors), size):
            count, identifier = int.from_bytes(descriptors[at : at + 4], "little"), descriptors[at + 4 : at + size]
            if not count or not any(identifier[:-4]):
                yield b""
                continue
            stored, length = self._heap.object(identifier), count * member
            if length > len(stored):
                raise MalformedFileError(
                    f"element of variable length: {count} members of {member} bytes do not fit in an object of "
                    f"{len(stored)}"
                )
            self.take(length)
            yield stored[:length]

    def texts(self, descriptors: bytes, size: int) -> list[str]:
        """The texts of descriptors of `size` bytes; each ends at its first zero byte.

        Raises
        ------
        MalformedFileError, TooManyBytesError
            As `runs`.
        """
        return [decode_text(text.split(b"\0", 1)[0]) for text in self.runs(descriptors, size, 1)]


def elements_of(octets: Octets, datatype: Datatype, element: ElementType, heap: GlobalHeap, *, limit: int) -> Values:
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
    values = values_of(octets, datatype, HeapValues(heap, limit))
    if element.members is not None and element.dtype != object:
        return _only_sequence(values, element)
    if element.texts or values.dtype == object:
        return values
    return values.astype(element.dtype, copy=False)


def _only_sequence(values: Values, element: ElementType) -> Values:
    if any(members.shape != element.shape for members in values):
        raise MalformedFileError(f"single sequence: its length is not {element.shape}")
    return np.array([members.astype(element.dtype, copy=False) for members in values]).reshape(-1, *element.shape)


def values_of(octets: Octets, datatype: Datatype, heap: HeapValues) -> Values:
    """Elements in native byte order, records packed, ``(n, *shape)`` with the dimensions of array datatypes.

    Raises
    ------
    MalformedFileError, UnsupportedFeatureError, TooManyBytesError
        As `elements_of`.
    """
    match datatype:
        case FixedPoint() | Bitfield():
            return integers_of(octets, datatype)
        case FloatingPoint():
            return floats_of(octets, datatype)
        case Enumeration():
            numbers = integers_of(octets, datatype.base)
            return numbers != 0 if is_boolean(datatype) else numbers
        case String():
            return _strings(octets, datatype)
        case Array():
            parts = np.ascontiguousarray(octets).reshape(-1, datatype.base.size)
            values = values_of(parts, datatype.base, heap)
            return values.reshape(len(octets), *datatype.shape, *values.shape[1:])
        case Compound():
            return _records(octets, datatype, heap)
        case Complex():
            half = datatype.base.size
            return _complex(*(floats_of(part, datatype.base) for part in (octets[:, :half], octets[:, half:])))
        case Opaque():
            stored = opaque_dtype(datatype)
            return np.ascontiguousarray(octets).view(stored)[:, 0].astype(stored.newbyteorder("="))
        case VariableLength(text=True):
            return _objects(heap.texts(octets.tobytes(), datatype.size))
        case VariableLength():
            return _objects(_sequences(octets, datatype, heap))
        case _:
            raise UnsupportedFeatureError(f"elements of the type {type(datatype).__name__.lower()}")


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


def _complex(real: Values, imaginary: Values) -> Values:
    if real.dtype.itemsize == 2:
        raise UnsupportedFeatureError("complex numbers of half precision", hint="Zarr has no such type")
    values = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
    values.real, values.imag = real, imaginary
    return values


def member_names(datatype: Compound) -> list[str]:
    """The names of the fields of a record.

    Raises
    ------
    UnsupportedFeatureError
        One is not UTF-8.
    """
    try:
        return [member.name.decode() for member in datatype.members]
    except UnicodeDecodeError as error:
        raise UnsupportedFeatureError("compound with a field whose name is not UTF-8") from error


def parts_of_complex(datatype: Datatype) -> tuple[FloatingPoint, FloatingPoint] | None:
    """The types of both parts of a complex number as h5py and many others write it: two floats ``r`` and ``i``."""
    if not isinstance(datatype, Compound) or [member.name for member in datatype.members] != [b"r", b"i"]:
        return None
    real, imaginary = (member.datatype for member in datatype.members)
    if not isinstance(real, FloatingPoint) or not isinstance(imaginary, FloatingPoint):
        return None
    dtype = float_dtype(real)
    return (real, imaginary) if dtype == float_dtype(imaginary) and dtype.itemsize > 2 else None


def _records(octets: Octets, datatype: Compound, heap: HeapValues) -> Values:
    names, columns = member_names(datatype), []
    for member in datatype.members:
        column = values_of(octets[:, member.offset : member.offset + member.datatype.size], member.datatype, heap)
        columns.append(_texts(column, heap) if column.dtype == object else column)
    if parts_of_complex(datatype):
        return _complex(*columns)
    records = np.zeros(len(octets), packed(names, [(column.dtype, column.shape[1:]) for column in columns]))
    for name, column in zip(names, columns, strict=True):
        records[name] = column
    return records


def packed(names: Sequence[str], formats: Sequence[Any]) -> np.dtype[Any]:
    """A record whose fields follow each other.

    Raises
    ------
    UnsupportedFeatureError
        numpy has no such record.
    """
    try:
        return np.dtype({"names": list(names), "formats": list(formats)})
    except ValueError as error:
        raise UnsupportedFeatureError("compound whose fields numpy cannot hold", hint=str(error)) from error


def _texts(column: Values, heap: HeapValues) -> Values:
    """Texts of a field as long as the longest of them."""
    texts = column.reshape(-1).tolist()
    if not all(isinstance(text, str) for text in texts):
        raise UnsupportedFeatureError("compound with variable-length sequences", hint="Zarr's structs have none")
    dtype = np.dtype(f"U{max(map(len, texts), default=1) or 1}")
    heap.take(dtype.itemsize * len(texts))
    return np.array(texts, dtype).reshape(column.shape)


def _sequences(octets: Octets, datatype: VariableLength, heap: HeapValues) -> list[Values]:
    member = datatype.base.size
    runs = list(heap.runs(octets.tobytes(), datatype.size, member))
    values = values_of(np.frombuffer(b"".join(runs), "u1").reshape(-1, member), datatype.base, heap)
    ends = np.cumsum([len(run) // member for run in runs], dtype="i8").tolist()
    return [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _objects(items: Sequence[Any]) -> Values:
    objects = np.empty(len(items), object)
    for i, one in enumerate(items):  # numpy would make one array of several of the same length
        objects[i] = one
    return objects
