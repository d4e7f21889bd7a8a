"""Codec pipelines of Zarr v3 as ``filters``, ``compressor`` and ``order`` of Zarr v2, and back.

Version 2 has no transpose codec. A full reversal of the dimensions is ``order: "F"``; a rotation (pixels interleaved by
band, read as planes) is the byte transpose that numcodecs calls ``shuffle``. Other permutations are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from manifestry.errors import UnsupportedFeatureError
from manifestry.model.metadata import ArrayMetadata, Codec
from manifestry.zarr_v2 import imagecodecs
from manifestry.zarr_v2.chains import CHAIN, chain_from_v2, chain_steps, elements_fit, stored_order
from manifestry.zarr_v2.imagecodecs import ChunkForm, imagecodec_from_v2, imagecodec_to_v2

__all__ = ["PipelineV2", "bytes_codec", "pipeline_from_v2", "pipeline_to_v2"]

_BLOSC_SHUFFLE: Final = ("noshuffle", "shuffle", "bitshuffle")
_ARRAY_FILTERS: Final = frozenset({"delta", "bitround", "fixedscaleoffset", "quantize", "packbits", "astype"})
_BYTE_CODECS: Final = frozenset(
    {"zlib", "gzip", "bz2", "lzma", "blosc", "zstd", "lz4", "shuffle", "fletcher32", "crc32", "crc32c", "adler32"}
    | {"jenkins_lookup3"}
)
_ARRAY_TO_BYTES: Final = frozenset({"pcodec", "zfpy"})
_OBJECTS: Final = frozenset({"vlen-utf8", "vlen-bytes"})
_OWN: Final = "manifestry."
_OWN_FILTERS: Final = frozenset({"manifestry.sequences"})
_HINT: Final = "write zarr_format=3 or an Icechunk store"


@dataclass(frozen=True, slots=True)
class PipelineV2:
    """The codecs of a ``.zarray``.

    Attributes
    ----------
    filters
        numcodecs configurations in the order of encoding.
    compressor
        The last step, or None.
    order
        ``"C"`` or ``"F"``: order of the elements of a chunk.
    byteorder
        ``"<"`` or ``">"``: how elements are stored.
    """

    filters: tuple[dict[str, Any], ...] = ()
    compressor: dict[str, Any] | None = None
    order: str = "C"
    byteorder: str = "<"


@dataclass(slots=True)
class _Builder:
    """A Zarr v3 pipeline on its way to version 2, codec by codec."""

    metadata: ArrayMetadata
    where: str
    shape: tuple[int, ...] = ()
    order: str = "C"
    byteorder: str = "<"
    arrays: list[dict[str, Any]] = field(default_factory=list)
    bytes: list[dict[str, Any]] = field(default_factory=list)
    in_bytes: bool = False

    def refuse(self, feature: str, hint: str = _HINT) -> UnsupportedFeatureError:
        return UnsupportedFeatureError(f"{feature} in Zarr v2", self.where, hint)

    def form(self) -> ChunkForm:
        dtype = self.metadata.dtype
        return ChunkForm(self.shape, dtype.newbyteorder(self.byteorder).str)  # type: ignore[arg-type]

    def add(self, codec: Codec) -> None:
        name = codec.name
        configuration = dict(codec.configuration)
        if name == "transpose":
            self.transpose(tuple(int(axis) for axis in configuration["order"]))
        elif name == "bytes":
            self.in_bytes = True
        elif name.startswith(imagecodecs.PREFIX):
            self.imagecodec(name, configuration)
        else:
            translated = _codec_to_v2(name, configuration, self.metadata.dtype)
            if translated is None:
                raise self.refuse(f"codec {name}")
            self.place(translated)

    def place(self, codec: dict[str, Any]) -> None:
        name = codec["id"]
        if self.in_bytes:
            self.bytes.append(codec)
            return
        if name in _ARRAY_FILTERS and self.byteorder == ">":
            raise self.refuse(f"codec {name} of big-endian elements")
        self.in_bytes = name not in _ARRAY_FILTERS | _OWN_FILTERS
        serialises = self.in_bytes and (name in _ARRAY_TO_BYTES or name.startswith(_OWN))
        (self.bytes if serialises else self.arrays).append(codec)  # readers look for object codecs among the filters

    def imagecodec(self, name: str, configuration: dict[str, Any]) -> None:
        codec = imagecodec_to_v2(name, configuration, self.form())
        if codec is None:
            raise self.refuse(f"codec {name}")
        array_to_bytes = imagecodecs.makes_bytes_of_arrays(name)
        if array_to_bytes and self.in_bytes:
            raise self.refuse(f"codec {name} after bytes")
        self.in_bytes = self.in_bytes or array_to_bytes
        (self.bytes if self.in_bytes else self.arrays).append(codec)

    def transpose(self, order: tuple[int, ...]) -> None:
        shape = self.shape
        self.shape = tuple(shape[axis] for axis in order)
        moved = [axis for axis in order if shape[axis] != 1]  # axes of length 1 change no address
        if moved == sorted(moved):
            return
        if moved == sorted(moved, reverse=True) and not self.arrays and self.order == "C":
            self.order = "F"
            return
        turn = _rotation(moved)
        itemsize = self.metadata.dtype.itemsize
        if turn is None or itemsize not in (1, 2, 4, 8) or self.order == "F":
            raise self.refuse(f"codec transpose to {list(order)}")
        rows = math.prod(shape[axis] for axis in moved[: len(moved) - turn])
        columns = math.prod(shape) // rows
        if itemsize > 1:  # bring the bytes of an element together again, in each plane
            planes = {"id": "imagecodecs_byteshuffle", "shape": [columns, rows], "dtype": f"<u{itemsize}"}
            self.arrays.append({**planes, "axis": -1, "dist": 1, "delta": False, "reorder": False})
        self.arrays.append({"id": "shuffle", "elementsize": rows})


def _rotation(axes: Sequence[int]) -> int | None:
    """By how many places sorted axes were rotated to the left, or None when they were not."""
    inner = sorted(axes)
    return next((k for k in range(1, len(inner)) if [*inner[k:], *inner[:k]] == list(axes)), None)


def pipeline_to_v2(metadata: ArrayMetadata, where: str = "") -> PipelineV2:
    """The codecs of an array as version 2 has them.

    Parameters
    ----------
    where
        Path of the array, for errors.

    Raises
    ------
    UnsupportedFeatureError
        A codec, or its place in the pipeline, has no exact form; names the codec.
    """
    if metadata.codecs and metadata.codecs[-1].name == CHAIN:
        return _chain_to_v2(metadata, where)
    builder = _Builder(metadata, where, metadata.chunk_shape)
    endian = next((c.configuration.get("endian") for c in metadata.codecs if c.name == "bytes"), None)
    builder.byteorder = ">" if endian == "big" else "<"
    for codec in metadata.codecs:
        builder.add(codec)
    # GDAL and Kerchunk.jl read a compressor, but not one that stands among the filters.
    compressor = builder.bytes.pop() if builder.bytes else None
    return PipelineV2((*builder.arrays, *builder.bytes), compressor, builder.order, builder.byteorder)


def _chain_to_v2(metadata: ArrayMetadata, where: str) -> PipelineV2:
    """The chain of version 2 that the last codec carries; of the codecs before it only ``order`` can be."""
    chain = metadata.codecs[-1]
    builder = _Builder(metadata, where, metadata.chunk_shape)
    for codec in metadata.codecs[:-1]:
        if codec.name != "transpose":
            raise builder.refuse(f"codec {codec.name} before {CHAIN}")
        builder.add(codec)
    if builder.arrays:
        raise builder.refuse(f"codec transpose before {CHAIN}")
    filters, compressor = chain_steps(chain)
    return PipelineV2(tuple(filters), compressor, builder.order, stored_order(chain))


def _codec_to_v2(name: str, configuration: dict[str, Any], dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """A codec that is neither transpose, bytes nor of imagecodecs as a numcodecs configuration."""
    match name:
        case "gzip" | "zstd":
            return {"id": name, **{k: v for k, v in configuration.items() if k != "checksum" or v}}
        case "crc32c" | "vlen-utf8" | "vlen-bytes":
            return {"id": name}
        case "blosc":
            plain = {k: v for k, v in configuration.items() if k != "typesize"}
            if isinstance(plain.get("shuffle"), str):
                plain["shuffle"] = _BLOSC_SHUFFLE.index(plain["shuffle"])
            return {"id": "blosc", **plain}
        case "numcodecs.shuffle":
            return {"id": "shuffle", "elementsize": dtype.itemsize, **configuration}
    short = name.removeprefix("numcodecs.")
    if short != name and short in _ARRAY_FILTERS | _BYTE_CODECS | _ARRAY_TO_BYTES:
        return {"id": short, **configuration}
    if name.startswith(_OWN):  # registered under one name in both
        return {"id": name, **configuration}
    return None


def bytes_codec(dtype: np.dtype[Any], byteorder: str) -> Codec:
    """The ``bytes`` codec of a fixed-size type stored in a byte order; types without one get no ``endian``."""
    if dtype.fields is None and (dtype.itemsize == 1 or dtype.kind in "SV"):
        return Codec("bytes")
    return Codec("bytes", {"endian": "big" if byteorder == ">" else "little"})


def pipeline_from_v2(
    document: Mapping[str, Any], dtype: np.dtype[Any], byteorder: str, where: str = ""
) -> tuple[Codec, ...]:
    """The Zarr v3 codecs of a ``.zarray``.

    Raises
    ------
    UnsupportedFeatureError
        A codec has no form in version 3, or stands where none can.
    """
    compressor = document.get("compressor")
    steps = [*(document.get("filters") or ()), *(() if compressor is None else [compressor])]
    chunks = tuple(int(n) for n in document["chunks"])
    if not all(_has_name(step, byteorder) for step in steps) or not elements_fit(steps, dtype):
        turned = document.get("order", "C") == "F" and len(chunks) > 1
        turn = [Codec("transpose", {"order": list(range(len(chunks)))[::-1]})] if turned else []
        return (*turn, chain_from_v2(document, where))
    codecs: list[Codec] = []
    axes, used = _stored_axes(document, steps, chunks, dtype.itemsize)
    steps = steps[used:]
    order = _with_unit_axes(axes, chunks, next((step["shape"] for step in steps if "shape" in step), None), where)
    if order != list(range(len(chunks))):
        codecs.append(Codec("transpose", {"order": order}))
    serialised = False
    for step in steps:
        codec, kind = _codec_from_v2(step, dtype, where)
        if serialised and kind != "bytes":
            raise UnsupportedFeatureError(f"filter {step['id']} of arrays after one of bytes", where)
        if kind == "bytes" and not serialised:
            codecs.append(bytes_codec(dtype, byteorder))
        serialised = serialised or kind != "array"
        codecs.append(codec)
    if not serialised:
        codecs.append(bytes_codec(dtype, byteorder))
    return tuple(codecs)


def _stored_axes(
    document: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], chunks: tuple[int, ...], itemsize: int
) -> tuple[list[int], int]:
    """The axes in the order in which a chunk is stored, and how many of the first filters say so."""
    axes = list(range(len(chunks)))
    if document.get("order", "C") == "F":
        return axes[::-1], 0
    used = 1 if itemsize == 1 else 2
    turn = _turn(steps[:used], chunks, itemsize) if len(steps) >= used else None
    return (axes, 0) if turn is None else ([*axes[turn:], *axes[:turn]], used)


def _turn(steps: Sequence[Mapping[str, Any]], chunks: tuple[int, ...], itemsize: int) -> int | None:
    """By how many places the filters rotate the axes to the left (see `_Builder.transpose`), if that is what they do."""
    if steps[-1].get("id") != "shuffle":
        return None
    rows, size = int(steps[-1].get("elementsize", 4)), math.prod(chunks)
    if rows < 2 or size % rows or (itemsize == 1 and rows == size):
        return None
    if itemsize > 1 and (
        steps[0].get("id") != "imagecodecs_byteshuffle"
        or list(steps[0].get("shape", ())) != [size // rows, rows]
        or steps[0].get("dtype") != f"<u{itemsize}"
        or any(steps[0].get(option) for option in ("delta", "reorder"))
    ):
        return None
    return next((k for k in range(1, len(chunks)) if math.prod(chunks[k:]) == rows), None)


def _with_unit_axes(axes: list[int], chunks: tuple[int, ...], shape: Sequence[int] | None, where: str) -> list[int]:
    """The axes as a codec that counts them has them: those of one element change no address, and may stand anywhere."""
    if shape is None:
        return axes
    moved = iter([axis for axis in axes if chunks[axis] != 1])
    units = iter([axis for axis in axes if chunks[axis] == 1])
    order = [next(units if length == 1 else moved, -1) for length in shape]
    if sorted(order) != list(range(len(chunks))) or [chunks[axis] for axis in order] != list(shape):
        raise UnsupportedFeatureError(f"a filter of chunks of shape {list(shape)}", where, f"the array's are {chunks}")
    return order


def _codec_from_v2(step: Mapping[str, Any], dtype: np.dtype[Any], where: str) -> tuple[Codec, str]:
    """A codec, and whether it works on ``"array"``, makes bytes of arrays (``"both"``), or works on ``"bytes"``."""
    name = str(step.get("id", ""))
    options = {k: v for k, v in step.items() if k != "id"}
    if name in _OBJECTS:
        return Codec(name), "both"
    if name.startswith(imagecodecs.PREFIX):
        full, configuration, array_to_array = imagecodec_from_v2(dict(step))
        kind = "array" if array_to_array else "both" if imagecodecs.makes_bytes_of_arrays(full) else "bytes"
        return Codec(full, configuration), kind
    if name.startswith(_OWN):
        return Codec(name, options), _own_kind(name, where)
    if name in _ARRAY_FILTERS | _ARRAY_TO_BYTES:
        return Codec(f"numcodecs.{name}", options), "array" if name in _ARRAY_FILTERS else "both"
    return _byte_codec_from_v2(name, options, dtype), "bytes"


def _has_name(step: Mapping[str, Any], byteorder: str) -> bool:
    """Whether Zarr v3 has a name for a codec; those of numbers it has for native byte order alone."""
    name = str(step.get("id", ""))
    if name in _ARRAY_FILTERS | _ARRAY_TO_BYTES:
        options = ("dtype", "astype", "encode_dtype", "decode_dtype")
        return byteorder != ">" and not any(str(step.get(key, "")).startswith(">") for key in options)
    return name.startswith((imagecodecs.PREFIX, _OWN)) or name in _OBJECTS | _BYTE_CODECS


def _own_kind(name: str, where: str) -> str:
    """Whether one of our codecs works on arrays, makes bytes of them, or works on bytes: most know only themselves."""
    if name in _OWN_FILTERS:
        return "array"
    from zarr.abc.codec import ArrayBytesCodec  # noqa: PLC0415 zarr is slow to import, and few stores need this
    from zarr.registry import get_codec_class  # noqa: PLC0415 as above

    try:
        codec = get_codec_class(name)
    except KeyError as error:
        raise UnsupportedFeatureError(f"codec {name}", where, "pip install manifestry-codecs") from error
    return "both" if issubclass(codec, ArrayBytesCodec) else "bytes"


def _byte_codec_from_v2(name: str, options: dict[str, Any], dtype: np.dtype[Any]) -> Codec:
    match name:
        case "gzip":
            return Codec("gzip", {"level": options.get("level", 1)})
        case "zstd":
            return Codec("zstd", {"level": options.get("level", 0), "checksum": options.get("checksum", False)})
        case "shuffle":
            width = options.get("elementsize", 4)  # Zarr v3 would take that of the array
            if isinstance(width, bool) or not isinstance(width, int) or width < 1:
                raise ValueError(f"shuffle of elements of {width!r} bytes")
            return Codec("numcodecs.shuffle", {"elementsize": width})
        case "crc32c" if options.get("location", "end") == "end":
            return Codec("crc32c")
        case "blosc":
            itemsize = max(1, dtype.itemsize)
            shuffle = int(options.get("shuffle", 1))
            if shuffle < 0:  # numcodecs chooses when encoding; decoding does not depend on it
                shuffle = 2 if itemsize == 1 else 1
            return Codec(
                "blosc",
                {
                    "typesize": itemsize,
                    "cname": options.get("cname", "lz4"),
                    "clevel": options.get("clevel", 5),
                    "shuffle": _BLOSC_SHUFFLE[shuffle],
                    "blocksize": options.get("blocksize", 0),
                },
            )
    return Codec(f"numcodecs.{name}", options)
