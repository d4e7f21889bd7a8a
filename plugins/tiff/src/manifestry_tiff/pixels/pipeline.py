"""The codec pipeline of an image: from the pixels of an array to the bytes of a tile or strip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from manifestry.plugin import Codec, UnsupportedFeatureError, serializer

from manifestry_tiff.pixels.compression import BYTE_SCHEMES, image_scheme
from manifestry_tiff.pixels.libtiff import chroma_blocks
from manifestry_tiff.pixels.schemes import ByteScheme, ImageScheme
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import JPEG_COMPRESSIONS, Compression, Predictor, SampleFormat

__all__ = ["Pipeline", "make_pipeline"]

_DISPUTED: Final = {Compression.PACKBITS: "PackBits", Compression.LERC: "LERC"}
"""Schemes in which libtiff ignores the Predictor tag, and tifffile does not."""

_PREDICTED: Final = frozenset(BYTE_SCHEMES) - frozenset(_DISPUTED)
"""Schemes for which the Predictor tag is defined; it is ignored elsewhere."""

_HORIZONTAL: Final[dict[int, int]] = {Predictor.HORIZONTAL: 1, Predictor.HORIZONTAL_X2: 2, Predictor.HORIZONTAL_X4: 4}
_FLOATING: Final[dict[int, int]] = {
    Predictor.FLOATING_POINT: 1,
    Predictor.FLOATING_POINT_X2: 2,
    Predictor.FLOATING_POINT_X4: 4,
}
_CCITT: Final = frozenset({Compression.CCITT_RLE, Compression.CCITT_T4, Compression.CCITT_T6})
_BIT_ORDER: Final = Codec("manifestry.bitorder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Codecs in the order of encoding.

    Attributes
    ----------
    array
        Array to array.
    serializer
        Array to bytes.
    differences
        The predictor where it is undone in bytes, else None.
    scheme
        How the bytes, or the pixels, are compressed; None: not at all.
    trim
        Bytes of a tile or strip where the compressed streams hold more, else 0.
    reversed_bits
        FillOrder 2 in compressed or packed data.
    """

    array: tuple[Codec, ...]
    serializer: Codec
    differences: Codec | None = None
    scheme: ByteScheme | ImageScheme | None = None
    trim: int = 0
    reversed_bits: bool = False

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """All codecs."""
        differences = () if self.differences is None else (self.differences,)
        trim = (Codec("manifestry.trim", {"nbytes": self.trim}),) if self.trim else ()
        compressor = (self.scheme.codec,) if isinstance(self.scheme, ByteScheme) else ()
        order = (_BIT_ORDER,) if self.reversed_bits else ()
        return (*self.array, self.serializer, *differences, *trim, *compressor, *order)

    @property
    def fixed_rows(self) -> bool:
        """Whether the codecs are told how many rows every chunk has."""
        return "rows" in self.serializer.configuration

    def with_bound(self, nbytes: int) -> Pipeline:
        """The same for streams of Deflate that hold far more than the bytes of a tile or strip."""
        return replace(self, scheme=ByteScheme(Codec("manifestry.inflate", {"nbytes": nbytes}), "zlib"), trim=0)

    def with_trim(self, nbytes: int) -> Pipeline:
        """The same for streams that hold more than the bytes of a tile or strip."""
        return replace(self, trim=nbytes)


def make_pipeline(image: Image) -> Pipeline:
    """The codecs of an image.

    Raises
    ------
    UnsupportedFeatureError
        Something about the image has no codec that readers have; says what.
    """
    chunky = image.samples > 1 and not image.planar
    transpose = (Codec("transpose", {"order": [1, 2, 0]}),) if chunky else ()
    if image.predictor != Predictor.NONE and image.compression in _DISPUTED:
        raise UnsupportedFeatureError(
            f"predictor {image.predictor} with {_DISPUTED[Compression(image.compression)]}",
            image.label,
            "libtiff ignores it, tifffile undoes it; rewrite the file with one of them",
        )
    if image.compression != Compression.NONE and image.compression not in BYTE_SCHEMES:
        scheme = image_scheme(image)
        _check_image_scheme(image)
        reversed_bits = image.fill_order == 2 and image.compression in _CCITT
        return Pipeline(array=transpose, serializer=scheme.codec, scheme=scheme, reversed_bits=reversed_bits)
    compressor = BYTE_SCHEMES.get(image.compression)
    if image.in_blocks:
        return Pipeline(array=transpose, serializer=chroma_blocks(image), scheme=compressor)
    plain = Pipeline(
        array=transpose, serializer=_serializer(image), scheme=compressor, reversed_bits=image.fill_order == 2
    )
    if image.predictor != Predictor.NONE and image.compression in _PREDICTED:
        return _add_predictor(image, plain)
    plain_bytes = compressor is None and plain.serializer.name == "bytes"
    if plain.reversed_bits and plain_bytes and np.issubdtype(image.dtype, np.integer):
        return Pipeline(array=(*transpose, Codec("imagecodecs_bitorder")), serializer=plain.serializer)
    return plain


def _check_image_scheme(image: Image) -> None:
    """Image schemes bring their own type of pixel: only where it is that of the tags the values are right."""
    if image.compression in _CCITT and (image.bits != 1 or image.samples != 1):
        raise UnsupportedFeatureError(
            f"CCITT compression of {image.samples} components of {image.bits} bits", image.label, "CCITT is bilevel"
        )
    if image.compression in JPEG_COMPRESSIONS and image.planar and image.subsampled:
        raise UnsupportedFeatureError(
            "subsampled YCbCr in separate planes",
            image.label,
            "convert the file with gdal_translate -co INTERLEAVE=PIXEL",
        )


def _add_predictor(image: Image, plain: Pipeline) -> Pipeline:
    """The pipeline with the predictor of the image: an array codec, the codec that makes bytes, or one of bytes."""
    axis = -2 if plain.array else -1
    distance = _HORIZONTAL.get(image.predictor) or _FLOATING.get(image.predictor)
    is_complex, is_float = (np.issubdtype(image.dtype, kind) for kind in (np.complexfloating, np.floating))
    whole = image.bits in (8, 16, 32, 64) and (not is_complex or image.directory.header.order == "<")
    horizontal, floating = image.predictor in _HORIZONTAL, image.predictor in _FLOATING and is_float
    if distance is None or not whole or not (horizontal or floating) or image.segment_width % distance:
        raise UnsupportedFeatureError(
            f"predictor {image.predictor} on {image.segment_width} columns of {image.bits} bits"
            f" with SampleFormat {image.sample_format}",
            image.label,
            "rewrite the file without predictor",
        )
    if floating:
        return replace(plain, serializer=Codec("imagecodecs_floatpred", {"axis": axis, "dist": distance}))
    if distance == 1 and (np.issubdtype(image.dtype, np.integer) or is_float):
        return replace(plain, array=(*plain.array, Codec("imagecodecs_delta", {"axis": axis, "dist": 1})))
    configuration = {
        "elementsize": image.bits // 8,
        "endian": "little" if image.directory.header.order == "<" else "big",
        "row": image.segment_width * image.segment_samples,
        "distance": distance * image.segment_samples,
    }
    return replace(plain, differences=Codec("manifestry.horizontal_difference", configuration))


def _serializer(image: Image) -> Codec:
    """How rows of components become bytes."""
    order = image.directory.header.order
    endian: Literal["little", "big"] = "little" if order == "<" else "big"
    if image.packed:
        if image.bits == 24 and order == ">":
            raise UnsupportedFeatureError(
                "integers of 24 bits in a big-endian file",
                image.label,
                "libtiff takes their bytes the other way round than TIFF 6.0; rewrite the file with gdal_translate",
            )
        run = image.segment_width * image.segment_samples
        return Codec("imagecodecs_packints", {"bitspersample": image.bits, "runlen": run})
    if image.sample_format == SampleFormat.FLOAT and image.bits == 24:
        return Codec("imagecodecs_float24", {"byteorder": order})
    if image.sample_format == SampleFormat.COMPLEX_INT:
        return Codec("manifestry.complex_integer", {"bits": image.bits // 2, "endian": endian})
    return serializer(image.dtype, endian)
