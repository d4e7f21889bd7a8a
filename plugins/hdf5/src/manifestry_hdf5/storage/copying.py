"""Values copied out of the file: for elements that have no bytes of their own in it, or none that a codec decodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Final

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

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.stored_values import TooManyBytesError
from manifestry_hdf5.objects.values import chunk_bytes, chunk_codecs

__all__ = ["SMALL", "copy_chunks", "copy_values"]

type Values = np.ndarray[Any, Any]

SMALL: Final = 64 << 10
"""Arrays of fewer bytes than this are copied, so that readers need not install a codec for them."""

_POINTER_BYTES: Final = 8
"""What an element of variable length takes in memory beside its members."""

_MAX_CHUNKS: Final = 10_000
"""Beyond this number of chunks a copied array becomes one chunk."""


def copy_values(dataset: Dataset, read: Callable[[], Values], context: ParseContext, reason: str) -> VirtualArray:
    """The array with its values kept in the manifest.

    Parameters
    ----------
    read
        Reads all elements, in the form of the model.
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
    try:
        plain = read()
    except TooManyBytesError as error:
        raise _too_much(reason, dataset, limit) from error
    dtype = dataset.element.dtype if is_variable_length(dataset.element.dtype) else plain.dtype
    fill = default_fill(dtype) if dataset.element.texts else dataset.fill
    grid = RegularGrid(_chunk_shape(dataset, plain.nbytes, limit) + dataset.element.shape)
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
    if dataset.field is not None:
        return math.prod(dataset.shape) * dataset.datatype.size
    return math.prod(dataset.shape) * element.dtype.itemsize if element.texts else dataset.nbytes


def _too_much(reason: str, dataset: Dataset, limit: int) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(reason, dataset.path, f"more than the {limit} bytes that may be copied")


def _chunk_shape(dataset: Dataset, nbytes: int, limit: int) -> tuple[int, ...]:
    """The chunks of the file; one where there are none, too many, or much in them that is not in the array."""
    whole = tuple(max(1, n) for n in dataset.shape)
    if dataset.chunk_shape is None:
        return whole
    counts = [-(-n // c) for n, c in zip(whole, dataset.chunk_shape, strict=True)]
    padded = math.prod(n * c for n, c in zip(counts, dataset.chunk_shape, strict=True))
    too_empty = nbytes // math.prod(whole) * padded > limit
    return whole if math.prod(counts) > _MAX_CHUNKS or too_empty else dataset.chunk_shape


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
