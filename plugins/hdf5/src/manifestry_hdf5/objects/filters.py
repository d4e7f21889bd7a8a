"""Filter pipeline message → codecs (HDF5 File Format Specification, section IV.A.2.l).

HDF5 applies its filters in the order of Zarr's codecs after ``bytes``; one may occur twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numcodecs
import numpy as np
from manifestry.plugin import Codec, MalformedFileError, UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_hdf5.objects.datatypes import ElementType, is_integer
from manifestry_hdf5.structures.data_objects.filter_pipeline_message import OPTIONAL, FilterNumber, StoredFilter

__all__ = [
    "Chain",
    "Filter",
    "codec_chain",
    "has_image_codec",
    "numcodecs_configuration",
    "optional_chain",
    "pipeline_of",
]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a pipeline: its registered number, flags, client data and the name that the file has for it."""

    number: int
    flags: int
    client_data: tuple[int, ...]
    name: str

    @property
    def optional(self) -> bool:
        """Whether the filter may be skipped for a chunk that it fails on or makes larger."""
        return bool(self.flags & OPTIONAL)


@dataclass(frozen=True, slots=True)
class Chain:
    """The codecs of a pipeline; `replaces_bytes` when the first takes the place of the ``bytes`` codec."""

    codecs: tuple[Codec, ...]
    replaces_bytes: bool = False


def pipeline_of(stored: Iterable[StoredFilter]) -> tuple[Filter, ...]:
    """The filters of a dataset in the order in which they were applied.

    Raises
    ------
    MalformedFileError
        Elements that are shuffled have no bytes.
    """
    filters = []
    for number, flags, client_data, name in stored:
        if number == FilterNumber.SHUFFLE and client_data[:1] == (0,):
            raise MalformedFileError("shuffle filter: elements of 0 bytes where 1 or more are expected")
        filters.append(Filter(number, flags, client_data, name.decode("utf-8", "replace")))
    return tuple(filters)


@lru_cache(maxsize=256)
def codec_chain(filters: tuple[Filter, ...], element: ElementType, chunk_bytes: int, ndim: int) -> Chain:
    """The codecs of a pipeline.

    Parameters
    ----------
    chunk_bytes
        Bytes of a chunk before the first filter.
    ndim
        Dimensions of a chunk.

    Raises
    ------
    UnsupportedFeatureError
        No codec decodes one of the filters.
    """
    codecs: list[Codec] = []
    replaces_bytes = False
    length: int | None = chunk_bytes  # bytes that reach the next filter, while that does not depend on the data
    for position, item in enumerate(filters):
        if item.number in _IMAGE_CODECS:
            if position or element.storage:
                raise UnsupportedFeatureError(f"filter {item.number} ({_label(item)}) after another codec")
            codecs += _image_codecs(item, element, ndim)
            replaces_bytes = True
        elif item.number == FilterNumber.SHUFFLE:
            size = item.client_data[0] if item.client_data else element.dtype.itemsize
            whole = size == 1 or (length is not None and length % size == 0)
            codecs.append(Codec("numcodecs.shuffle" if whole else "manifestry.shuffle", {"elementsize": size}))
        elif item.number == FilterNumber.NBIT and item.client_data[1:2] == (1,):
            continue  # the filter itself found that there is nothing to do
        elif item.number == _LZF:
            if length is None:
                raise _after_compression(item)
            codecs.append(Codec("manifestry.lzf", {"size": length}))
        else:
            codec = _codec(item, element)
            if item.number == FilterNumber.SZIP:
                _check_pixels(item, codec, length)
            codecs.append(_check_client_data(item, codec, length))
        if item.number == FilterNumber.FLETCHER32 and length is not None:
            length += 4
        elif item.number != FilterNumber.SHUFFLE:
            length = None
    return Chain(tuple(codecs), replaces_bytes)


def has_image_codec(filters: Iterable[Filter]) -> bool:
    """Whether a filter of a pipeline decodes to an array, and not to bytes."""
    return any(item.number in _IMAGE_CODECS for item in filters)


def _image_codecs(item: Filter, element: ElementType, ndim: int) -> list[Codec]:
    if not (is_integer(element.dtype) or np.issubdtype(element.dtype, np.bool_)):
        raise UnsupportedFeatureError(f"filter {item.number} ({_label(item)}) of elements that are no integers")
    codec = Codec(_IMAGE_CODECS[item.number])
    if item.number != _JPEG_LS or len(item.client_data) <= 5 or item.client_data[5] <= 1:
        return [codec]
    if ndim != 3:
        raise UnsupportedFeatureError(f"filter {item.number} ({_label(item)}) of {ndim} dimensions")
    return [Codec("transpose", {"order": [1, 2, 0]}), codec]  # the components come last in the stream


def optional_chain(
    filters: Sequence[Filter],
    element: ElementType,
    chunk_bytes: int,
    ndim: int,
    *,
    masks: NDArray[np.uint32],
    sizes: NDArray[np.uint64],
) -> Chain | None:
    """The codecs when one filter was skipped for exactly the chunks that have their full size without it.

    Returns
    -------
    Chain or None
        None when that is not so, or more than one filter was skipped for some chunks only.
    """
    always = int(np.bitwise_and.reduce(masks))
    some = int(np.bitwise_or.reduce(masks)) & ~always
    if some.bit_count() != 1:
        return None
    toggled = some.bit_length() - 1
    active = [(bit, item) for bit, item in enumerate(filters) if not always >> bit & 1]
    before = [item for bit, item in active if bit < toggled]
    after = [item for bit, item in active if bit > toggled]
    if any(item.number != FilterNumber.SHUFFLE for item in before) or filters[toggled].number in _IMAGE_CODECS:
        return None
    if any(item.number != FilterNumber.FLETCHER32 for item in after):
        return None
    full = sizes == chunk_bytes + _CHECKSUM_BYTES * len(after)
    if not np.array_equal(full, masks >> np.uint32(toggled) & 1):
        return None
    chain = codec_chain(tuple(item for _, item in active), element, chunk_bytes, ndim)
    if filters[toggled].number == _LZF:
        return chain  # this codec knows by itself
    codecs = list(chain.codecs)
    inner = codecs[len(before)]
    codecs[len(before)] = Codec("manifestry.optional", {"size": chunk_bytes, "codec": numcodecs_configuration(inner)})
    return Chain(tuple(codecs))


_CHECKSUM_BYTES: Final = 4


def numcodecs_configuration(codec: Codec) -> dict[str, Any]:
    """A codec as numcodecs has it; what blosc needs for decoding is in the chunks."""
    if codec.name == "blosc":
        return {"id": "blosc"}
    if codec.name == "zstd":
        return {"id": "zstd", "level": codec.configuration["level"]}
    return {"id": codec.name.removeprefix("numcodecs."), **codec.configuration}


def _codec(item: Filter, element: ElementType) -> Codec:
    make = _CODECS.get(item.number)
    if make is None:
        hint = "repack with a filter that Zarr readers have (h5repack)"
        raise UnsupportedFeatureError(f"filter {item.number} ({_label(item)})", hint=hint)
    try:
        return make(item.client_data, element)
    except (IndexError, ValueError) as error:
        raise _client_data_error(item, str(error)) from error


def _check_client_data(item: Filter, codec: Codec, length: int | None) -> Codec:
    """A codec of ours that can be made, and gives as many bytes as a chunk has.

    Raises
    ------
    UnsupportedFeatureError
        Its client data is none that the filter decodes, or is that of another chunk: libhdf5 reads what it finds then.
        Or it comes after a compression, of whose result it keeps as many bytes as a chunk has.
    """
    if "client_data" not in codec.configuration:
        return codec
    try:
        nbytes = numcodecs.get_codec({"id": codec.name, **codec.configuration}).decoded_size()
    except ValueError as error:
        raise _client_data_error(item, str(error)) from error
    if nbytes is None:
        return codec
    if length is None:
        raise _after_compression(item)
    if nbytes != length:
        raise _client_data_error(item, f"chunks of {nbytes} bytes where {length} are expected")
    return codec


def _check_pixels(item: Filter, codec: Codec, length: int | None) -> None:
    """Refuse szip of bytes that are no whole pixels: libhdf5 (up to 2.0 at least) loses those that are left over."""
    if length is None:
        raise _after_compression(item)
    bits = codec.configuration["bits_per_pixel"]
    pixel = next((size for size in (1, 2, 4) if bits <= 8 * size), 8)
    if length % pixel:
        raise UnsupportedFeatureError(f"filter {item.number} ({_label(item)}) of {length} bytes in pixels of {pixel}")


def _after_compression(item: Filter) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(f"filter {item.number} ({_label(item)}) after another compression")


def _client_data_error(item: Filter, reason: str) -> UnsupportedFeatureError:
    feature = f"filter {item.number} ({_label(item)}) with client data {item.client_data}"
    return UnsupportedFeatureError(feature, hint=reason)


def _label(item: Filter) -> str:
    return _NAMES.get(item.number) or item.name.split(";")[0][:40] or "unknown"


def _deflate(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 one signature for all
    return Codec("numcodecs.zlib", {"level": min(data[0], 9) if data else 6})


def _fletcher32(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
    return Codec("numcodecs.fletcher32", {})


def _szip(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
    mask, block, depth, scanline = data[:4]
    options = {"options_mask": mask, "pixels_per_block": block, "bits_per_pixel": depth}
    return Codec("imagecodecs_szip", {**options, "pixels_per_scanline": scanline, "header": True})


def _bzip2(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
    return Codec("numcodecs.bz2", {"level": data[0] if data and 1 <= data[0] <= 9 else 9})


_BLOSC_COMPRESSORS: Final = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
_BLOSC_SHUFFLES: Final = ("noshuffle", "shuffle", "bitshuffle")


def _blosc(data: tuple[int, ...], element: ElementType) -> Codec:
    padded = (
        [*data, *[5, 1, 0][max(0, len(data) - 4) :]] if len(data) >= 4 else [2, 2, element.dtype.itemsize, 0, 5, 1, 0]
    )
    name = _BLOSC_COMPRESSORS[padded[6]]
    if name == "snappy":
        return Codec("imagecodecs_blosc", {})  # numcodecs is built without it
    options = {"typesize": max(1, padded[2]), "cname": name, "clevel": min(padded[4], 9)}
    return Codec("blosc", {**options, "shuffle": _BLOSC_SHUFFLES[padded[5]], "blocksize": 0})


def _lz4(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
    return Codec("imagecodecs_lz4h5", {})


def _zstd(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
    level = int(np.array(data[0], "u4").astype("i4")) if data else 3
    return Codec("zstd", {"level": level if -131072 <= level <= 22 else 3, "checksum": False})


def _with_client_data(name: str) -> Callable[[tuple[int, ...], ElementType], Codec]:
    def make(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
        return Codec(name, {"client_data": list(data)})

    return make


def _blosc2(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
    return Codec("manifestry.blosc2", {})


def _zfp(data: tuple[int, ...], element: ElementType) -> Codec:  # noqa: ARG001 as above
    """The filter gives elements in the byte order of the machine that wrote its header, whatever the datatype says."""
    if len(data) < 2:
        raise ValueError("the header of zfp is missing")
    little = data[1].to_bytes(4, "little")[:3] == b"zfp"
    return Codec("manifestry.zfp", {"client_data": list(data), "order": "little" if little else "big"})


_CODECS: Final[dict[int, Callable[[tuple[int, ...], ElementType], Codec]]] = {
    1: _deflate,
    3: _fletcher32,
    4: _szip,
    5: _with_client_data("manifestry.nbit"),
    6: _with_client_data("manifestry.scaleoffset"),
    307: _bzip2,
    32001: _blosc,
    32004: _lz4,
    32008: _with_client_data("manifestry.bitshuffle"),
    32013: _zfp,
    32015: _zstd,
    32026: _blosc2,
}
_LZF: Final = 32000
_JPEG_LS: Final = 32018
_IMAGE_CODECS: Final = {_JPEG_LS: "imagecodecs_jpegls", 32033: "imagecodecs_htj2k"}
"""Filters whose codec gives an array, so that it takes the place of ``bytes``."""

_NAMES: Final = {
    1: "deflate",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scaleoffset",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
    257: "hzip",
    305: "lzo",
    32002: "mafisc",
    32017: "sz",
    32019: "jpeg",
    32024: "sz3",
    32028: "sperr",
}
"""Registered filters that are named in refusals, by the names they are known under."""
