"""What the creation properties of one dataset say about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from h5py import h5d, h5s
from manifestry.errors import UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext

from manifestry_hdf5.datatypes import ElementType, element_type
from manifestry_hdf5.fill import fill_value, is_undefined
from manifestry_hdf5.filters import Filter, read_pipeline
from manifestry_hdf5.library import Identity, OpenFile, library_errors

__all__ = ["UNLIMITED", "Dataset", "read_dataset"]

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
    null: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of all elements as the file stores them before filters."""
        return math.prod(self.shape) * self.stored_itemsize

    @property
    def stored_itemsize(self) -> int:
        """Bytes of one element of the dataspace in the file, before filters."""
        return int(self.id.get_type().get_size())

    @property
    def memory(self) -> np.dtype[Any]:
        """The dtype in which h5py reads elements."""
        dtype: np.dtype[Any] = self.id.dtype
        return dtype


def read_dataset(
    file: OpenFile, identifier: Any, path: str, attributes: dict[str, Any], context: ParseContext
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
        element = element_type(kind)
    maximum = tuple(UNLIMITED if n in (UNLIMITED, _NO_LIMIT) else n for n in limits)
    if math.prod(shape) * max(element.dtype.itemsize, 1) >= 1 << 63:
        raise UnsupportedFeatureError(f"shape {shape}", path, "more bytes than Zarr readers can count")
    with library_errors(path):
        memory = np.dtype(identifier.dtype) if element.dtype.kind != "T" else np.dtype(object)
        fill = fill_value(properties, element, identifier.dtype if element.dtype.kind == "T" else memory)
        if is_undefined(properties):
            context.report(path, "fill value undefined", "what was never written reads as the default of the type")
    if null:
        context.report(path, "null dataspace", "an array without elements stands for it")
    return Dataset(
        identifier, path, file, file.identity(identifier), shape, maximum, layout, chunk_shape, element, filters, fill, attributes,
        properties, null,
    )  # fmt: skip


_NO_LIMIT: Final = int(h5s.UNLIMITED)
