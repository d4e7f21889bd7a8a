"""Compressions that libtiff alone decodes, and so the codec that asks it: chroma in blocks, NeXT, ThunderScan, SGI LogLuv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from manifestry.plugin import Codec, UnsupportedFeatureError

from manifestry_tiff.pixels.schemes import ImageScheme
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import Compression, FieldType, Photometric, Predictor, SampleFormat, Tag

__all__ = ["LIBTIFF_CODECS", "chroma_blocks", "libtiff_codec", "next_or_thunderscan", "sgi_log"]

LIBTIFF_CODECS: Final = frozenset({"manifestry.libtiff", "manifestry.logluv"})
"""Codecs of pixels that tifffile does not decode."""

_BITS: Final[dict[int, int]] = {Compression.NEXT: 2, Compression.THUNDERSCAN: 4}
_BLOCKS: Final = frozenset({(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)})
"""Subsampling that libtiff knows; (1, 4) and (2, 4) are in TIFF 6.0 as well."""

_LONGEST_RUN: Final = 129
"""Pixels of the longest run of SGI LogLuv; a byte from 128 on says the length less 2, from 128 on."""


def libtiff_codec(image: Image, photometric: int, header: str = "") -> Codec:
    """The codec that decodes a tile or strip of an image as libtiff does.

    Parameters
    ----------
    photometric
        What libtiff is to take the pixels for.
    header
        Of old-style JPEG, in Base64.

    Raises
    ------
    UnsupportedFeatureError
        FillOrder 2: libtiff heeds it for some of these compressions only.
    """
    if image.fill_order == 2:
        raise UnsupportedFeatureError(
            f"FillOrder 2 in compression {image.compression}", image.label, "rewrite the file with tiffcp -f msb2lsb"
        )
    tags: dict[int, Sequence[Any]] = {
        Tag.BITS_PER_SAMPLE: [image.bits] * image.samples,
        Tag.COMPRESSION: [Compression.NONE if image.in_blocks else image.compression],
        Tag.PHOTOMETRIC_INTERPRETATION: [photometric],
        Tag.SAMPLES_PER_PIXEL: [image.samples],
    }
    if image.sample_format != SampleFormat.UINT:
        tags[Tag.SAMPLE_FORMAT] = [image.sample_format] * image.samples
    if image.decodes_to_rgb:
        tags |= {tag: _fractions(image, tag) for tag in (Tag.YCBCR_COEFFICIENTS, Tag.REFERENCE_BLACK_WHITE)}
    if image.in_blocks:
        tags[Tag.YCBCR_SUBSAMPLING] = image.subsampling
    configuration: dict[str, Any] = {
        "rows": image.segment_length,
        "columns": image.segment_width,
        "tags": {str(int(tag)): [_plain(v) for v in values] for tag, values in tags.items() if values},
    }
    return Codec("manifestry.libtiff", configuration | ({"header": header} if header else {}))


def chroma_blocks(image: Image) -> Codec:
    """How RGB becomes the blocks of luma and chroma of YCbCr (TIFF 6.0, section 21): decoding is as libtiff and GDAL do it.

    Raises
    ------
    UnsupportedFeatureError
        libtiff does not decode it, or not as a whole.
    """
    what = f"YCbCr of {image.samples} components of {image.bits} bits, subsampled by {image.subsampling}"
    planar = ", in separate planes" if image.planar else ""
    if image.planar or image.samples != 3 or image.bits != 8 or image.subsampling not in _BLOCKS:
        raise UnsupportedFeatureError(what + planar, image.label, "libtiff and GDAL do not read it either")
    if image.width < image.subsampling[0] or image.length < image.subsampling[1]:
        raise UnsupportedFeatureError(
            f"{what}, of {image.width} x {image.length} pixels", image.label, "readers disagree"
        )
    if _libtiff_loses_blocks(image):
        where = "tiles" if image.tiled else "strips"
        raise UnsupportedFeatureError(
            f"{what}, in such {where}",
            image.label,
            "libtiff and GDAL lose blocks of it; write it anew with other software",
        )
    if image.predictor != Predictor.NONE:
        raise UnsupportedFeatureError(
            f"predictor {image.predictor} on subsampled YCbCr",
            image.label,
            "the tags do not say what it is the difference of",
        )
    return libtiff_codec(image, Photometric.YCBCR)


def _libtiff_loses_blocks(image: Image) -> bool:
    """Whether libtiff 4.7 reads such blocks wrongly or not at all, so that nobody has the pixels to compare with.

    In blocks of 4 by 4, the last one of a short last strip, and most of a tile that reaches beyond the image; of
    uncompressed tiles it expects two bytes for each pixel, whatever the subsampling.
    """
    if not image.tiled:
        return image.subsampling == (4, 4) and bool(image.short_rows)
    cut = image.subsampling == (4, 4) and image.width % image.segment_width > 0
    return cut or (image.compression == Compression.NONE and image.subsampling not in ((1, 2), (2, 1)))


def next_or_thunderscan(image: Image) -> ImageScheme:
    """NeXT (2 bits a pixel) and ThunderScan (4 bits a pixel), grey or of a palette.

    Raises
    ------
    UnsupportedFeatureError
        Pixels have other sizes, or are in tiles.
    """
    bits = _BITS[image.compression]
    if image.bits != bits or image.samples != 1 or image.tiled or image.sample_format != SampleFormat.UINT:
        raise UnsupportedFeatureError(
            f"compression {image.compression} of {image.samples} components of {image.bits} bits"
            + (" in tiles" if image.tiled else ""),
            image.label,
            f"it is made for strips of one component of {bits} bits",
        )
    if image.compression == Compression.NEXT:  # a row as it is
        empty = b"\0" + bytes(-(-image.segment_width // 4))
    else:  # each pixel as it is
        empty = b"\xc0" * image.segment_width
    return ImageScheme(codec=libtiff_codec(image, Photometric.MIN_IS_BLACK), library="", empty_row=empty)


def sgi_log(image: Image) -> ImageScheme:
    """SGI LogL and LogLuv in the 16 bits that GDAL gives.

    Raises
    ------
    UnsupportedFeatureError
        The tags ask for other numbers than these.
    """
    luminance = image.photometric == Photometric.LOGL and image.samples == 1
    in_colour = image.photometric == Photometric.LOGLUV and image.samples == 3 and not image.planar
    packed = image.compression == Compression.SGI_LOG_24
    if not (in_colour or (luminance and not packed)) or (image.bits, image.sample_format) != (16, SampleFormat.INT):
        raise UnsupportedFeatureError(
            f"compression {image.compression} of {image.samples} components of {image.bits} bits with SampleFormat"
            f" {image.sample_format} and photometric {image.photometric}",
            image.label,
            "signed integers of 16 bits are read, as libtiff writes them; convert the file with gdal_translate",
        )
    runs, rest = divmod(image.segment_width, _LONGEST_RUN)
    plane = b"\xff\0" * runs + (b"\1\0" if rest == 1 else bytes([rest + 126, 0]) if rest else b"")
    if luminance:
        return ImageScheme(codec=libtiff_codec(image, Photometric.LOGL), library="", empty_row=plane * 2)
    bits, empty = (24, bytes(3 * image.segment_width)) if packed else (32, plane * 4)
    if image.fill_order == 2:
        libtiff_codec(image, Photometric.LOGLUV)  # refused there
    configuration = {"rows": image.segment_length, "columns": image.segment_width, "bits": bits}
    return ImageScheme(codec=Codec("manifestry.logluv", configuration), library="", empty_row=empty)


def _plain(value: Any) -> Any:
    return [int(part) for part in value] if isinstance(value, tuple) else int(value)


def _fractions(image: Image, tag: Tag) -> list[tuple[int, int]]:
    """The values of a tag as they are in the file, numerators and denominators; none where it is absent."""
    directory = image.directory
    if tag not in directory:
        return []
    if directory.entries[tag].type == FieldType.RATIONAL:
        words = np.frombuffer(directory.raw(tag) or b"", f"{directory.header.order}u4").reshape(-1, 2)
        pairs = [(int(a), int(b)) for a, b in words.tolist()]
    else:
        pairs = [(value, 1) for value in directory.integers(tag)]
    needed = 3 if tag == Tag.YCBCR_COEFFICIENTS else 6
    if len(pairs) != needed or min(min(pair) for pair in pairs) < 0:
        raise directory.tag_error(tag, f"{len(pairs)} values: must be {needed}, none of them negative")
    return pairs
