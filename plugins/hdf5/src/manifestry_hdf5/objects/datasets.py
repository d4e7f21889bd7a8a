"""What the creation properties of one dataset say about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import h5py
from h5py import h5d, h5s, h5t
from manifestry.plugin import ParseContext, UnsupportedFeatureError, default_fill, is_variable_length

from manifestry_hdf5.libhdf5.damage_checks import check_fill
from manifestry_hdf5.libhdf5.files import Identity, OpenFile, library_errors
from manifestry_hdf5.objects.datatypes import ElementType, element_type
from manifestry_hdf5.objects.fill import fill_value, is_undefined
from manifestry_hdf5.objects.filters import Filter, read_pipeline
from manifestry_hdf5.structures.dataspace import DATASPACE_MESSAGE, UNLIMITED, Dataspace, parse_dataspace
from manifestry_hdf5.structures.layout import LAYOUT_MESSAGE, ChunkLayout, layout_class, parse_layout
from manifestry_hdf5.structures.object_header import Message

__all__ = ["Axes", "Dataset", "element_of", "read_axes", "read_dataset"]


_PASSED_OVER: Final = frozenset({h5t.ARRAY, h5t.REFERENCE, h5t.TIME, h5t.BITFIELD})
"""Classes of datatypes whose dimensions netCDF-C does not number."""


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
        ``h5d.COMPACT``, ``CONTIGUOUS``, ``CHUNKED`` or ``VIRTUAL``.
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
    """Dimensions and layout of a dataset."""

    space: Dataspace
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
) -> Dataset:
    """Describe an open dataset.

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
        element, fill, numbered = common.element, common.fill, common.numbered and not form.space.null
        if element.members is not None and not form.space.shape and not form.space.null:
            file.check_lengths(identifier)
            element = _only_sequence(identifier, element)
            fill, numbered = default_fill(element.dtype), False
    shape = (0,) if form.space.null else form.space.shape
    maximum = (0,) if form.space.null else form.space.maximum
    if math.prod(shape) * max(element.dtype.itemsize, 1) >= 1 << 63:
        raise UnsupportedFeatureError(f"shape {shape}", path, "more bytes than Zarr readers can count")
    if common.fill_undefined:
        context.report(path, "fill value undefined", "what was never written reads as the default of the type")
    if form.space.null:
        context.report(path, "null dataspace", "it becomes an array without elements")
    unlimited = tuple(n == UNLIMITED for n in maximum) + (False,) * len(element.shape)
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
        null=form.space.null,
        axes=Axes(shape + element.shape, unlimited, numbered),
    )


def read_axes(identifier: Any) -> Axes:
    """The axes of a dataset of which nothing else is read: what others have are numbered alike whatever is selected."""
    datatype, space = identifier.get_type(), identifier.get_space()
    shape = tuple(map(int, space.get_simple_extent_dims() or ()))
    unlimited = [n == h5s.UNLIMITED for n in space.get_simple_extent_dims(maxdims=True) or ()]
    numbered = datatype.get_class() not in _PASSED_OVER and space.get_simple_extent_type() != h5s.NULL
    while datatype.get_class() == h5t.ARRAY:
        shape += tuple(map(int, datatype.get_array_dims()))
        datatype = datatype.get_super()
    return Axes(shape, tuple(unlimited) + (False,) * (len(shape) - len(unlimited)), numbered)


def _form_from_header(file: OpenFile, header: Sequence[Message]) -> _Form | None:
    """From the messages of the header; None where it is for libhdf5 to read them."""
    messages = {message.kind: message for message in header if message.kind in (DATASPACE_MESSAGE, LAYOUT_MESSAGE)}
    if len(messages) < 2 or any(message.shared for message in messages.values()):
        return None
    layout = messages[LAYOUT_MESSAGE].data
    try:
        number = layout_class(layout)
        if number == h5d.VIRTUAL:  # libhdf5 finds its dimensions among its sources
            return None
        index = parse_layout(layout, file.superblock) if number == h5d.CHUNKED else None
    except UnsupportedFeatureError:
        return None
    space = parse_dataspace(messages[DATASPACE_MESSAGE].data, file.superblock)
    return _Form(space, number, None if index is None else index.chunk_shape, index)


def _form_by_library(identifier: Any) -> _Form:
    space, properties = identifier.get_space(), identifier.get_create_plist()
    layout = properties.get_layout()
    chunk_shape = tuple(map(int, properties.get_chunk())) if layout == h5d.CHUNKED else None
    if space.get_simple_extent_type() == h5s.NULL:
        return _Form(Dataspace((), (), null=True), layout, chunk_shape, None)
    shape = tuple(map(int, space.get_simple_extent_dims()))
    limits = space.get_simple_extent_dims(maxdims=True)
    maximum = tuple(UNLIMITED if n in (UNLIMITED, h5s.UNLIMITED) else int(n) for n in limits)
    return _Form(Dataspace(shape, maximum), layout, chunk_shape, None)


def _common(file: OpenFile, identifier: Any, header: Sequence[Message]) -> _Common:
    """Type, filters and fill value as libhdf5 reads them; once for all datasets with the same messages."""
    messages = tuple((m.kind, m.flags, m.data) for m in header if m.kind in _COMMON_MESSAGES)
    common: _Common | None = file.common.get(messages) if messages else None
    if common is None:
        datatype = identifier.get_type()
        size = int(datatype.get_size())
        check_fill(header, size)
        element = element_type(datatype)
        if is_variable_length(element.dtype) or element.texts:
            file.check_values(datatype)
        properties = identifier.get_create_plist()  # libhdf5 reads fill values of variable length here
        common = _Common(
            element=element,
            numbered=datatype.get_class() not in _PASSED_OVER,
            itemsize=size,
            fill=fill_value(properties, element, datatype),
            fill_undefined=is_undefined(properties),
            filters=read_pipeline(properties),
        )
        if messages:
            file.common[messages] = common
    return common


_COMMON_MESSAGES: Final = frozenset({0x03, 0x04, 0x05, 0x0B})
"""Datatype, fill value (old and new) and filter pipeline."""


def element_of(identifier: Any) -> ElementType:
    """The element type of an open dataset."""
    element = element_type(identifier.get_type())
    return _only_sequence(identifier, element) if element.members is not None and identifier.shape == () else element


def _only_sequence(identifier: Any, element: ElementType) -> ElementType:
    """The type of a single sequence: as an array datatype, whose dimension becomes one of the array."""
    assert element.members is not None
    properties = identifier.get_create_plist()
    if properties.get_layout() == h5d.VIRTUAL or properties.get_external_count():
        raise UnsupportedFeatureError("single sequence in another file")
    length = len(h5py.Dataset(identifier)[()])
    return replace(element, dtype=element.members, shape=(length,))
