"""The codecs of imagecodecs in Zarr v2.

PyPI ``imagecodecs-zarr`` (v3) and ``imagecodecs-numcodecs`` (v2) have one name and one set of options for each codec,
but a numcodecs codec is not told what Zarr v3 tells its codecs: shape, data type and byte order of the chunk. Where the
numcodecs class has parameters for these, they are filled in here; codecs that are not listed have no exact form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["PREFIX", "ChunkForm", "imagecodec_from_v2", "imagecodec_to_v2"]

PREFIX: Final = "imagecodecs_"

_BYTES: Final = frozenset(
    {"aec", "blosc", "blosc2", "brotli", "bz2", "checksum", "deflate", "isal", "lz4", "lz4f", "lz4h5", "lzf", "lzfse"}
    | {"lzham", "lzma", "lzo", "lzw", "packbits", "pglz", "snappy", "szip", "zlib", "zlibng", "zopfli", "zstd", "zstd1"}
)
"""Bytes to bytes, the same options in both."""

_IMAGES: Final = frozenset(
    {"avif", "htj2k", "jpeg", "jpeg2k", "jpegls", "jpegxl", "jpegxr", "lerc", "ljpeg", "png", "qoi", "spng", "webp"}
    | {"bfloat16", "float24"}
)
"""Bytes to elements of a shape of their own; Zarr reshapes them to the chunk in both versions."""

_SHAPED: Final = frozenset({"byteshuffle", "delta", "floatpred", "xor"})
"""Arrays of the shape and data type that numcodecs has to be told."""

_ARRAY_TO_ARRAY: Final = frozenset({"delta", "xor"})

_READER_ONLY: Final = frozenset({"numthreads"})
"""Options that change no value and that numcodecs does not know for every codec."""


@dataclass(frozen=True, slots=True)
class ChunkForm:
    """What a codec of the pipeline works on.

    Attributes
    ----------
    shape
        Elements of the chunk along each dimension, where the codec stands.
    dtype
        numpy's text for the data type with its stored byte order, for example ``"<f4"``.
    """

    shape: tuple[int, ...]
    dtype: str


def imagecodec_to_v2(name: str, configuration: dict[str, Any], form: ChunkForm) -> dict[str, Any] | None:
    """The numcodecs configuration of a codec, or None when it has no exact form.

    Parameters
    ----------
    name
        Full name, for example ``"imagecodecs_lzw"``.
    """
    short = name.removeprefix(PREFIX)
    plain = {k: v for k, v in configuration.items() if k not in _READER_ONLY}
    if short in _BYTES or short in _IMAGES:
        return {"id": name, **plain}
    if short in _SHAPED:
        return {"id": name, **plain, "shape": list(form.shape), "dtype": form.dtype}
    if short == "packints":
        return {"id": name, **plain, "dtype": form.dtype}
    if short.startswith("ccitt") and form.shape:
        return {"id": name, **plain, "height": math.prod(form.shape[:-1]), "width": form.shape[-1]}
    return None


def imagecodec_from_v2(codec: dict[str, Any]) -> tuple[str, dict[str, Any], bool]:
    """Name, Zarr v3 configuration, and whether the codec makes arrays of arrays."""
    name = codec["id"]
    short = name.removeprefix(PREFIX)
    told = {"id", "squeeze"}
    if short in _SHAPED or short == "packints":
        told |= {"shape", "dtype"}
    if short.startswith("ccitt"):
        told |= {"height", "width"}
    return name, {k: v for k, v in codec.items() if k not in told and v is not None}, short in _ARRAY_TO_ARRAY


def makes_bytes_of_arrays(name: str) -> bool:
    """Whether a codec of imagecodecs stands where Zarr v3 has its ``bytes`` codec."""
    short = name.removeprefix(PREFIX)
    return short not in _BYTES and short not in _ARRAY_TO_ARRAY
