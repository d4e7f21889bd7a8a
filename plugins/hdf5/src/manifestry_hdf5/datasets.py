"""What the creation properties of one dataset say about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import h5py
from h5py import h5d, h5s
from manifestry.errors import UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext

from manifestry_hdf5.datatypes import ElementType, element_type
from manifestry_hdf5.fill import fill_value, is_undefined
from manifestry_hdf5.filters import Filter, read_pipeline
from manifestry_hdf5.library import Identity, OpenFile, library_errors
from manifestry_hdf5.structures.object_header import Message

__all__ = ["UNLIMITED", "Dataset", "element_of", "read_dataset"]

UNLIMITED: Final = -1
"""What stands in `Dataset.maximum` for a dimension that may grow without limit."""


@dataclass(slots=True)
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
    null
        Whether the dataspace holds no element, not even one without dimensions.
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
    properties: Any
    stored_itemsize: int
    header: Sequence[Message]
    null: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of all elements as the file stores them before filters."""
        return math.prod(self.shape) * self.stored_itemsize


def read_dataset(
    file: OpenFile,
    identifier: Any,
    identity: Identity,
    path: str,
    attributes: dict[str, Any],
    header: Sequence[Message],
    context: ParseContext,
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
        space, kind = identifier.get_space(), identifier.get_type()
        properties = identifier.get_create_plist()
        layout = properties.get_layout()
        null = space.get_simple_extent_type() == h5s.NULL
        shape = (0,) if null else tuple(map(int, space.get_simple_extent_dims()))
        limits = (0,) if null else tuple(map(int, space.get_simple_extent_dims(maxdims=True)))
        chunk_shape = tuple(map(int, properties.get_chunk())) if layout == h5d.CHUNKED else None
        filters = read_pipeline(properties)
        element = file.element_types.get(code := kind.encode())
        if element is None:
            element = file.element_types[code] = element_type(kind)
        if element.dtype.kind in "TO":
            file.require_sound_heaps()
        if element.members is not None and not shape:
            element = _only_sequence(identifier, element)
    maximum = tuple(UNLIMITED if n in (UNLIMITED, _NO_LIMIT) else n for n in limits)
    if math.prod(shape) * max(element.dtype.itemsize, 1) >= 1 << 63:
        raise UnsupportedFeatureError(f"shape {shape}", path, "more bytes than Zarr readers can count")
    with library_errors(path):
        fill = fill_value(properties, element, kind)
        if is_undefined(properties):
            context.report(path, "fill value undefined", "what was never written reads as the default of the type")
    if null:
        context.report(path, "null dataspace", "an array without elements stands for it")
    return Dataset(
        identifier, path, file, identity, shape, maximum, layout, chunk_shape, element, filters, fill, attributes,
        properties, int(kind.get_size()), header, null,
    )  # fmt: skip


def element_of(identifier: Any) -> ElementType:
    """The element type of an open dataset."""
    element = element_type(identifier.get_type())
    return _only_sequence(identifier, element) if element.members is not None and identifier.shape == () else element


def _only_sequence(identifier: Any, element: ElementType) -> ElementType:
    """The type of a single sequence: as an array datatype, whose dimension becomes one of the array."""
    assert element.members is not None
    length = len(h5py.Dataset(identifier)[()])
    return replace(element, dtype=element.members, shape=(length,))


_NO_LIMIT: Final = int(h5s.UNLIMITED)
