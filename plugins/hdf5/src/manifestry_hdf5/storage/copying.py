"""Values copied out of the file: for elements that have no bytes of their own in it, or none that a codec decodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

import h5py
import numpy as np
from manifestry.plugin import (
    ArrayMetadata,
    ChunkManifest,
    ParseContext,
    RegularGrid,
    UnsupportedFeatureError,
    VirtualArray,
    default_fill,
    is_variable_length,
)

from manifestry_hdf5.libhdf5.files import library_errors
from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.values import chunk_bytes, chunk_codecs, model_values

__all__ = ["SMALL", "copy_chunks", "copy_values"]

SMALL: Final = 64 << 10
"""Arrays of fewer bytes than this are copied, so that readers need not install a codec for them."""

_POINTER_BYTES: Final = 8
"""What an element of variable length takes in memory beside its members."""

_MAX_CHUNKS: Final = 10_000
"""Beyond this number of chunks a copied array becomes one chunk."""


def copy_values(dataset: Dataset, context: ParseContext, reason: str) -> VirtualArray:
    """The array with its values as libhdf5 reads them, kept in the manifest.

    Parameters
    ----------
    reason
        The feature that makes copying necessary; what a refusal is named after.

    Raises
    ------
    UnsupportedFeatureError
        There are more bytes than may be copied.
    """
    limit = context.limits.max_inline_bytes
    least = _least_bytes(dataset)
    if least > limit:
        hint = f"{least} bytes are more than the {limit} that may be copied"
        raise UnsupportedFeatureError(reason, dataset.path, hint)
    if not dataset.properties.all_filters_avail():
        hint = "values have to be copied, and libhdf5 has no such filter (import hdf5plugin)"
        raise UnsupportedFeatureError(f"filters {[f.number for f in dataset.filters]}", dataset.path, hint)
    plain = model_values(_values(dataset, limit, reason), dataset.element)
    dtype = dataset.element.dtype if is_variable_length(dataset.element.dtype) else plain.dtype
    fill = default_fill(dtype) if dataset.element.texts else dataset.fill
    grid = RegularGrid(_chunk_shape(dataset) + dataset.element.shape)
    if plain.nbytes > limit and not is_variable_length(dtype):  # texts in records have become longer
        raise _too_much(reason, dataset, limit)
    chunks = [chunk_bytes(chunk, dataset.element) for chunk in _pieces(plain, grid.chunk_shape, fill)]
    if sum(map(len, chunks)) > limit:
        raise _too_much(reason, dataset, limit)
    attributes = dict(dataset.element.attributes) | dataset.attributes
    codecs = chunk_codecs(dataset.element, dtype)
    metadata = ArrayMetadata(
        shape=plain.shape, dtype=dtype, chunk_grid=grid, codecs=codecs, fill_value=fill, attributes=attributes
    )
    return VirtualArray(metadata, ChunkManifest.from_inline(grid.grid_shape(plain.shape), chunks))


def _least_bytes(dataset: Dataset) -> int:
    """Bytes that the values take at least, before texts and sequences in them are read."""
    element = dataset.element
    if is_variable_length(element.dtype):
        return math.prod(dataset.shape + element.shape) * _POINTER_BYTES
    return math.prod(dataset.shape) * element.dtype.itemsize if element.texts else dataset.nbytes


def _too_much(reason: str, dataset: Dataset, limit: int) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(reason, dataset.path, f"more than the {limit} bytes that may be copied")


def _chunk_shape(dataset: Dataset) -> tuple[int, ...]:
    """The chunks of the file, or one where there are none or too many."""
    shape = dataset.chunk_shape
    if shape is None or math.prod(-(-n // c) for n, c in zip(dataset.shape, shape, strict=True)) > _MAX_CHUNKS:
        return tuple(max(1, n) for n in dataset.shape)
    return shape


def _values(dataset: Dataset, limit: int, reason: str) -> np.ndarray[Any, Any]:
    """All elements as h5py gives them.

    How many bytes elements of variable length have is not known before they are read, and damage can make many of them
    the same long one; so they are read in ever larger parts for as long as there is room.
    """
    source = h5py.Dataset(dataset.id)
    with library_errors(dataset.path):
        variable = source.dtype.hasobject
        if variable:
            dataset.file.check_values(dataset.id.get_type())
            dataset.file.check_lengths(dataset.id)
        if not dataset.shape or not variable:
            return np.asarray(source[()])
        parts, total, row = [], 0, 0
        while row < dataset.shape[0]:
            step = 1 if not row else max(1, min(row, (limit - total) * row // max(4 * total, 1)))
            parts.append(np.asarray(source[row : row + step]))
            total += _content(parts[-1])
            row += len(parts[-1])
            if total > limit:
                raise _too_much(reason, dataset, limit)
    return np.concatenate(parts)


def _content(values: np.ndarray[Any, Any]) -> int:
    """Bytes of values with those that objects in them have."""
    if values.dtype.names is not None:
        return sum(_content(values[name]) for name in values.dtype.names)
    if values.dtype != object:
        return values.nbytes
    return sum(v.nbytes if isinstance(v, np.ndarray) else len(v) for v in values.reshape(-1).tolist() if v is not None)


def copy_chunks(array: VirtualArray, dataset: Dataset) -> VirtualArray:
    """The same array with its encoded chunks in the manifest; unchanged when some are in other files.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    manifest = array.manifest
    if not manifest.stored_count or manifest.files.urls != (dataset.file.source.url,):
        return array
    _, offsets, lengths = manifest.columns()
    referenced = np.flatnonzero(manifest.stored & ~manifest.inlined).tolist()
    ranges = [(int(offsets[n]), int(offsets[n]) + int(lengths[n])) for n in referenced]
    copied = dict(zip(referenced, dataset.file.source.ranges(ranges), strict=True))
    return VirtualArray(
        array.metadata, ChunkManifest.from_inline(manifest.grid_shape, copied | manifest.inline_chunks())
    )


def _pieces(values: np.ndarray[Any, Any], chunk_shape: Sequence[int], fill: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The chunks of an array in C order, those at the upper edges padded with the fill value."""
    starts = [range(0, n, c) for n, c in zip(values.shape, chunk_shape, strict=True)]
    for corner in product(*starts):
        box: tuple[Any, ...] = tuple(slice(s, s + c) for s, c in zip(corner, chunk_shape, strict=True))
        part = values[(..., *box)]  # an array also where there are no dimensions
        if part.shape != tuple(chunk_shape):
            padded = np.full(chunk_shape, fill, values.dtype)
            padded[tuple(slice(0, n) for n in part.shape)] = part
            part = padded
        yield part
