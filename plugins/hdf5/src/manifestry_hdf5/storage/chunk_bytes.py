"""The bytes of chunks behind their filters, and through them again: for the few that are copied."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numcodecs
import numpy as np
from manifestry.plugin import Codec, MalformedFileError, UnsupportedFeatureError, first_line

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.filters import Filter, codec_chain, numcodecs_configuration

__all__ = ["decode_chunk", "encode_chunk"]


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
    size = _chunk_bytes(dataset)
    data = stored
    for codec in reversed(_codecs(dataset, _remaining(dataset.filters, mask))):
        data = _decode(codec, data, size + 4 * len(dataset.filters), dataset.path)
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
    codecs = _codecs(dataset, _remaining(dataset.filters, mask))
    data: Any = plain
    try:
        for codec in codecs:
            data = bytes(memoryview(np.ascontiguousarray(_numcodec(codec).encode(data)).view("u1")))
        encoded = bytes(data)
        return encoded if decode_chunk(dataset, encoded, mask) == plain else None
    except (NotImplementedError, ValueError, RuntimeError, TypeError, MalformedFileError):
        return None


def _remaining(filters: Sequence[Filter], mask: int) -> tuple[Filter, ...]:
    return tuple(item for bit, item in enumerate(filters) if not mask >> bit & 1)


def _chunk_bytes(dataset: Dataset) -> int:
    assert dataset.chunk_shape is not None
    return math.prod(dataset.chunk_shape) * dataset.stored_itemsize


def _codecs(dataset: Dataset, filters: tuple[Filter, ...]) -> tuple[Codec, ...]:
    assert dataset.chunk_shape is not None
    ndim = len(dataset.chunk_shape) + len(dataset.element.shape)
    chain = codec_chain(filters, dataset.element, _chunk_bytes(dataset), ndim)
    if chain.replaces_bytes:
        raise UnsupportedFeatureError("image codec of values that have to be copied", dataset.path)
    return chain.codecs


def _decode(codec: Codec, data: bytes, most: int, path: str) -> bytes:
    """What a codec decodes, of at most as many bytes as a chunk can have."""
    try:
        if codec.name == "numcodecs.zlib":
            return zlib.decompressobj().decompress(data, most)
        return bytes(memoryview(np.ascontiguousarray(_numcodec(codec).decode(data)).view("u1")))
    except (ValueError, RuntimeError, TypeError, zlib.error) as error:
        raise MalformedFileError(f"{path}: a chunk that {codec.name} does not decode: {first_line(error)}") from error


def _numcodec(codec: Codec) -> Any:
    return numcodecs.get_codec(numcodecs_configuration(codec))
