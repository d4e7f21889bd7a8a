"""The value of an attribute from its bytes (specification, sections IV.A.2.d and IV.A.2.m).

========================  =====================================================================
in the file               value
========================  =====================================================================
numbers, booleans         numpy's scalar, or an array
texts                     ``str``, or nested lists of them
references                `Reference`, or None, in nested lists
sequences                 an array of their members, or a list where members are one of the above
records                   numpy's record; a ``dict`` where they hold sequences or references
without a dataspace       ``""`` or an empty array
========================  =====================================================================

Arrays have the byte order of the file, except those of the usual numbers, which are native.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from manifestry import Reference
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_hdf5.objects.stored_numbers import float_dtype, integer_dtype, is_ieee
from manifestry_hdf5.objects.stored_values import (
    HeapValues,
    TooManyBytesError,
    check_dimensions,
    is_boolean,
    opaque_dtype,
    values_of,
)
from manifestry_hdf5.objects.texts import decode_text, fixed_text
from manifestry_hdf5.structures.data_objects.dataspace_message import Dataspace
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
    Reference as ReferenceType,
    String,
    VariableLength,
)
from manifestry_hdf5.structures.encodings.references import is_cut
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

__all__ = ["Resolve", "attribute_value"]

type Resolve = Callable[[bytes, ReferenceType], Reference | None]
"""The target of a reference, given its bytes and type; None where there is none."""

_STRUCTURE: Final = "attribute message"
_MAX_BYTES: Final = 64 << 20
"""What an attribute may take of the heap."""

_OBJECT_BYTES: Final = 64
"""What a value that is an object of its own counts for, at least."""

_MAX_EMPTY_LISTS: Final = 1 << 16
"""Lists without elements in a value; so many elements would not fit in a message."""


def attribute_value(
    datatype: Datatype, space: Dataspace, data: bytes, *, superblock: Superblock, heap: GlobalHeap, resolve: Resolve
) -> Any:
    """The value of an attribute.

    Parameters
    ----------
    data
        Its elements as the file has them; what follows them is not looked at.

    Raises
    ------
    MalformedFileError
        It is too short, or the heap does not hold what it says.
    UnsupportedFeatureError
        There are no values of its type, or it is too large.
    """
    shape, size = space.shape, datatype.size
    count = math.prod(shape)
    if space.null or not count:
        check_dimensions(datatype)
        return _without_elements(datatype, space, superblock)
    if len(data) < size * count:
        raise MalformedFileError(f"{_STRUCTURE}: {len(data)} bytes where {size * count} are expected")
    if isinstance(datatype, FixedPoint | FloatingPoint) and (usual := _usual_types(datatype)) is not None:
        stored, native = usual
        values = np.frombuffer(data, stored, count).astype(native)
        return values.reshape(shape) if shape else values[0]
    if isinstance(datatype, String):
        padding = datatype.padding
        texts = [decode_text(fixed_text(data[at : at + size], padding)) for at in range(0, count * size, size)]
        return _nested(texts, shape)
    values_of_heap = HeapValues(heap, _MAX_BYTES)
    try:
        if isinstance(datatype, VariableLength) and datatype.text:
            return _nested(values_of_heap.texts(data[: count * size], size), shape)
        check_dimensions(datatype)
        _check_references(datatype, count, superblock)
        reader = _Reader(values_of_heap, resolve)
        octets = np.frombuffer(data, "u1", count * size).reshape(count, size)
        if _is_listed(datatype):
            return _nested(reader.objects(octets, datatype), shape)
        values = reader.array(octets, datatype)
    except TooManyBytesError:
        raise UnsupportedFeatureError(f"attribute of more than {_MAX_BYTES} bytes") from None
    return values.reshape(shape + values.shape[1:]) if shape or values.ndim > 1 else values[0]


_USUAL: Final = {
    (order, kind, size): (np.dtype(f"{mark}{kind}{size}"), np.dtype(f"{kind}{size}"))
    for order, mark in (("little", "<"), ("big", ">"))
    for kind, sizes in (("i", (1, 2, 4, 8)), ("u", (1, 2, 4, 8)), ("f", (2, 4, 8)))
    for size in sizes
}
"""Byte order, kind and size of numbers that numpy has as they are → the type in the file, and the native one."""


def _usual_types(datatype: FixedPoint | FloatingPoint) -> tuple[np.dtype[Any], np.dtype[Any]] | None:
    size = datatype.size
    if isinstance(datatype, FloatingPoint):
        return _USUAL.get((datatype.order, "f", size)) if is_ieee(datatype) else None
    whole = datatype.precision == 8 * size and not datatype.offset
    return _USUAL.get((datatype.order, "i" if datatype.signed else "u", size)) if whole else None


def _without_elements(datatype: Datatype, space: Dataspace, superblock: Superblock) -> Any:
    """An empty array or list; of a null dataspace also the empty text."""
    listed = _is_listed(datatype)
    if space.null:
        if not isinstance(datatype, Array) and (_is_text(datatype) or getattr(datatype, "text", False)):
            return ""
        return np.empty(0, "f8" if _has_objects(datatype) else _array_dtype(datatype))
    lengths = [max(length, 1) for length in space.shape]
    if math.prod(lengths) * datatype.size > superblock.size:
        raise MalformedFileError(f"shape {space.shape}: the value is larger than the file")
    if listed and math.prod(lengths) > _MAX_EMPTY_LISTS:
        raise UnsupportedFeatureError(f"attribute of the shape {space.shape}, more than {_MAX_EMPTY_LISTS} empty lists")
    return _nested([], space.shape) if listed else np.zeros(space.shape, _array_dtype(datatype))


def _nested(items: Sequence[Any], shape: Sequence[int]) -> Any:
    """Items in lists of a shape; one alone where there are no dimensions."""
    if not shape:
        return items[0]
    if len(shape) == 1:
        return list(items)
    step = math.prod(shape[1:])
    return [_nested(items[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def _is_listed(datatype: Datatype) -> bool:
    """Whether values are objects of their own: texts, sequences, references, records with those."""
    return _is_text(datatype) or _has_objects(datatype)


def _is_text(datatype: Datatype) -> bool:
    """Whether elements are texts of fixed length, or arrays of them."""
    if isinstance(datatype, Array):
        return _is_text(datatype.base)
    opaque = isinstance(datatype, Opaque) and np.issubdtype(opaque_dtype(datatype), np.bytes_)
    return opaque or isinstance(datatype, String)


def _has_objects(datatype: Datatype) -> bool:
    """Whether there are descriptors of variable length or references in a type."""
    match datatype:
        case VariableLength() | ReferenceType():
            return True
        case Array():
            return _has_objects(datatype.base)
        case Compound():
            return any(_has_objects(member.datatype) for member in datatype.members)
    return False


def _check_references(datatype: Datatype, count: int, superblock: Superblock) -> None:
    """Refuse references that follow each other where libhdf5 has cut them off."""
    match datatype:
        case ReferenceType():
            if count > 1 and is_cut(datatype.kind, datatype.size, superblock):
                raise UnsupportedFeatureError(
                    f"several references in a file with addresses of {superblock.offset_size} bytes",
                    hint="libhdf5 writes them wrongly there",
                )
        case Array():
            _check_references(datatype.base, count * math.prod(datatype.shape), superblock)
        case VariableLength(text=False):
            _check_references(datatype.base, 2, superblock)
        case Compound():
            for member in datatype.members:  # each is written for itself
                _check_references(member.datatype, 1, superblock)


def _array_dtype(datatype: Datatype) -> np.dtype[Any]:
    """The type that numpy has for elements without objects, in the byte order of the file; records have the gaps that they have there.

    Raises
    ------
    UnsupportedFeatureError
        There is none.
    """
    match datatype:
        case FixedPoint() | Bitfield():
            return integer_dtype(datatype)
        case FloatingPoint():
            return float_dtype(datatype)
        case Enumeration():
            return np.dtype("?") if is_boolean(datatype) else integer_dtype(datatype.base)
        case String():
            return np.dtype(f"S{datatype.size}")
        case Opaque():
            return opaque_dtype(datatype)
        case Array():
            return np.dtype((_array_dtype(datatype.base), datatype.shape))
        case Complex():
            return _complex_dtype(float_dtype(datatype.base))
        case Compound():
            return _record_dtype(datatype)
    raise UnsupportedFeatureError(f"attribute of the type {type(datatype).__name__.lower()}")


def _complex_dtype(part: np.dtype[Any]) -> np.dtype[Any]:
    if part.itemsize == 2:
        raise UnsupportedFeatureError("complex numbers of half precision")
    both = np.result_type(part.newbyteorder("="), np.complex64)
    return both if part.isnative else both.newbyteorder("S")


def _record_dtype(datatype: Compound) -> np.dtype[Any]:
    """A record, packed where a field takes more bytes than in the file; a complex number where h5py takes it for one."""
    names, stored = _member_names(datatype), [member.datatype for member in datatype.members]
    dtypes = [_array_dtype(member) for member in stored]
    floats = dtypes[0] == dtypes[-1] and all(isinstance(member, FloatingPoint) for member in stored)
    if names == ["r", "i"] and floats and dtypes[0].itemsize > 2:
        return _complex_dtype(dtypes[0])
    layout: dict[str, Any] = {"names": names, "formats": dtypes}
    if all(dtype.itemsize <= member.size for dtype, member in zip(dtypes, stored, strict=True)):
        layout |= {"offsets": [member.offset for member in datatype.members], "itemsize": datatype.size}
    try:
        return np.dtype(layout)  # type: ignore[call-overload,no-any-return]
    except ValueError as error:
        raise UnsupportedFeatureError("compound whose fields numpy cannot hold", hint=str(error)) from error


def _member_names(datatype: Compound) -> list[str]:
    try:
        return [member.name.decode() for member in datatype.members]
    except UnicodeDecodeError as error:
        raise UnsupportedFeatureError("compound with a field whose name is not UTF-8") from error


class _Reader:
    """Makes values of the bytes of one attribute.

    Parameters
    ----------
    heap
        Where elements of variable length are.
    resolve
        Finds targets of references.
    """

    def __init__(self, heap: HeapValues, resolve: Resolve) -> None:
        self.heap = heap
        self._resolve = resolve

    def array(self, octets: NDArray[np.uint8], datatype: Datatype) -> np.ndarray[Any, Any]:
        """Elements without objects, ``(n, *shape)``."""
        return values_of(octets, datatype, _array_dtype(datatype), self.heap)

    def objects(self, octets: NDArray[np.uint8], datatype: Datatype) -> list[Any]:
        """Elements as objects, whatever they are."""
        self.heap.take(_OBJECT_BYTES * len(octets))
        if not _is_listed(datatype):
            return list(self.array(octets, datatype))
        match datatype:
            case String():
                return [decode_text(fixed_text(row.tobytes(), datatype.padding)) for row in octets]
            case Opaque():
                return [decode_text(text) for text in self.array(octets, datatype).tolist()]
            case ReferenceType():
                return [self._resolve(row.tobytes(), datatype) for row in octets]
            case VariableLength(text=True):
                return list(self.heap.texts(octets.tobytes(), datatype.size))
            case VariableLength():
                runs = self.heap.runs(octets.tobytes(), datatype.size, datatype.base.size)
                return [self._members(run, datatype.base) for run in runs]
            case Array():
                parts = np.ascontiguousarray(octets).reshape(-1, datatype.base.size)
                return _nested(self.objects(parts, datatype.base), (len(octets), *datatype.shape))  # type: ignore[no-any-return]
            case Compound():
                return self._records(octets, datatype)
        raise AssertionError(datatype)

    def _members(self, run: bytes, datatype: Datatype) -> Any:
        octets = np.frombuffer(run, "u1").reshape(-1, datatype.size)
        if not _is_listed(datatype):
            return self.array(octets, datatype)
        members = self.objects(octets, datatype)
        sequences = isinstance(datatype, VariableLength) and not datatype.text
        return list(map(list, members)) if sequences else members

    def _records(self, octets: NDArray[np.uint8], datatype: Compound) -> list[dict[str, Any]]:
        columns = [
            self.objects(octets[:, member.offset : member.offset + member.datatype.size], member.datatype)
            for member in datatype.members
        ]
        names = _member_names(datatype)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
