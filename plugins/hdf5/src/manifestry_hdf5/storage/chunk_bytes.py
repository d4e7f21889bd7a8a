"""The bytes of chunks behind their filters, and through them again: for the few that are copied."""

from __future__ import annotations

import bz2
import zlib
from typing import Any, Final

import numcodecs
import numpy as np
from manifestry.plugin import Codec, MalformedFileError, UnsupportedFeatureError, first_line

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.filters import Filter, codec_chain, numcodecs_configuration

__all__ = ["decode_chunk", "encode_chunk", "remaining_filters"]

_GROWTH: Final = 1 << 12
"""Bytes that filters add to a chunk that they do not make shorter, beside an eighth of it."""


def decode_chunk(dataset: Dataset, stored: bytes, mask: int) -> bytes:
    """The elements of a chunk as the file has them before filters.

    Parameters
    ----------
    mask
        The filters that it did not go through, a bit for each.

    Raises
    ------
    UnsupportedFeatureError
        No codec decodes one of the filters.
    MalformedFileError
        They do not result in a chunk.
    """
    size = dataset.chunk_bytes
    data = stored
    for codec in reversed(_codecs(dataset, remaining_filters(dataset, mask))):
        data = _decode(codec, data, size + size // 8 + _GROWTH, dataset.path)
    if len(data) != size:
        raise MalformedFileError(f"{dataset.path}: a chunk of {len(data)} bytes where {size} are expected")
    return data


def encode_chunk(dataset: Dataset, plain: bytes, mask: int) -> bytes | None:
    """A chunk as some of the filters encode it; None where that cannot be done.

    Parameters
    ----------
    plain
        The elements as the file has them before filters.
    mask
        The filters that are left out.
    """
    codecs = _codecs(dataset, remaining_filters(dataset, mask))
    data: Any = plain
    try:
        for codec in codecs:
            data = bytes(memoryview(np.ascontiguousarray(_numcodec(codec).encode(data)).view("u1")))
        encoded = bytes(data)
        return encoded if decode_chunk(dataset, encoded, mask) == plain else None
    except (NotImplementedError, ValueError, RuntimeError, TypeError, MalformedFileError):
        return None


def remaining_filters(dataset: Dataset, mask: int) -> tuple[Filter, ...]:
    """The filters that chunks of a mask went through: it has a bit for each that was skipped."""
    return tuple(item for bit, item in enumerate(dataset.filters) if not mask >> bit & 1)


def _codecs(dataset: Dataset, filters: tuple[Filter, ...]) -> tuple[Codec, ...]:
    chain = codec_chain(filters, dataset.element, dataset.chunk_bytes, dataset.ndim)
    if chain.replaces_bytes:
        raise UnsupportedFeatureError("image codec of values that have to be copied", dataset.path)
    return chain.codecs


def _decode(codec: Codec, data: bytes, most: int, path: str) -> bytes:
    """What a codec decodes, of at most as many bytes as a chunk can have."""
    announced = _announced_bytes(codec.name, data)
    if announced > most:
        raise MalformedFileError(f"{path}: a chunk of {announced} bytes by {codec.name} where {most} are possible")
    try:
        if codec.name == "numcodecs.zlib":
            return zlib.decompressobj().decompress(data, most)
        if codec.name == "numcodecs.bz2":
            return bz2.BZ2Decompressor().decompress(data, most)
        return bytes(memoryview(np.ascontiguousarray(_numcodec(codec).decode(data)).view("u1")))
    except (ValueError, RuntimeError, TypeError, OSError, OverflowError, zlib.error) as error:
        raise MalformedFileError(f"{path}: a chunk that {codec.name} does not decode: {first_line(error)}") from error


def _announced_bytes(name: str, data: bytes) -> int:
    """How many bytes there are behind a filter by what its data begins with; 0 where that does not say."""
    if name == "imagecodecs_szip":
        return int.from_bytes(data[:4], "little")
    if name in ("blosc", "imagecodecs_blosc"):
        return int.from_bytes(data[4:8], "little")
    if name == "imagecodecs_lz4h5":
        return int.from_bytes(data[:8], "big")
    return _zstd_bytes(data) if name == "zstd" else 0


def _zstd_bytes(data: bytes) -> int:
    """The content size of a frame of Zstandard (RFC 8878, section 3.1.1.1)."""
    descriptor = data[4] if len(data) > 4 else 0
    single, width = bool(descriptor & 0x20), (0, 2, 4, 8)[descriptor >> 6]
    width = width or single
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)


def _numcodec(codec: Codec) -> Any:
    return numcodecs.get_codec(numcodecs_configuration(codec))
