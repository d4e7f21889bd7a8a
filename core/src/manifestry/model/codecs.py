"""The catalogue of codecs: what is known of each by its name, in one place.

A codec has one of three kinds (Zarr v3 core specification, "Codecs"): it makes arrays of arrays, bytes of an array, or
bytes of bytes. Names are those of Zarr v3: zarr's own, ``numcodecs.*`` (built into zarr-python), ``imagecodecs_*`` (PyPI
``imagecodecs-zarr``) and ``manifestry.*`` (PyPI ``manifestry-codecs``). Plugins add entries by their descriptors; of what
has no entry nothing is taken for granted.

Importing this module imports no numpy: descriptors of plugins hold entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from manifestry.errors import ManifestError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "CHAIN",
    "CHAIN_PACKAGES",
    "IMAGECODECS",
    "Codec",
    "CodecEntry",
    "CodecKind",
    "Dependence",
    "codec_entry",
    "is_lossless",
    "register_codecs",
    "serializer",
]


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec of the pipeline by the name that readers have for it (Zarr v3 ``{"name", "configuration"}``)."""

    name: str
    configuration: Mapping[str, Any] = field(default_factory=dict)

    def to_zarr(self) -> dict[str, Any]:
        """The codec as Zarr v3 JSON. The configuration is there even when empty: some readers need the key."""
        return {"name": self.name, "configuration": dict(self.configuration)}

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.configuration))))


class CodecKind(StrEnum):
    """What a codec makes of what."""

    ARRAY_TO_ARRAY = "array to array"
    ARRAY_TO_BYTES = "array to bytes"
    BYTES_TO_BYTES = "bytes to bytes"


class Dependence(StrEnum):
    """What of a chunk a codec depends on, so that it may or may not get a new dimension."""

    NONE = "none"
    """It sees a row of elements or bytes, whatever the dimensions."""
    TRAILING_AXES = "trailing axes"
    """It sees images: dimensions in front of them change nothing."""
    SHAPE = "shape"
    """It decodes by the number and lengths of all dimensions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecEntry:
    """What is known of a codec.

    Attributes
    ----------
    name
        In Zarr v3.
    kind
        What it makes of what.
    lossless
        It gives back whatever it was given. False also where nobody vouches for it: then what is encoded is decoded
        again and compared.
    keeps_size
        What it makes has as many bytes as what it is given.
    encode_only
        Options that decoding does not depend on.
    dependence
        What of a chunk it depends on.
    zarr_v2
        Its id in Zarr v2, ``""`` where it has no exact form there.
    v2_options
        Options that Zarr v2 needs and Zarr v3 tells a codec by itself: ``shape``, ``dtype``, ``height``, ``width``.
    native_order_only
        Zarr v3 has it for elements in native byte order only.
    decoded_option, encoded_option
        Options that name the data type that it gives back, and that of what it makes of it (without that option the
        same); ``""`` where it gives back the type that it takes.
    decoded_type
        The data type (of numpy) that it gives back whatever its options, ``""`` for none in particular.
    converts_unseen
        It changes the data type, and zarr-python does not know that it does.
    package, package_v2
        Distributions that readers of Zarr v3 and v2 have to install for it beyond zarr, ``""`` for none.
    """

    name: str
    kind: CodecKind
    lossless: bool = False
    keeps_size: bool = False
    encode_only: frozenset[str] = frozenset()
    dependence: Dependence = Dependence.NONE
    zarr_v2: str = ""
    v2_options: frozenset[Literal["shape", "dtype", "height", "width"]] = frozenset()
    native_order_only: bool = False
    decoded_option: str = ""
    encoded_option: str = ""
    decoded_type: str = ""
    converts_unseen: bool = False
    package: str = ""
    package_v2: str = ""


IMAGECODECS: Final = "imagecodecs_"
"""How the names of the codecs of imagecodecs begin; Zarr v2 has the same names."""
CHAIN: Final = "manifestry.numcodecs"
"""The codec that carries a whole chain of Zarr v2 codecs without names in Zarr v3."""
CHAIN_PACKAGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"grib": ("eccodes",)})
"""Of codecs of Zarr v2 without a name in Zarr v3, by id: what they need beyond the distribution that has them."""

_ARRAYS, _SERIALIZER, _BYTES = CodecKind.ARRAY_TO_ARRAY, CodecKind.ARRAY_TO_BYTES, CodecKind.BYTES_TO_BYTES
_LEVEL: Final = frozenset({"level"})
# Everything needed to decode a Blosc buffer is in its own header.
_BLOSC_OPTIONS: Final = frozenset({"cname", "clevel", "shuffle", "typesize", "blocksize"})


def _zarr() -> Iterator[CodecEntry]:
    """Codecs of zarr itself."""
    yield CodecEntry(name="bytes", kind=_SERIALIZER, lossless=True, keeps_size=True)
    yield CodecEntry(name="transpose", kind=_ARRAYS, lossless=True, keeps_size=True)
    for name in ("vlen-utf8", "vlen-bytes"):
        yield CodecEntry(name=name, kind=_SERIALIZER, lossless=True, zarr_v2=name)
    yield CodecEntry(name="sharding_indexed", kind=_SERIALIZER, dependence=Dependence.SHAPE)
    for name in ("cast_value", "scale_offset"):
        yield CodecEntry(name=name, kind=_ARRAYS)
    for name, options in (("gzip", _LEVEL), ("zstd", _LEVEL | {"checksum"}), ("blosc", _BLOSC_OPTIONS), ("crc32c", ())):
        yield CodecEntry(name=name, kind=_BYTES, lossless=True, encode_only=frozenset(options), zarr_v2=name)


def _numcodecs() -> Iterator[CodecEntry]:
    """Codecs of numcodecs, which zarr brings along."""
    options = {
        "blosc": _BLOSC_OPTIONS, "bz2": _LEVEL, "gzip": _LEVEL, "lz4": frozenset({"acceleration"}), "zlib": _LEVEL,
        "lzma": frozenset({"preset"}), "zstd": _LEVEL | {"checksum"},
    }  # fmt: skip
    checks = ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3")
    for name in (*options, *checks, "shuffle"):
        encode_only = options.get(name, frozenset())
        yield CodecEntry(name=f"numcodecs.{name}", kind=_BYTES, lossless=True, encode_only=encode_only, zarr_v2=name)
    changes: dict[str, dict[str, Any]] = {
        "astype": {"decoded_option": "decode_dtype", "encoded_option": "encode_dtype"},
        "bitround": {},
        "delta": {"decoded_option": "dtype", "encoded_option": "astype"},
        "fixedscaleoffset": {"decoded_option": "dtype", "encoded_option": "astype"},
        "packbits": {"decoded_type": "bool"},
        "quantize": {"decoded_option": "dtype", "encoded_option": "astype", "converts_unseen": True},
    }
    for name, change in changes.items():
        yield CodecEntry(name=f"numcodecs.{name}", kind=_ARRAYS, zarr_v2=name, native_order_only=True, **change)
    for name in ("pcodec", "zfpy"):
        yield CodecEntry(
            name=f"numcodecs.{name}",
            kind=_SERIALIZER,
            dependence=Dependence.SHAPE,
            zarr_v2=name,
            native_order_only=True,
        )


def _imagecodecs() -> Iterator[CodecEntry]:
    """Codecs of imagecodecs: options are the same in Zarr v2, which needs the shape or type for some."""

    def entry(name: str, kind: CodecKind, *, v2: bool = False, **more: Any) -> CodecEntry:
        full = IMAGECODECS + name
        dependence = Dependence.SHAPE if name in by_shape else Dependence.TRAILING_AXES
        return CodecEntry(
            name=full,
            kind=kind,
            dependence=dependence,
            zarr_v2=full if v2 else "",
            package="imagecodecs-zarr",
            package_v2="imagecodecs-numcodecs",
            **more,
        )

    by_shape = ("b2nd", "meshopt", "pcodec", "rcomp", "sperr", "sz3", "zfp")
    for name in (
        "aec", "blosc", "blosc2", "brotli", "bz2", "checksum", "deflate", "isal", "lz4", "lz4f", "lz4h5", "lzf", "lzfse",
        "lzham", "lzma", "lzo", "lzw", "packbits", "pglz", "snappy", "szip", "zlib", "zlibng", "zopfli", "zstd", "zstd1",
    ):  # fmt: skip
        level = name in ("deflate", "lz4", "lzma", "zlib", "zstd")
        yield entry(name, _BYTES, v2=True, encode_only=_LEVEL if level else frozenset())
    for name in ("chunked", "openzl"):
        yield entry(name, _BYTES)
    for name in (
        "avif", "bfloat16", "float24", "htj2k", "jpeg", "jpeg2k", "jpegls", "jpegxl", "jpegxr", "lerc", "ljpeg", "png",
        "qoi", "spng", "webp",
    ):  # fmt: skip
        yield entry(name, _SERIALIZER, v2=True)  # what they decode has a shape of its own, which Zarr reshapes
    for name in ("delta", "xor"):
        yield entry(name, _ARRAYS, v2=True, keeps_size=True, v2_options=frozenset({"shape", "dtype"}))
    for name in ("byteshuffle", "floatpred"):
        yield entry(name, _SERIALIZER, v2=True, v2_options=frozenset({"shape", "dtype"}))
    yield entry("packints", _SERIALIZER, v2=True, v2_options=frozenset({"dtype"}))
    for name in ("ccittfax3", "ccittfax4", "ccittrle"):
        yield entry(name, _SERIALIZER, v2=True, v2_options=frozenset({"height", "width"}))
    yield entry("bitorder", _ARRAYS, keeps_size=True)
    for name in ("cms", "quantize"):
        yield entry(name, _ARRAYS)
    for name in (
        "apng", "b2nd", "bitshuffle", "bmp", "dds", "dicomrle", "eer", "exr", "gif", "hcomp", "heif", "jpegxs", "meshopt",
        "pcodec", "pcx", "pixarlog", "plio", "rcomp", "rgbe", "sperr", "sz3", "tga", "tiff", "ultrahdr", "wavpack", "wic",
        "zfp",
    ):  # fmt: skip
        yield entry(name, _SERIALIZER)


def _ours() -> Iterator[CodecEntry]:
    """Codecs of manifestry-codecs, which have one name in both versions."""
    kinds = {
        _ARRAYS: ("sequences",),
        _SERIALIZER: ("complex_integer", "lerc", "libtiff", "logluv", "numcodecs"),
        _BYTES: (
            "bitorder", "bits", "bitshuffle", "blosc2", "fixed_string", "horizontal_difference", "inflate", "lzf",
            "nbit", "optional", "record", "scaleoffset", "shuffle", "strided", "trim", "zfp",
        ),
    }  # fmt: skip
    package = "manifestry-codecs"
    for kind, names in kinds.items():
        for name in names:
            full = f"manifestry.{name}"
            yield CodecEntry(name=full, kind=kind, zarr_v2=full, package=package, package_v2=package)


_BUILT_IN: Final[Mapping[str, CodecEntry]] = MappingProxyType(
    {entry.name: entry for entries in (_zarr(), _numcodecs(), _imagecodecs(), _ours()) for entry in entries}
)
_of_plugins: dict[str, CodecEntry] = {}


def codec_entry(name: str) -> CodecEntry | None:
    """What is known of a codec, None for nothing."""
    return _BUILT_IN.get(name) or _of_plugins.get(name)


def codec_of_v2(name: str) -> CodecEntry | None:
    """The codec with an id in Zarr v2, None where Zarr v3 has no name for it."""
    plain = codec_entry(name)
    # Codecs of imagecodecs have one name in both, also those that are only read from version 2.
    if plain is not None and (plain.zarr_v2 == name or name.startswith(IMAGECODECS)):
        return plain
    return codec_entry(f"numcodecs.{name}") or next((e for e in _of_plugins.values() if e.zarr_v2 == name), None)


def register_codecs(entries: Iterable[CodecEntry]) -> None:
    """Add what a plugin knows of codecs of its own, all or nothing; the same entry may come again.

    Raises
    ------
    ManifestError
        Something else is known of a codec of that name.
    """
    new: dict[str, CodecEntry] = {}
    for entry in entries:
        known = new.get(entry.name) or codec_entry(entry.name)
        if known is not None and known != entry:
            raise ManifestError(f"codec {entry.name}: another entry is in the catalogue already")
        new[entry.name] = entry
    _of_plugins.update(new)


def is_lossless(codecs: Iterable[Codec]) -> bool:
    """Whether a pipeline surely gives back whatever it is given."""
    return all((entry := codec_entry(codec.name)) is not None and entry.lossless for codec in codecs)


@lru_cache(maxsize=256)
def serializer(dtype: np.dtype[Any], endian: Literal["little", "big"] = "little") -> Codec:
    """The codec that makes bytes of elements as they are: ``bytes``, of variable-length types ``vlen-utf8`` or ``vlen-bytes``.

    Parameters
    ----------
    endian
        Byte order of the stored elements; types without one get none. zarr-python wants one for records as soon as a
        field has several bytes, even a text.
    """
    from manifestry.model.datatypes import datatype_of  # noqa: PLC0415 it needs numpy

    kind = datatype_of(dtype)
    if kind.object_codec:
        return Codec(kind.object_codec)
    return Codec("bytes", {"endian": endian}) if kind.needs_endian else Codec("bytes")
