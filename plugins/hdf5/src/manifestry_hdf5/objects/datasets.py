"""What the header of one dataset says about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import h5py
from h5py import h5d, h5s
from manifestry.plugin import (
    MalformedFileError,
    ParseContext,
    UnsupportedFeatureError,
    default_fill,
    is_variable_length,
)

from manifestry_hdf5.libhdf5.damage_checks import check_fill
from manifestry_hdf5.libhdf5.files import Identity, OpenFile, library_errors
from manifestry_hdf5.libhdf5.fill import fill_by_library
from manifestry_hdf5.objects.datatypes import ElementType, element_type
from manifestry_hdf5.objects.fill import fill_of
from manifestry_hdf5.objects.filters import Filter, pipeline_of, stored_filters
from manifestry_hdf5.objects.messages import (
    OutOfReachError,
    read_datatype,
    read_fill_value,
    read_filters,
    type_of_handle,
)
from manifestry_hdf5.structures.dataspace import DATASPACE_MESSAGE, UNLIMITED, Dataspace, parse_dataspace
from manifestry_hdf5.structures.layout import LAYOUT_MESSAGE, ChunkLayout, LayoutClass, layout_class, parse_layout
from manifestry_hdf5.structures.messages.datatype import Array, Bitfield, Datatype, Reference, Time
from manifestry_hdf5.structures.object_header import Message

__all__ = ["Axes", "Dataset", "element_of", "read_axes", "read_dataset", "read_space"]


_PASSED_OVER: Final = (Array, Reference, Time, Bitfield)
"""Types whose dimensions netCDF-C does not number."""


class Axes(NamedTuple):
    """The axes of an array, those of an array datatype last.

    Attributes
    ----------
    lengths, unlimited
        How many elements they have, and which of them may grow without end.
    numbered
        Whether netCDF-C numbers those that have no name.
    """

    lengths: tuple[int, ...]
    unlimited: tuple[bool, ...]
    numbered: bool


@dataclass(slots=True, kw_only=True)
class Dataset:
    """A dataset as its header describes it.

    Attributes
    ----------
    id
        h5py's low-level identifier, for reading values where there are no references.
    path
        Where it was found first.
    file
        The file that it is in.
    identity
        URL of that file and address of the object header.
    shape, maximum
        Dimensions of the dataspace and how far they may grow, without those of an array datatype.
    layout
        ``LayoutClass.COMPACT``, ``CONTIGUOUS``, ``CHUNKED`` or ``VIRTUAL``.
    chunk_shape
        Shape of a chunk, None where the layout has none.
    stored_itemsize
        Bytes of one element of the dataspace in the file, before filters.
    header
        Messages of the object header, as far as they could be read.
    index
        Where the index of the chunks is; None where there is none, or where only libhdf5 knows.
    null
        Whether the dataspace holds no element, not even one without dimensions.
    axes
        Of the array that it becomes.
    """

    id: Any
    path: str
    file: OpenFile
    identity: Identity
    shape: tuple[int, ...]
    maximum: tuple[int, ...]
    layout: int
    chunk_shape: tuple[int, ...] | None
    element: ElementType
    filters: tuple[Filter, ...]
    fill: Any
    attributes: dict[str, Any]
    stored_itemsize: int
    header: Sequence[Message]
    index: ChunkLayout | None
    null: bool
    axes: Axes

    @property
    def properties(self) -> Any:
        """The creation properties as libhdf5 has them."""
        return self.id.get_create_plist()

    @property
    def nbytes(self) -> int:
        """Bytes of all elements as the file stores them before filters."""
        return math.prod(self.shape) * self.stored_itemsize


class _Form(NamedTuple):
    """Layout of a dataset."""

    layout: int
    chunk_shape: tuple[int, ...] | None
    chunks: ChunkLayout | None


class _Common(NamedTuple):
    """What many datasets of a file have in common."""

    element: ElementType
    numbered: bool
    itemsize: int
    filters: tuple[Filter, ...]
    fill: Any
    fill_undefined: bool


def read_dataset(
    file: OpenFile,
    identifier: Any,
    path: str,
    context: ParseContext,
    *,
    identity: Identity,
    attributes: dict[str, Any],
    header: Sequence[Message],
    space: Dataspace,
) -> Dataset:
    """Describe an open dataset, whose dimensions `read_space` has read.

    Raises
    ------
    UnsupportedFeatureError
        Its type has no form in Zarr.
    MalformedFileError
        libhdf5 cannot read its header.
    """
    with library_errors(path):
        common = _common(file, identifier, header)
        form = _form_from_header(file, header) or _form_by_library(identifier)
        element, fill, numbered = common.element, common.fill, common.numbered and not space.null
        if element.members is not None and not space.shape and not space.null:
            file.check_lengths(identifier)
            element = _only_sequence(identifier, element)
            fill, numbered = default_fill(element.dtype), False
    shape, maximum = _extent(space)
    if math.prod(shape) * max(element.dtype.itemsize, 1) >= 1 << 63:
        raise UnsupportedFeatureError(f"shape {shape}", path, "more bytes than Zarr readers can count")
    if common.fill_undefined:
        context.report(path, "fill value undefined", "what was never written reads as the default of the type")
    if space.null:
        context.report(path, "null dataspace", "it becomes an array without elements")
    return Dataset(
        id=identifier,
        path=path,
        file=file,
        identity=identity,
        shape=shape,
        maximum=maximum,
        layout=form.layout,
        chunk_shape=form.chunk_shape,
        element=element,
        filters=common.filters,
        fill=fill,
        attributes=attributes,
        stored_itemsize=common.itemsize,
        header=header,
        index=form.chunks,
        null=space.null,
        axes=_axes(space, element.shape, numbered=numbered),
    )


def read_axes(file: OpenFile, identifier: Any, header: Sequence[Message]) -> Axes:
    """The axes of a dataset of which nothing else is read: what others have are numbered alike whatever is selected."""
    space, datatype = read_space(file, identifier, header), _datatype(file, identifier, header)
    numbered = not isinstance(datatype, _PASSED_OVER) and not space.null
    inner: tuple[int, ...] = ()
    while isinstance(datatype, Array):
        inner += datatype.shape
        datatype = datatype.base
    return _axes(space, inner, numbered=numbered)


def _axes(space: Dataspace, inner: tuple[int, ...], *, numbered: bool) -> Axes:
    shape, maximum = _extent(space)
    return Axes(shape + inner, tuple(n == UNLIMITED for n in maximum) + (False,) * len(inner), numbered)


def _extent(space: Dataspace) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape of an array, and how far it may grow; one of a null dataspace has no elements."""
    return ((0,), (0,)) if space.null else (space.shape, space.maximum)


def read_space(file: OpenFile, identifier: Any, header: Sequence[Message]) -> Dataspace:
    """The dimensions of a dataset, those of a virtual one as libhdf5 finds them among its sources.

    Raises
    ------
    MalformedFileError
        As `parse_dataspace`.
    """
    extent, layout = _own_message(header, DATASPACE_MESSAGE), _own_message(header, LAYOUT_MESSAGE)
    if extent is not None and layout is not None and _class_of(layout) not in (None, LayoutClass.VIRTUAL):
        return parse_dataspace(extent, file.superblock)
    space = identifier.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return Dataspace((), (), null=True)
    shape = tuple(map(int, space.get_simple_extent_dims()))
    limits = space.get_simple_extent_dims(maxdims=True)
    return Dataspace(shape, tuple(UNLIMITED if n in (UNLIMITED, h5s.UNLIMITED) else int(n) for n in limits))


def _own_message(header: Sequence[Message], kind: int) -> bytes | None:
    """The message of a kind; None where the header has none, or it is in another place."""
    for message in header:
        if message.kind == kind:
            return None if message.shared else message.data
    return None


def _class_of(layout: bytes) -> int | None:
    """The class of a layout; None where it is not known."""
    try:
        return layout_class(layout)
    except UnsupportedFeatureError:
        return None


def _form_from_header(file: OpenFile, header: Sequence[Message]) -> _Form | None:
    """From the messages of the header; None where it is for libhdf5 to read them."""
    layout = _own_message(header, LAYOUT_MESSAGE)
    number = None if layout is None else _class_of(layout)
    if layout is None or number is None:
        return None
    if number != LayoutClass.CHUNKED:
        return _Form(number, None, None)
    try:
        index = parse_layout(layout, file.superblock)
    except UnsupportedFeatureError:
        return None
    return _Form(number, index.chunk_shape, index)


def _form_by_library(identifier: Any) -> _Form:
    properties = identifier.get_create_plist()
    layout = properties.get_layout()
    return _Form(layout, tuple(map(int, properties.get_chunk())) if layout == LayoutClass.CHUNKED else None, None)


def _datatype(file: OpenFile, identifier: Any, header: Sequence[Message]) -> Datatype:
    try:
        return read_datatype(file, header)
    except OutOfReachError:
        return type_of_handle(identifier)


def _common(file: OpenFile, identifier: Any, header: Sequence[Message]) -> _Common:
    """Type, filters and fill value; once for all datasets with the same messages."""
    messages = tuple((m.kind, m.flags, m.data) for m in header if m.kind in _COMMON_MESSAGES)
    common: _Common | None = file.common.get(messages) if messages else None
    if common is None:
        try:
            common = _common_from_header(file, identifier, header)
        except OutOfReachError:
            common = _common_by_library(file, identifier, header)
        if messages:
            file.common[messages] = common
    return common


def _common_from_header(file: OpenFile, identifier: Any, header: Sequence[Message]) -> _Common:
    datatype, fill = read_datatype(file, header), read_fill_value(file, header)
    filters = read_filters(file, header)
    check_fill(header, datatype.size)
    element = element_type(datatype)
    _check_pointers(file, identifier, header, element)
    _check_writing(element, fill.writing)
    return _Common(
        element=element,
        numbered=not isinstance(datatype, _PASSED_OVER),
        itemsize=datatype.size,
        fill=fill_of(fill.value, datatype, element, file.heap),
        fill_undefined=fill.undefined,
        filters=pipeline_of(filters),
    )


def _common_by_library(file: OpenFile, identifier: Any, header: Sequence[Message]) -> _Common:
    datatype = type_of_handle(identifier)
    check_fill(header, datatype.size)
    element = element_type(datatype)
    _check_pointers(file, identifier, header, element)
    properties = identifier.get_create_plist()  # libhdf5 reads fill values of variable length here
    _check_writing(element, properties.get_fill_time())
    return _Common(
        element=element,
        numbered=not isinstance(datatype, _PASSED_OVER),
        itemsize=datatype.size,
        fill=fill_by_library(properties, element, identifier),
        fill_undefined=bool(properties.fill_value_defined() == h5d.FILL_VALUE_UNDEFINED),
        filters=pipeline_of(stored_filters(properties)),
    )


def _check_pointers(file: OpenFile, identifier: Any, header: Sequence[Message], element: ElementType) -> None:
    """Check what libhdf5 would follow as soon as it is asked for the properties of the dataset or for its values."""
    if _has_pointers(element):
        in_memory = identifier.get_type()
        check_fill(header, int(in_memory.get_size()))
        file.check_values(in_memory)


def _check_writing(element: ElementType, time: int) -> None:
    """Check that fill values are written: where none is, libhdf5 would follow the pointers that happen to be in memory."""
    if time == h5d.FILL_TIME_NEVER and _has_pointers(element):
        raise MalformedFileError("fill value message: never written, which elements of variable length do not allow")


def _has_pointers(element: ElementType) -> bool:
    return is_variable_length(element.dtype) or element.texts


_COMMON_MESSAGES: Final = frozenset({0x03, 0x04, 0x05, 0x0B})
"""Datatype, fill value (old and new) and filter pipeline."""


def element_of(identifier: Any) -> ElementType:
    """The element type of an open dataset."""
    element = element_type(type_of_handle(identifier))
    return _only_sequence(identifier, element) if element.members is not None and identifier.shape == () else element


def _only_sequence(identifier: Any, element: ElementType) -> ElementType:
    """The type of a single sequence: as an array datatype, whose dimension becomes one of the array."""
    assert element.members is not None
    properties = identifier.get_create_plist()
    if properties.get_layout() == LayoutClass.VIRTUAL or properties.get_external_count():
        raise UnsupportedFeatureError("single sequence in another file")
    length = len(h5py.Dataset(identifier)[()])
    return replace(element, dtype=element.members, shape=(length,))
