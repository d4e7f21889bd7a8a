"""Samples of codecs, by family: what readers decode with zarr and numcodecs alone, and with `manifestry-codecs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from manifestry.model.codecs import Codec, serializer
from manifestry.testing.building import TreeBuilder

__all__ = ["CODEC_SAMPLES"]

_LITTLE: Final = serializer(np.dtype("f8"))
_NUMBERS: Final = np.arange(100, dtype="i4") * 37 % 1000 - 300


def _compressors(b: TreeBuilder) -> None:
    """Every compressor that zarr-python and numcodecs have, over ragged chunks."""
    blosc = {"typesize": 4, "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0}
    for name, codec in {
        "zstd": Codec("zstd", {"level": 3, "checksum": False}),
        "blosc": Codec("blosc", blosc),
        "lz4": Codec("numcodecs.lz4", {"acceleration": 1}),
        "bz2": Codec("numcodecs.bz2", {"level": 1}),
        "lzma": Codec("numcodecs.lzma", {"format": 1, "check": -1, "preset": None, "filters": None}),
    }.items():
        b.array(name, _NUMBERS, (32,), codecs=(_LITTLE, codec), dims=("n",), missing=[(1,)], fill=-7)


def _checksums(b: TreeBuilder) -> None:
    """Checksums behind the data, alone and behind a compressor, as HDF5 has them."""
    deflate, fletcher = Codec("numcodecs.zlib", {"level": 1}), Codec("numcodecs.fletcher32")
    b.array("plain", _NUMBERS, (32,), codecs=(_LITTLE, fletcher), dims=("n",))
    b.array("deflated", _NUMBERS, (32,), codecs=(_LITTLE, deflate, fletcher), dims=("n",), missing=[(0,)])
    b.array("castagnoli", _NUMBERS, (32,), codecs=(_LITTLE, Codec("crc32c")), dims=("n",))


def _array_filters(b: TreeBuilder) -> None:
    """Filters of numbers before the bytes are made."""
    delta = Codec("numcodecs.delta", {"dtype": "<i4", "astype": "<i4"})
    scale = {"offset": 10.0, "scale": 4.0, "dtype": "<f8", "astype": "<i2"}
    b.array("differences", _NUMBERS, (32,), codecs=(delta, _LITTLE, Codec("numcodecs.zlib", {"level": 1})), dims=("n",))
    b.array("scaled", _NUMBERS / 4, (25,), codecs=(Codec("numcodecs.fixedscaleoffset", scale), _LITTLE), dims=("n",))


def _carried(b: TreeBuilder) -> None:
    """Chains of Zarr v2 that Zarr v3 has no names for, carried as they are."""
    differences = {"id": "delta", "dtype": ">i4", "astype": ">i4"}
    text: dict[str, Any] = {"filters": [{"id": "base64"}], "compressor": None, "dtype": "<f8"}
    chain = {"filters": [differences], "compressor": {"id": "zlib", "level": 1}, "dtype": ">i4"}
    b.array("big-endian differences", _NUMBERS, (32,), codecs=(Codec("manifestry.numcodecs", chain),), dims=("n",))
    b.array("text", _NUMBERS * 0.5, (50,), codecs=(Codec("manifestry.numcodecs", text),), dims=("n",), missing=[(1,)])


CODEC_SAMPLES: Final[Mapping[str, Callable[[TreeBuilder], None]]] = {
    "compressors": _compressors,
    "checksums": _checksums,
    "array-filters": _array_filters,
    "carried": _carried,
}
"""The samples by name; each says in its docstring what it shows."""
