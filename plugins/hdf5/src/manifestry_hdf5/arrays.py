"""From a dataset to an array: references where the file has the bytes, copied values where it has none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import h5py
import numpy as np
from h5py import h5d
from manifestry.errors import UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext
from manifestry.model.files import FileTable
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, Codec, RegularGrid
from manifestry.model.tree import VirtualArray

from manifestry_hdf5.attributes import decode_text
from manifestry_hdf5.datasets import UNLIMITED, Dataset
from manifestry_hdf5.filters import Chain, codec_chain
from manifestry_hdf5.library import library_errors

__all__ = ["build_array"]

SMALL = 64 << 10
"""Arrays of fewer bytes than this are copied rather than given a codec that readers have to install."""
MANY_CHUNKS = 10_000


def build_array(dataset: Dataset, files: FileTable, context: ParseContext) -> VirtualArray:
    """The array of a dataset, without dimension names.

    Raises
    ------
    UnsupportedFeatureError
        It cannot be expressed exactly.
    MalformedFileError
        Its chunks cannot be found.
    """
    element = dataset.element
    if dataset.null or not math.prod(dataset.shape):
        return _array(dataset, ChunkManifest.missing(_grid(dataset, dataset.chunk_shape)), dataset.chunk_shape)
    if element.by_value or (element.storage and dataset.nbytes <= SMALL):
        return copy_values(dataset, context)
    if dataset.layout == h5d.COMPACT:
        return copy_values(dataset, context)
    if dataset.layout == h5d.CONTIGUOUS:
        return _contiguous(dataset, files)
    if dataset.layout == h5d.CHUNKED:
        return _chunked(dataset, files)
    raise UnsupportedFeatureError("virtual dataset", dataset.path)


def _grid(dataset: Dataset, chunk_shape: Sequence[int] | None) -> tuple[int, ...]:
    shape = dataset.shape + dataset.element.shape
    return _regular(dataset, chunk_shape).grid_shape(shape)


def _regular(dataset: Dataset, chunk_shape: Sequence[int] | None) -> RegularGrid:
    """The chunk grid; without a chunk shape all elements are one chunk. An array datatype is never divided."""
    outer = tuple(chunk_shape) if chunk_shape is not None else tuple(max(1, n) for n in dataset.shape)
    return RegularGrid(outer + dataset.element.shape)


def _array(
    dataset: Dataset, manifest: ChunkManifest, chunk_shape: Sequence[int] | None, chain: Chain | None = None
) -> VirtualArray:
    element = dataset.element
    front = () if chain and chain.replaces_bytes else (element.bytes_codec,)
    codecs = front + element.storage + (chain.codecs if chain else ())
    attributes = dict(element.attributes) | dataset.attributes
    metadata = ArrayMetadata(
        dataset.shape + element.shape,
        element.dtype,
        _regular(dataset, chunk_shape),
        codecs,
        dataset.fill,
        None,
        attributes,
    )
    return VirtualArray(metadata, manifest)


def _contiguous(dataset: Dataset, files: FileTable) -> VirtualArray:
    if dataset.properties.get_external_count():
        raise UnsupportedFeatureError("external raw files", dataset.path)
    offset = dataset.id.get_offset()
    grid = _grid(dataset, None)
    if offset is None:
        return _array(dataset, ChunkManifest.missing(grid), None)
    return _array(dataset, ChunkManifest.from_columns(grid, files, 0, offset, dataset.nbytes), None)


def _chunked(dataset: Dataset, files: FileTable) -> VirtualArray:
    assert dataset.chunk_shape is not None
    chain = codec_chain(dataset.filters, dataset.element, math.prod(dataset.chunk_shape) * dataset.stored_itemsize)
    growing = [axis for axis, n in enumerate(dataset.maximum) if n == UNLIMITED]
    if len(growing) == 1 and growing[0] > 0:
        raise UnsupportedFeatureError("one unlimited dimension that is not the first", dataset.path)
    infos: list[Any] = []
    with library_errors(dataset.path):
        dataset.id.chunk_iter(infos.append)
    if any(info.filter_mask for info in infos):
        raise UnsupportedFeatureError("filters skipped for some chunks", dataset.path)
    offsets = np.array([i.chunk_offset for i in infos], "i8").reshape(len(infos), len(dataset.shape))
    manifest = ChunkManifest.from_sparse(
        _grid(dataset, dataset.chunk_shape),
        files,
        np.pad(offsets // np.array(dataset.chunk_shape), ((0, 0), (0, len(dataset.element.shape)))),
        [i.byte_offset for i in infos],
        [i.size for i in infos],
    )
    return _array(dataset, manifest, dataset.chunk_shape, chain)


def copy_values(dataset: Dataset, context: ParseContext) -> VirtualArray:
    """The array with its values copied out of the file, as the format's own library reads them.

    Raises
    ------
    UnsupportedFeatureError
        There are more bytes than may be copied.
    """
    limit = context.limits.max_inline_bytes
    reason = dataset.element.by_value or "values without bytes of their own"
    if dataset.nbytes > limit:
        raise UnsupportedFeatureError(
            reason, dataset.path, f"{dataset.nbytes} bytes are more than may be copied: {limit}"
        )
    with library_errors(dataset.path):
        values = h5py.Dataset(dataset.id)[()]
    plain = _model_values(np.asarray(values), dataset)
    chunk_shape = dataset.chunk_shape
    if chunk_shape is not None and math.prod(_grid(dataset, chunk_shape)) > MANY_CHUNKS:
        chunk_shape = None
    grid = _regular(dataset, chunk_shape)
    chunks = [_encode(chunk, dataset) for chunk in _pieces(plain, grid.chunk_shape, dataset.fill)]
    if sum(map(len, chunks)) > limit:
        raise UnsupportedFeatureError(reason, dataset.path, f"more bytes than may be copied: {limit}")
    element = dataset.element
    codec = Codec("vlen-utf8") if element.dtype.kind == "T" else _little(element.dtype)
    metadata = ArrayMetadata(
        plain.shape, element.dtype, grid, (codec,), dataset.fill, None, dict(element.attributes) | dataset.attributes
    )
    return VirtualArray(metadata, ChunkManifest.from_inline(grid.grid_shape(plain.shape), chunks))


def _little(dtype: np.dtype[Any]) -> Codec:
    if dtype.kind in "SVb" and dtype.fields is None:
        return Codec("bytes")
    single = dtype.itemsize == 1 or (dtype.fields is not None and not _multibyte(dtype))
    return Codec("bytes") if single else Codec("bytes", {"endian": "little"})


def _multibyte(dtype: np.dtype[Any]) -> bool:
    if dtype.fields is not None:
        return any(_multibyte(kind) for kind, *_ in dtype.fields.values())
    return dtype.kind not in "SVb" and dtype.itemsize > 1


def _model_values(values: np.ndarray[Any, Any], dataset: Dataset) -> np.ndarray[Any, Any]:
    """Values as h5py gives them in the element type of the array."""
    if dataset.element.dtype.kind == "T":
        flat = [decode_text(v) if isinstance(v, bytes) else str(v or "") for v in values.reshape(-1).tolist()]
        text = np.empty(len(flat), object)
        text[:] = flat
        return text.reshape(values.shape)
    if dataset.element.dtype.fields is not None:
        packed = np.zeros(values.shape, dataset.element.dtype)
        _assign(packed, values)
        return packed
    return values.astype(dataset.element.dtype, copy=False)


def _assign(target: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
    """Copy records field by field: h5py's have gaps."""
    for name in target.dtype.names or ():
        if target.dtype[name].fields is not None:
            _assign(target[name], values[name])
        else:
            target[name] = values[name]


def _pieces(values: np.ndarray[Any, Any], chunk_shape: Sequence[int], fill: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The chunks of an array in C order, those at the upper edges padded with the fill value."""
    starts = [range(0, n, c) for n, c in zip(values.shape, chunk_shape, strict=True)]
    for corner in product(*starts):
        part = values[tuple(slice(s, s + c) for s, c in zip(corner, chunk_shape, strict=True))]
        if part.shape != tuple(chunk_shape):
            padded = np.full(chunk_shape, fill, values.dtype)
            padded[tuple(slice(0, n) for n in part.shape)] = part
            part = padded
        yield part


def _encode(chunk: np.ndarray[Any, Any], dataset: Dataset) -> bytes:
    """The bytes of a chunk: little-endian elements, or texts in the form of the ``vlen-utf8`` codec."""
    if dataset.element.dtype.kind == "T":
        texts = [text.encode("utf-8", "surrogateescape") for text in chunk.reshape(-1).tolist()]
        parts = [len(texts).to_bytes(4, "little")]
        for text in texts:
            parts += (len(text).to_bytes(4, "little"), text)
        return b"".join(parts)
    return np.ascontiguousarray(chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)).tobytes()
