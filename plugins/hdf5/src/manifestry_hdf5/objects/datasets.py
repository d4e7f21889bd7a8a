"""What the header of one dataset says about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from manifestry.plugin import (
    MalformedFileError,
    ParseContext,
    UnsupportedFeatureError,
    default_fill,
    is_variable_length,
)

from manifestry_hdf5.objects.datatypes import ElementType, element_type
from manifestry_hdf5.objects.fill import fill_value
from manifestry_hdf5.objects.filters import Filter, pipeline_of
from manifestry_hdf5.objects.record_fields import RecordField, check_field, field_element
from manifestry_hdf5.structures.chunk_indexes.chunks import Extent
from manifestry_hdf5.structures.data_objects.data_layout_message import (
    LAYOUT_MESSAGE,
    ChunkLayout,
    CompactLayout,
    ContiguousLayout,
    Layout,
    LayoutClass,
    VirtualLayout,
    parse_layout,
)
from manifestry_hdf5.structures.data_objects.dataspace_message import DATASPACE_MESSAGE, UNLIMITED, Dataspace
from manifestry_hdf5.structures.data_objects.datatype import Array, Bitfield, Datatype, Reference, Time
from manifestry_hdf5.structures.data_objects.datatype_message import DATATYPE_MESSAGE, parse_datatype
from manifestry_hdf5.structures.data_objects.external_files_message import EXTERNAL_FILES_MESSAGE
from manifestry_hdf5.structures.data_objects.fill_value_message import (
    FILL_MESSAGE,
    OLD_FILL_MESSAGE,
    FillValue,
    parse_fill_value,
    parse_old_fill_value,
)
from manifestry_hdf5.structures.data_objects.filter_pipeline_message import (
    FILTER_PIPELINE_MESSAGE,
    parse_filter_pipeline,
)
from manifestry_hdf5.structures.data_objects.object_header import Message, find_message

if TYPE_CHECKING:
    from manifestry_hdf5.open_files import Hdf5File

__all__ = [
    "Axes",
    "Dataset",
    "Identity",
    "is_virtual",
    "read_axes",
    "read_dataset",
    "read_datatype",
    "read_layout",
    "read_space",
]

type Identity = tuple[str, int]
"""URL of a file and address of an object header in it: the same for every path to an object."""

_PASSED_OVER: Final = (Array, Reference, Time, Bitfield)
"""Types whose dimensions netCDF-C does not number."""

_NEVER: Final = 1
"""The time at which fill values are written: not at all."""


_USUAL_BYTES: Final = 16 << 20
"""What an element may have in a file that is smaller: compression makes it short, and one that is missing has no bytes."""


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
    path
        Where it was found first.
    file
        The file that it is in.
    identity
        URL of that file and address of the object header.
    shape, maximum
        Dimensions of the dataspace and how far they may grow, without those of an array datatype.
    null
        Whether the dataspace holds no element, not even one without dimensions.
    datatype, element
        What one element is in the file, and what it becomes.
    layout
        Where the elements are.
    extent
        The chunk grid, None where the layout has none.
    external
        The message that lists external raw files, None where there are none.
    fill, stored_fill
        The fill value, as the array has it and as the file has it; empty there where none was chosen.
    axes
        Of the array that it becomes.
    field
        The field of its records that the array is made of, None where elements become elements: `datatype` and `element`
        are those of the field, and `stored_fill` is a whole record.
    """

    path: str
    file: Hdf5File
    identity: Identity
    shape: tuple[int, ...]
    maximum: tuple[int, ...]
    null: bool
    datatype: Datatype
    element: ElementType
    layout: Layout
    extent: Extent | None
    external: Message | None
    filters: tuple[Filter, ...]
    fill: Any
    stored_fill: bytes
    attributes: dict[str, Any]
    axes: Axes
    field: RecordField | None = None

    @property
    def key(self) -> tuple[Identity, int, int]:
        """What tells arrays apart: the dataset, and of a field where it is in its record."""
        field = self.field
        return (self.identity, -1, 0) if field is None else (self.identity, field.offset, field.datatype.size)

    @property
    def chunk_shape(self) -> tuple[int, ...] | None:
        """Shape of a chunk, None where the layout has none."""
        return self.layout.chunk_shape if isinstance(self.layout, ChunkLayout) else None

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk before filters, 0 where the layout has none."""
        return self.layout.chunk_bytes if isinstance(self.layout, ChunkLayout) else 0

    @property
    def ndim(self) -> int:
        """Dimensions of the array that it becomes, and of its chunks."""
        return len(self.shape) + len(self.element.shape)

    @property
    def stored_itemsize(self) -> int:
        """Bytes of one element of the dataspace in the file, before filters."""
        return self.datatype.size if self.field is None else self.field.record_size

    @property
    def nbytes(self) -> int:
        """Bytes of all elements as the file stores them before filters."""
        return math.prod(self.shape) * self.stored_itemsize


class _Common(NamedTuple):
    """What many datasets of a file have in common."""

    datatype: Datatype
    element: ElementType
    filters: tuple[Filter, ...]
    fill: Any
    stored_fill: bytes
    fill_undefined: bool


def read_dataset(
    file: Hdf5File,
    identity: Identity,
    path: str,
    context: ParseContext,
    *,
    attributes: dict[str, Any],
    space: Dataspace,
    field: RecordField | None = None,
) -> Dataset:
    """Describe a dataset, whose dimensions and attributes have been read, or a field of its records.

    Raises
    ------
    UnsupportedFeatureError
        Its type has no form in Zarr.
    MalformedFileError
        Its header is damaged.
    """
    header = file.objects.header(identity[1])
    common, layout = _common(file, header, field), read_layout(file, header)
    if field is not None:
        check_field(layout, common.element, space, path)
    itemsize = common.datatype.size if field is None else field.record_size
    element, fill = common.element, common.fill
    numbered = not isinstance(common.datatype, _PASSED_OVER) and not space.null
    external = find_message(header, EXTERNAL_FILES_MESSAGE)
    if element.members is not None and not space.shape and not space.null:
        if external is not None:
            raise UnsupportedFeatureError("single sequence in another file", path)
        element = _only_sequence(file, layout, element, common.datatype.size)
        fill, numbered = default_fill(element.dtype), False
    shape, maximum = _extent(space)
    if math.prod(shape) * max(element.dtype.itemsize, 1) >= 1 << 63:
        raise UnsupportedFeatureError(f"shape {shape}", path, "more bytes than Zarr readers can count")
    if isinstance(layout, ChunkLayout):
        _check_chunks(layout, shape, itemsize)
    if external is not None and not isinstance(layout, ContiguousLayout):
        raise MalformedFileError("external data files message: of a dataset that is not contiguous")
    if common.fill_undefined:
        context.report(path, "fill value undefined", "what was never written reads as the default of the type")
    if space.null:
        context.report(path, "null dataspace", "it becomes an array without elements")
    return Dataset(
        path=path,
        file=file,
        identity=identity,
        shape=shape,
        maximum=maximum,
        null=space.null,
        datatype=common.datatype,
        element=element,
        layout=layout,
        extent=Extent.of(shape, maximum, layout.chunk_shape) if isinstance(layout, ChunkLayout) else None,
        external=external,
        filters=common.filters,
        fill=fill,
        stored_fill=common.stored_fill,
        attributes=attributes,
        axes=_axes(space, element.shape, numbered=numbered and field is None),
        field=field,
    )


def _check_chunks(layout: ChunkLayout, shape: Sequence[int], itemsize: int) -> None:
    """Make sure that chunks have the form of the array and its elements."""
    if len(layout.chunk_shape) != len(shape) or layout.element_size != itemsize:
        raise MalformedFileError(
            f"data layout message: chunks {layout.chunk_shape} of elements of {layout.element_size} bytes, of an array of "
            f"shape {tuple(shape)} and elements of {itemsize} bytes"
        )


def read_axes(file: Hdf5File, header: Sequence[Message], space: Dataspace) -> Axes:
    """The axes of a dataset of which nothing else is read: what others have are numbered alike whatever is selected."""
    datatype = read_datatype(file, header)
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


def read_space(file: Hdf5File, header: Sequence[Message]) -> Dataspace:
    """The dimensions of a dataset as its header has them.

    Raises
    ------
    MalformedFileError
        As `parse_dataspace`, or it has none.
    """
    data = _data(file, header, DATASPACE_MESSAGE)
    if data is None:
        raise MalformedFileError("object header: a dataset without a dataspace message")
    return file.dataspace(data)


def is_virtual(header: Sequence[Message]) -> bool:
    """Whether a dataset shows elements of others."""
    message = find_message(header, LAYOUT_MESSAGE)
    return message is not None and message.data[1:2] == bytes([LayoutClass.VIRTUAL]) and message.data[0] > 2


def read_layout(file: Hdf5File, header: Sequence[Message]) -> Layout:
    """Where the elements of a dataset are.

    Raises
    ------
    MalformedFileError, UnsupportedFeatureError
        As `parse_layout`, or nothing says it.
    """
    data = _data(file, header, LAYOUT_MESSAGE)
    if data is None:
        raise MalformedFileError("object header: a dataset without a data layout message")
    return parse_layout(data, file.superblock)


def _data(file: Hdf5File, header: Sequence[Message], kind: int) -> bytes | None:
    """The data of the first message of a type, wherever it is; None where there is none."""
    message = find_message(header, kind)
    return None if message is None else file.objects.message_data(message)


def read_datatype(file: Hdf5File, header: Sequence[Message]) -> Datatype:
    """The type of the elements of a dataset as the file has it.

    Raises
    ------
    MalformedFileError, UnsupportedFeatureError
        As `parse_datatype`, or there is none.
    """
    data = _data(file, header, DATATYPE_MESSAGE)
    if data is None:
        raise MalformedFileError("object header: a dataset without a datatype message")
    return parse_datatype(data)


_COMMON_MESSAGES: Final = frozenset({DATATYPE_MESSAGE, OLD_FILL_MESSAGE, FILL_MESSAGE, FILTER_PIPELINE_MESSAGE})


def _common(file: Hdf5File, header: Sequence[Message], field: RecordField | None) -> _Common:
    """Type, filters and fill value; once for all datasets with the same messages."""
    if field is not None:
        return _read_common(file, header, field)
    messages = tuple(message for message in header if message[0] in _COMMON_MESSAGES)
    common: _Common | None = file.common.get(messages)
    if common is None:
        common = file.common[messages] = _read_common(file, messages)
    return common


def _read_common(file: Hdf5File, header: Sequence[Message], field: RecordField | None = None) -> _Common:
    datatype, fill = read_datatype(file, header), _fill(file, header)
    pipeline = _data(file, header, FILTER_PIPELINE_MESSAGE)
    if datatype.size > max(file.source.size, _USUAL_BYTES):
        raise UnsupportedFeatureError(f"elements of {datatype.size} bytes", hint="the file has no room for one of them")
    if 0 < len(fill.value) < datatype.size:
        raise MalformedFileError(
            f"fill value message: {len(fill.value)} bytes are too few for elements of {datatype.size}"
        )
    stored, part = fill.value[: datatype.size], slice(None)
    if field is not None:
        part = slice(field.offset, field.offset + field.datatype.size)
        datatype = field.datatype
    element = element_type(datatype) if field is None else field_element(datatype)
    if fill.writing == _NEVER and (is_variable_length(element.dtype) or element.texts):
        raise MalformedFileError("fill value message: never written, which elements of variable length do not allow")
    return _Common(
        datatype=datatype,
        element=element,
        filters=() if pipeline is None else pipeline_of(parse_filter_pipeline(pipeline)),
        fill=fill_value(stored[part], datatype, element, file.heap, file.target_of),
        stored_fill=stored,
        fill_undefined=fill.undefined,
    )


def _fill(file: Hdf5File, header: Sequence[Message]) -> FillValue:
    """The fill value of a dataset; the old message counts where there is no new one, and without both it is undefined."""
    data = _data(file, header, FILL_MESSAGE)
    if data is not None:
        return parse_fill_value(data)
    data = _data(file, header, OLD_FILL_MESSAGE)
    return FillValue(undefined=True) if data is None else parse_old_fill_value(data)


def _only_sequence(file: Hdf5File, layout: Layout, element: ElementType, size: int) -> ElementType:
    """The type of a single sequence: as an array datatype, whose dimension becomes one of the array."""
    assert element.members is not None
    stored = b""
    if isinstance(layout, CompactLayout):
        stored = layout.data
    elif isinstance(layout, VirtualLayout):
        raise UnsupportedFeatureError("single sequence in another file")
    elif isinstance(layout, ContiguousLayout) and layout.address is not None:
        start = file.superblock.place(layout.address, "single sequence", size)
        stored = file.read(start, start + size)
    length = int.from_bytes(stored[:4], "little")
    if length > file.source.size:
        raise MalformedFileError(f"a sequence of {length} members is larger than the file of {file.source.size} bytes")
    return replace(element, dtype=element.members, shape=(length,))
