"""Values copied out of the file: for elements that have no bytes of their own in it, or none that a codec decodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

import h5py
import numpy as np
from manifestry.errors import UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext
from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.model.metadata import ArrayMetadata, Codec, RegularGrid
from manifestry.model.tree import VirtualArray

from manifestry_hdf5.attributes import decode_text
from manifestry_hdf5.datasets import Dataset
from manifestry_hdf5.library import library_errors

__all__ = ["SMALL", "copy_chunks", "copy_values", "model_values"]

SMALL: Final = 64 << 10
"""Arrays of fewer bytes than this are copied rather than given a codec that readers would have to install."""

_MANY_CHUNKS: Final = 10_000
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
    if dataset.nbytes > limit:
        hint = f"{dataset.nbytes} bytes are more than the {limit} that may be copied"
        raise UnsupportedFeatureError(reason, dataset.path, hint)
    if not dataset.properties.all_filters_avail():
        hint = "values have to be copied, and libhdf5 has no such filter (import hdf5plugin)"
        raise UnsupportedFeatureError(f"filters {[f.number for f in dataset.filters]}", dataset.path, hint)
    with library_errors(dataset.path):
        values = h5py.Dataset(dataset.id)[()]
    plain = model_values(np.asarray(values), dataset.element.dtype)
    chunk_shape = dataset.chunk_shape
    if (
        chunk_shape is None
        or math.prod(-(-n // c) for n, c in zip(dataset.shape, chunk_shape, strict=True)) > _MANY_CHUNKS
    ):
        chunk_shape = tuple(max(1, n) for n in dataset.shape)
    grid = RegularGrid(tuple(chunk_shape) + dataset.element.shape)
    dtype = dataset.element.dtype
    chunks = [_encode(chunk) for chunk in _pieces(plain, grid.chunk_shape, dataset.fill)]
    if sum(map(len, chunks)) > limit:
        raise UnsupportedFeatureError(reason, dataset.path, f"more than the {limit} bytes that may be copied")
    attributes = dict(dataset.element.attributes) | dataset.attributes
    metadata = ArrayMetadata(plain.shape, dtype, grid, (_codec(dtype),), dataset.fill, None, attributes)
    return VirtualArray(metadata, ChunkManifest.from_inline(grid.grid_shape(plain.shape), chunks))


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
    rows, offsets, lengths = manifest.columns()
    positions = np.flatnonzero(manifest.stored)
    there = [n for n in positions.tolist() if rows[n] != INLINE]
    ranges = [(int(offsets[n]), int(offsets[n]) + int(lengths[n])) for n in there]
    chunks = dict(zip(there, dataset.file.source.ranges(ranges), strict=True))
    for n in np.flatnonzero(manifest.inlined).tolist():
        chunks[n] = manifest.inline[int(offsets[n]) : int(offsets[n]) + int(lengths[n])]
    return VirtualArray(array.metadata, ChunkManifest.from_inline(manifest.grid_shape, chunks))


def _codec(dtype: np.dtype[Any]) -> Codec:
    """The codec of copied chunks."""
    if dtype.kind == "T":
        return Codec("vlen-utf8")
    return Codec("bytes", {"endian": "little"}) if _multibyte(dtype) else Codec("bytes")


def _multibyte(dtype: np.dtype[Any]) -> bool:
    if dtype.fields is not None:
        return any(_multibyte(field[0]) for field in dtype.fields.values())
    return dtype.kind not in "SVb" and dtype.itemsize > 1


def model_values(values: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Values as h5py gives them in the element type of the array; texts as objects."""
    if dtype.kind == "T":
        flat = [decode_text(v) if isinstance(v, bytes) else str(v or "") for v in values.reshape(-1).tolist()]
        text = np.empty(len(flat), object)
        text[:] = flat
        return text.reshape(values.shape)
    if dtype.fields is not None:
        packed = np.zeros(values.shape, dtype)
        _assign(packed, values)
        return packed
    return values.astype(dtype, copy=False)


def _assign(target: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
    """Copy records field by field: those in memory have gaps."""
    for name in target.dtype.names or ():
        if target.dtype[name].fields is not None:
            _assign(target[name], values[name])
        else:
            target[name] = values[name]


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


def _encode(chunk: np.ndarray[Any, Any]) -> bytes:
    """The bytes of a chunk: little-endian elements, or texts in the form of the ``vlen-utf8`` codec."""
    if chunk.dtype.kind != "O":
        return np.ascontiguousarray(chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)).tobytes()
    texts = [text.encode() for text in chunk.reshape(-1).tolist()]
    parts = [len(texts).to_bytes(4, "little")]
    for text in texts:
        parts += (len(text).to_bytes(4, "little"), text)
    return b"".join(parts)
