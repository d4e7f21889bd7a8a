"""Chunks that have to be copied into an output of references.

A Zarr v2 document has one ``fill_value`` for two things: what missing chunks read as, and what xarray masks. Where
these differ, missing chunks are stored as encoded chunks of the fill value (see `manifestry.plugin.documents_of`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from manifestry import Limits
from manifestry.plugin import (
    INLINE,
    ArrayMetadata,
    Source,
    StoreRegistry,
    UnsupportedFeatureError,
    VirtualArray,
    is_variable_length,
)

__all__ = ["encoded_fill_chunk", "with_inline_chunks", "with_missing_chunks"]


def encoded_fill_chunk(metadata: ArrayMetadata, zarray: dict[str, Any], where: str = "") -> bytes:
    """One chunk full of the fill value, encoded as `zarray` says and decoded again to make sure.

    Raises
    ------
    UnsupportedFeatureError
        A codec of the array is not installed, or cannot encode.
    """
    chunk = _fill_chunk(metadata, zarray)
    names = [step["id"] for step in [*(zarray["filters"] or ()), *filter(None, [zarray["compressor"]])]]
    try:
        encoded, decoded = _round_trip(chunk, zarray)
    except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, OSError, ImportError) as error:
        raise _no_fill_chunk(names, where, str(error)) from error
    if not _same_elements(decoded, chunk):
        raise _no_fill_chunk(names, where, "the codecs do not give the fill value back")
    return encoded


def _no_fill_chunk(names: list[str], where: str, reason: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"missing chunks with codec {', '.join(names)} in Zarr v2",
        where,
        f"they need an encoded chunk of the fill value, which cannot be made: {reason}; write zarr_format=3 or Icechunk",
    )


def _fill_chunk(metadata: ArrayMetadata, zarray: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The elements as they are stored, a flat array: all are equal, so no order of dimensions shows."""
    count = math.prod(metadata.chunk_shape)
    if is_variable_length(metadata.dtype):
        chunk = np.empty(count, object)
        chunk[:] = metadata.fill_value
        return chunk
    stored = _stored_dtype(zarray["dtype"])
    return np.full(count, np.asarray(metadata.fill_value, metadata.dtype).astype(stored)[()], stored)


def _stored_dtype(dtype: Any) -> np.dtype[Any]:
    """The numpy dtype of the ``dtype`` of a ``.zarray``: a text, or a list of fields."""
    return np.dtype(dtype if isinstance(dtype, str) else [(name, _stored_dtype(field)) for name, field in dtype])


def _round_trip(chunk: np.ndarray[Any, Any], zarray: dict[str, Any]) -> tuple[bytes, Any]:
    import numcodecs  # noqa: PLC0415 only where chunks are missing
    import numcodecs.registry  # noqa: PLC0415 as above

    steps = [*(zarray["filters"] or ()), *filter(None, [zarray["compressor"]])]
    codecs = [(step, numcodecs.registry.get_codec(dict(step))) for step in steps]
    data: Any = chunk
    for step, codec in codecs:
        data = codec.encode(_reshape(data, step, zarray))
    encoded = data.tobytes() if isinstance(data, np.ndarray) else bytes(data)
    decoded: Any = encoded
    for _, codec in reversed(codecs):
        decoded = codec.decode(decoded)
    return encoded, decoded


def _reshape(data: Any, step: dict[str, Any], zarray: dict[str, Any]) -> Any:
    """`data` in the shape and type that a codec of arrays checks before it encodes."""
    if not isinstance(data, np.ndarray):
        if "shape" not in step or "dtype" not in step:
            return data
        data = np.frombuffer(data, step["dtype"])
    if "shape" in step:
        return data.view(step.get("dtype", data.dtype)).reshape(step["shape"])
    codec_of_images = step["id"].startswith("imagecodecs_") and data.ndim == 1
    if not codec_of_images:
        return data
    chunks = zarray["chunks"]
    return data.reshape([n for n in chunks if n != 1] or [1])


def _same_elements(decoded: Any, chunk: np.ndarray[Any, Any]) -> bool:
    if chunk.dtype == object:
        return list(np.asarray(decoded, object).reshape(-1)) == list(chunk)
    data = decoded.tobytes() if isinstance(decoded, np.ndarray) else bytes(decoded)
    return data == chunk.tobytes()


def with_missing_chunks(array: VirtualArray, chunk: bytes) -> VirtualArray:
    """The array with `chunk` stored, once, at every position where nothing is."""
    manifest = array.manifest
    return VirtualArray(array.metadata, manifest.with_inline(~manifest.stored, 0, len(chunk), chunk))


def with_inline_chunks(
    array: VirtualArray, below: int, stores: StoreRegistry, limits: Limits, where: str = ""
) -> VirtualArray:
    """The array with every chunk of fewer than `below` bytes copied out of its file.

    Raises
    ------
    SourceError
        A file cannot be read.
    UnsupportedFeatureError
        More bytes than the limit would be copied.
    """
    manifest = array.manifest
    index, offsets, lengths = manifest.columns()
    small = np.flatnonzero((lengths < below) & (lengths > 0) & (index != INLINE))
    total = int(lengths[small].sum())
    if not small.size:
        return array
    if total > limits.max_inline_bytes:
        raise UnsupportedFeatureError(
            f"{total} bytes to copy", where, f"the limit is {limits.max_inline_bytes}; choose a smaller inline_below"
        )
    order = small[np.argsort(index[small], kind="stable")]  # file by file
    starts, ends = offsets[order], offsets[order] + lengths[order]
    parts: list[bytes] = []
    rows, first = np.unique(index[order], return_index=True)
    for row, start, stop in zip(rows.tolist(), first.tolist(), [*first[1:].tolist(), order.size], strict=True):
        ranges = list(zip(starts[start:stop].tolist(), ends[start:stop].tolist(), strict=True))
        parts += Source.at(manifest.files.urls[row], stores, named_by=manifest.files[row].named_by).ranges(ranges)
    counts = lengths[order]
    copied = manifest.with_inline(order, np.cumsum(counts) - counts, counts, b"".join(parts))
    return VirtualArray(array.metadata, copied)
