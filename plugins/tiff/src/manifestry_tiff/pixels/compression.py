"""Compression schemes as codecs that readers already have.

Two kinds. *Byte schemes* (LZW, Deflate, ...) compress the bytes that an array codec made of the pixels. *Image schemes*
(JPEG, LERC, ...) make bytes of pixels themselves. Both name the functions of imagecodecs that the codecs call, so that
a strip can be decoded, and made again losslessly, while parsing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from manifestry.plugin import Codec, UnsupportedFeatureError

from manifestry_tiff.pixels.libtiff import next_or_thunderscan, sgi_log
from manifestry_tiff.pixels.old_jpeg import old_jpeg
from manifestry_tiff.pixels.schemes import ByteScheme, ImageScheme
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.stream_headers import is_subsampled
from manifestry_tiff.structure.tags import Compression, ExtraSample, Photometric, Tag

__all__ = ["BYTE_SCHEMES", "image_scheme"]


_T4_BITS: Final = 3
"""Of T4Options: two-dimensional, uncompressed mode, end of lines at whole bytes (TIFF 6.0 section 11)."""

_MAX_JPEG: Final = 65_535
"""Rows and columns that the header of a JPEG stream can say (ITU-T T.81, section B.2.2); NDPI has larger ones."""

_NDPI_16_BITS: Final = 6
"""CaptureMode from which on NDPI holds one component of 16 bits, whatever its tags say."""

_ZLIB: Final = ByteScheme(Codec("numcodecs.zlib", {"level": 1}), "zlib")

BYTE_SCHEMES: Final[dict[int, ByteScheme]] = {
    Compression.LZW: ByteScheme(Codec("imagecodecs_lzw"), "lzw"),
    Compression.ADOBE_DEFLATE: _ZLIB,
    Compression.DEFLATE: _ZLIB,
    Compression.PIXTIFF: _ZLIB,
    Compression.PACKBITS: ByteScheme(Codec("imagecodecs_packbits"), "packbits"),
    Compression.LZMA: ByteScheme(Codec("numcodecs.lzma", {"format": 1, "check": -1, "preset": None}), "lzma"),
    Compression.ZSTD: ByteScheme(Codec("zstd", {"level": 0, "checksum": False}), "zstd"),
}


def image_scheme(image: Image) -> ImageScheme:
    """The image scheme of an image.

    Raises
    ------
    UnsupportedFeatureError
        No reader has a codec for it.
    """
    directory = image.directory
    if Tag.NDPI_FORMAT in directory and directory.integer(Tag.NDPI_CAPTURE_MODE, 0) >= _NDPI_16_BITS:
        raise UnsupportedFeatureError(
            "NDPI of 16 bits",
            image.label,
            "its tags say 8 bits of red, green and blue; convert it with the scanner's software",
        )
    make = _IMAGE_SCHEMES.get(image.compression)
    if make is None:
        raise UnsupportedFeatureError(
            f"compression {image.compression}",
            image.label,
            "no Zarr reader has a codec for it; rewrite the file with gdal_translate or tiffcp",
        )
    return make(image)


def _jpeg(image: Image) -> ImageScheme:
    """JPEG (TIFF Technical Note 2): abbreviated streams share the tables of the JPEGTables tag."""
    rgb = image.photometric == Photometric.RGB
    if image.compression == Compression.LOSSY_JPEG and rgb and not is_subsampled(image):
        raise UnsupportedFeatureError(
            "lossy JPEG of DNG as RGB (compression 34892)",
            image.label,
            "the tags do not say whether it is YCbCr inside",
        )
    if max(image.segment_length, image.segment_width) > _MAX_JPEG:
        raise UnsupportedFeatureError(
            f"a JPEG stream of {image.segment_length} x {image.segment_width} pixels",
            image.label,
            f"its header can say {_MAX_JPEG} at most, so readers cannot decode it; rewrite the file with tiles",
        )
    stored, wanted = _jpeg_color_spaces(image)
    options: dict[str, Any] = {"bitspersample": image.bits}
    options |= {k: v for k, v in (("colorspace_jpeg", stored), ("colorspace_data", wanted)) if v}
    tables = image.directory.raw(Tag.JPEG_TABLES) or None
    if tables:
        options["tables"] = base64.b64encode(tables).decode()
    decode = {"tables": tables, "colorspace": stored, "outcolorspace": wanted}
    lossless = ({"lossless": True}, {"lossless": True, "colorspace": "RGB", "outcolorspace": "RGB"})
    return ImageScheme(codec=Codec("imagecodecs_jpeg", options), library="jpeg8", decode=decode, lossless=lossless)


def _jpeg_color_spaces(image: Image) -> tuple[str | None, str | None]:
    """The colour space of the stream where it must not be guessed, and the one to decode to."""
    if image.planar:
        return None, "GRAYSCALE"
    if image.directory.integers(Tag.EXTRA_SAMPLES):
        return None, None
    match image.photometric:
        case Photometric.YCBCR:
            return None, "RGB"
        case Photometric.RGB if not is_subsampled(image):
            return "RGB", "RGB"  # streams without an Adobe marker would be taken for YCbCr
        case Photometric.RGB:
            return "YCBCR", "RGB"
        case Photometric.SEPARATED:
            return None, "CMYK"
    return None, None


def _webp(image: Image) -> ImageScheme:
    # The alpha channel is left out of segments that are opaque throughout.
    options = {"hasalpha": True} if image.samples == 4 else {}
    return ImageScheme(
        codec=Codec("imagecodecs_webp", options), library="webp", decode=options, lossless=({"lossless": True},)
    )


def _lerc(image: Image) -> ImageScheme:
    """LERC; libtiff leaves NaN, and alpha that is all or nothing, to the mask of the stream."""
    if image.directory.header.order == ">" and image.dtype.itemsize > 1:
        raise UnsupportedFeatureError(
            "LERC in a big-endian file",
            image.label,
            "its values are not those that LERC was made for; rewrite the file",
        )
    extra = image.directory.integers(Tag.EXTRA_SAMPLES)
    alpha = not image.planar and image.dtype == np.uint8 and extra[-1:] == (ExtraSample.UNASSOCIATED_ALPHA,)
    if np.issubdtype(image.dtype, np.floating) or alpha:
        return ImageScheme(codec=Codec("manifestry.lerc", {"samples": image.segment_samples}), library="")
    return ImageScheme(
        codec=Codec("imagecodecs_lerc"), library="lerc", decode={"masks": False}, lossless=({"level": 0.0},)
    )


def _t4(image: Image) -> ImageScheme:
    value = image.directory.integer(Tag.T4_OPTIONS, 0)
    if not 0 <= value < 1 << _T4_BITS:
        raise image.directory.tag_error(Tag.T4_OPTIONS, f"{value}: only the {_T4_BITS} lowest bits mean something")
    options = {"t4options": value}
    return ImageScheme(
        codec=Codec("imagecodecs_ccittfax3", options),
        library="ccittfax3",
        decode=options,
        sized=True,
        needs_rows=bool(value & 1),
    )


def _same_for_all(
    library: str, lossless: Mapping[str, Any] | None = None, *, sized: bool = False
) -> Callable[[Image], ImageScheme]:
    """What makes a scheme that does not depend on the image."""
    codec = Codec(f"imagecodecs_{library}")
    scheme = ImageScheme(codec=codec, library=library, lossless=(lossless or {},), sized=sized)
    return lambda _image: scheme


_JPEG_2000: Final = _same_for_all("jpeg2k", {"level": 0, "reversible": True})
_JPEG_XL: Final = _same_for_all("jpegxl", {"lossless": True})
_JPEG_XR: Final = _same_for_all("jpegxr", {"level": 100})

_IMAGE_SCHEMES: Final[dict[int, Callable[[Image], ImageScheme]]] = {
    Compression.CCITT_RLE: _same_for_all("ccittrle", sized=True),
    Compression.CCITT_T4: _t4,
    Compression.CCITT_T6: _same_for_all("ccittfax4", sized=True),
    Compression.JPEG: _jpeg,
    Compression.ALT_JPEG: _jpeg,
    Compression.LOSSY_JPEG: _jpeg,
    Compression.JPEG_2000: _JPEG_2000,
    Compression.APERIO_JP2000_YCBC: _JPEG_2000,
    Compression.APERIO_JP2000_LOSSY: _JPEG_2000,
    Compression.APERIO_JP2000_RGB: _JPEG_2000,
    Compression.JPEG_XR_NDPI: _JPEG_XR,
    Compression.JPEG_XR: _JPEG_XR,
    Compression.JPEG_XL: _JPEG_XL,
    Compression.JPEG_XL_DNG: _JPEG_XL,
    Compression.WEBP: _webp,
    Compression.PNG: _same_for_all("png"),
    Compression.LERC: _lerc,
    Compression.OLD_JPEG: old_jpeg,
    Compression.NEXT: next_or_thunderscan,
    Compression.THUNDERSCAN: next_or_thunderscan,
    Compression.SGI_LOG: sgi_log,
    Compression.SGI_LOG_24: sgi_log,
}
