"""Codec pipelines of Zarr v3 as ``filters``, ``compressor`` and ``order`` of Zarr v2, and back.

Version 2 has no transpose codec. A full reversal of the dimensions is ``order: "F"``; a rotation (pixels interleaved by
band, read as planes) is the byte transpose that numcodecs calls ``shuffle``. Other permutations are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from manifestry.errors import UnsupportedFeatureError
from manifestry.model.codecs import (
    CHAIN,
    IMAGECODECS,
    Codec,
    CodecEntry,
    CodecKind,
    codec_entry,
    codec_of_v2,
    serializer,
)
from manifestry.model.metadata import ArrayMetadata
from manifestry.zarr_documents.numcodecs_chain import chain_from_v2, chain_steps, elements_fit, stored_order

__all__ = ["PipelineV2", "pipeline_from_v2", "pipeline_to_v2"]

_BLOSC_SHUFFLE: Final = ("noshuffle", "shuffle", "bitshuffle")
_OWN: Final = "manifestry."
_READER_ONLY: Final = frozenset({"numthreads"})
"""Options of imagecodecs that change no value and that numcodecs does not know for every codec."""
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


@dataclass(slots=True, kw_only=True)
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

    def v2_option(self, option: str) -> Any:
        """The value of an option that a codec at this place has in version 2 only: shape or type of its chunk."""
        match option:
            case "shape":
                return list(self.shape)
            case "height":
                return math.prod(self.shape[:-1])
            case "width":
                return self.shape[-1]
        return self.metadata.dtype.newbyteorder(self.byteorder).str  # type: ignore[arg-type]

    def add(self, codec: Codec) -> None:
        name = codec.name
        configuration = dict(codec.configuration)
        if name == "transpose":
            self.transpose(tuple(int(axis) for axis in configuration["order"]))
        elif name == "bytes":
            self.in_bytes = True
        else:
            entry = codec_entry(name)
            if entry is None or not entry.zarr_v2 or ("height" in entry.v2_options and not self.shape):
                raise self.refuse(f"codec {name}")
            more: dict[str, Any] = {option: self.v2_option(option) for option in sorted(entry.v2_options)}
            self.place(entry, {**_configuration_to_v2(entry, configuration, self.metadata.dtype), **more})

    def place(self, entry: CodecEntry, codec: dict[str, Any]) -> None:
        if entry.kind is CodecKind.ARRAY_TO_BYTES and self.in_bytes:
            raise self.refuse(f"codec {entry.name} after bytes")
        if entry.kind is CodecKind.ARRAY_TO_ARRAY and entry.native_order_only and self.byteorder == ">":
            raise self.refuse(f"codec {entry.name} of big-endian elements")
        of_objects = entry.name.startswith("vlen-")  # readers look for them among the filters
        self.in_bytes = self.in_bytes or entry.kind is not CodecKind.ARRAY_TO_ARRAY
        (self.bytes if self.in_bytes and not of_objects else self.arrays).append(codec)

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
    builder = _Builder(metadata=metadata, where=where, shape=metadata.chunk_shape)
    endian = next((c.configuration.get("endian") for c in metadata.codecs if c.name == "bytes"), None)
    builder.byteorder = ">" if endian == "big" else "<"
    for codec in metadata.codecs:
        builder.add(codec)
    # GDAL and Kerchunk.jl read a compressor, but not one among the filters.
    compressor = builder.bytes.pop() if builder.bytes else None
    return PipelineV2((*builder.arrays, *builder.bytes), compressor, builder.order, builder.byteorder)


def _chain_to_v2(metadata: ArrayMetadata, where: str) -> PipelineV2:
    """The chain of version 2 that the last codec carries; of the codecs before it only ``order`` can be."""
    chain = metadata.codecs[-1]
    builder = _Builder(metadata=metadata, where=where, shape=metadata.chunk_shape)
    for codec in metadata.codecs[:-1]:
        if codec.name != "transpose":
            raise builder.refuse(f"codec {codec.name} before {CHAIN}")
        builder.add(codec)
    if builder.arrays:
        raise builder.refuse(f"codec transpose before {CHAIN}")
    filters, compressor = chain_steps(chain)
    return PipelineV2(tuple(filters), compressor, builder.order, stored_order(chain))


def _configuration_to_v2(entry: CodecEntry, configuration: dict[str, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """The numcodecs configuration of a codec that has one."""
    match entry.name:
        case "gzip" | "zstd":
            configuration = {key: value for key, value in configuration.items() if key != "checksum" or value}
        case "crc32c" | "vlen-utf8" | "vlen-bytes":
            configuration = {}
        case "blosc":
            configuration = {key: value for key, value in configuration.items() if key != "typesize"}
            if configuration.get("shuffle") in _BLOSC_SHUFFLE:
                configuration["shuffle"] = _BLOSC_SHUFFLE.index(configuration["shuffle"])
        case "numcodecs.shuffle":
            configuration = {"elementsize": dtype.itemsize, **configuration}
        case name if name.startswith(IMAGECODECS):
            configuration = {key: value for key, value in configuration.items() if key not in _READER_ONLY}
    return {"id": entry.zarr_v2, **configuration}


def pipeline_from_v2(
    document: Mapping[str, Any], dtype: np.dtype[Any], byteorder: str, where: str = ""
) -> tuple[Codec, ...]:
    """The Zarr v3 codecs of a ``.zarray``.

    Raises
    ------
    UnsupportedFeatureError
        A codec has no form in version 3, or is where none can be.
    """
    document = _with_element_sizes(document, dtype, where)
    compressor = document.get("compressor")
    steps = [*(document.get("filters") or ()), *(() if compressor is None else [compressor])]
    chunks = tuple(int(n) for n in document["chunks"])
    if not all(_has_name(step, byteorder) for step in steps) or not elements_fit(steps, dtype):
        turned = document.get("order", "C") == "F" and len(chunks) > 1
        turn = [Codec("transpose", {"order": list(range(len(chunks)))[::-1]})] if turned else []
        return (*turn, chain_from_v2(document, where))
    codecs: list[Codec] = []
    endian: Literal["little", "big"] = "big" if byteorder == ">" else "little"
    axes, used = _stored_axes(document, steps, chunks, dtype.itemsize)
    steps = steps[used:]
    order = _with_unit_axes(axes, chunks, next((step["shape"] for step in steps if "shape" in step), None), where)
    if order != list(range(len(chunks))):
        codecs.append(Codec("transpose", {"order": order}))
    serialised = False
    for step in steps:
        codec, kind = _codec_from_v2(step, dtype, where)
        if serialised and kind is not CodecKind.BYTES_TO_BYTES:
            raise UnsupportedFeatureError(f"filter {step['id']} of arrays after one of bytes", where)
        if kind is CodecKind.BYTES_TO_BYTES and not serialised:
            codecs.append(serializer(dtype, endian))
        serialised = serialised or kind is not CodecKind.ARRAY_TO_ARRAY
        codecs.append(codec)
    if not serialised:
        codecs.append(serializer(dtype, endian))
    return tuple(codecs)


def _with_element_sizes(document: Mapping[str, Any], dtype: np.dtype[Any], where: str) -> Mapping[str, Any]:
    """A ``.zarray`` in which ``shuffle`` of netCDF-C says what it shuffles: 0 are the elements of the array.

    Raises
    ------
    UnsupportedFeatureError
        A filter before it may change the elements.
    """
    filters = list(document.get("filters") or ())
    for place, step in enumerate(filters):
        if step.get("id") != "shuffle" or step.get("elementsize", 4) != 0 or step["elementsize"] is False:
            continue
        if any(earlier.get("id") not in ("shuffle", "fletcher32") for earlier in filters[:place]):
            raise UnsupportedFeatureError("shuffle of elements of 0 bytes behind another filter", where)
        filters[place] = {**step, "elementsize": dtype.itemsize}
    return {**document, "filters": filters or None}


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
    """The axes as a codec that counts them has them: those of one element change no address, and may be anywhere."""
    if shape is None:
        return axes
    moved = iter([axis for axis in axes if chunks[axis] != 1])
    units = iter([axis for axis in axes if chunks[axis] == 1])
    order = [next(units if length == 1 else moved, -1) for length in shape]
    if sorted(order) != list(range(len(chunks))) or [chunks[axis] for axis in order] != list(shape):
        raise UnsupportedFeatureError(f"a filter of chunks of shape {list(shape)}", where, f"the array's are {chunks}")
    return order


def _codec_from_v2(step: Mapping[str, Any], dtype: np.dtype[Any], where: str) -> tuple[Codec, CodecKind]:
    """A codec and its kind."""
    name = str(step.get("id", ""))
    entry = codec_of_v2(name)
    if entry is None:
        raise UnsupportedFeatureError(f"codec {name}", where, "update manifestry and manifestry-codecs")
    options = {key: value for key, value in step.items() if key != "id"}
    if name.startswith(IMAGECODECS):
        dropped = {"squeeze", *entry.v2_options}
        plain = {key: value for key, value in options.items() if key not in dropped and value is not None}
        return Codec(entry.name, plain), entry.kind
    if entry.kind is CodecKind.BYTES_TO_BYTES and not name.startswith(_OWN):
        return _byte_codec_from_v2(name, options, dtype), entry.kind
    return Codec(entry.name, options), entry.kind


def _has_name(step: Mapping[str, Any], byteorder: str) -> bool:
    """Whether Zarr v3 has a name for a codec; those of numbers it has for native byte order alone."""
    name = str(step.get("id", ""))
    entry = codec_of_v2(name)
    if entry is None:
        return name.startswith((IMAGECODECS, _OWN))
    if entry.native_order_only:
        types = (str(step.get(option, "")) for option in (entry.decoded_option, entry.encoded_option))
        return byteorder != ">" and not any(dtype.startswith(">") for dtype in types)
    return True


def _byte_codec_from_v2(name: str, options: dict[str, Any], dtype: np.dtype[Any]) -> Codec:
    match name:
        case "gzip":
            return Codec("gzip", {"level": options.get("level", 1)})
        case "zstd":
            return Codec("zstd", {"level": options.get("level", 0), "checksum": options.get("checksum", False)})
        case "shuffle":
            width = options.get("elementsize", 4)  # Zarr v3 would take that of the array
            if isinstance(width, bool) or not isinstance(width, int) or width < 1:
                raise ValueError(f"elementsize {width!r} of shuffle must be a whole number of at least 1")
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
