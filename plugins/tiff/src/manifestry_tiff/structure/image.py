"""What a directory says of its image, with the defaults of the specification for what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.tags import (
    BYTE_COMPRESSIONS,
    JPEG_COMPRESSIONS,
    Compression,
    Photometric,
    Planar,
    SampleFormat,
    Tag,
)

__all__ = ["Image", "read_image"]

_MAX_SAMPLES: Final = 1 << 16
_MAX_SEGMENT_BYTES: Final = 64 << 30  # a larger tile or strip cannot be decoded in one piece
_FLOATS: Final = {16: "f2", 24: "f4", 32: "f4", 64: "f8"}
_COMPLEX: Final = {64: "c8", 128: "c16"}
_COMPLEX_INTEGERS: Final = {32: "c8", 64: "c16"}  # int16 and int32 pairs, as GDAL and tifffile widen them


@dataclass(frozen=True, kw_only=True)
class Image:
    """How one image is stored.

    Attributes
    ----------
    directory
        Where it was read from.
    width, length
        Pixels along x and y.
    samples
        Components of a pixel.
    bits, sample_format
        Of every component.
    compression, predictor, photometric, fill_order
        Values of the tags.
    planar
        Whether each component is stored by itself.
    tiled
        Tiles rather than strips.
    segment_length, segment_width
        Rows and columns of a full tile or strip.
    """

    directory: Directory
    width: int
    length: int
    samples: int
    bits: int
    sample_format: int
    compression: int
    predictor: int
    photometric: int
    fill_order: int
    planar: bool
    tiled: bool
    segment_length: int
    segment_width: int

    @property
    def label(self) -> str:
        """``"IFD 3"``, for messages."""
        return self.directory.label

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype that holds a component: the smallest for packed bits, bool for single ones.

        Raises
        ------
        UnsupportedFeatureError
            numpy has none.
        """
        code = None
        match self.sample_format:
            case SampleFormat.UINT | SampleFormat.VOID if 1 <= self.bits <= 32:
                code = "?" if self.bits == 1 else f"u{1 if self.bits <= 8 else 2 if self.bits <= 16 else 4}"
            case SampleFormat.UINT | SampleFormat.VOID if self.bits == 64:
                code = "u8"
            case SampleFormat.INT if self.bits in (8, 16, 32, 64):
                code = f"i{self.bits // 8}"
            case SampleFormat.FLOAT:
                code = _FLOATS.get(self.bits)
            case SampleFormat.COMPLEX_FLOAT:
                code = _COMPLEX.get(self.bits)
            case SampleFormat.COMPLEX_INT:
                code = _COMPLEX_INTEGERS.get(self.bits)
        if code is None:
            raise UnsupportedFeatureError(
                f"samples of {self.bits} bits with SampleFormat {self.sample_format}",
                self.label,
                "numpy has no such type; convert the file with gdal_translate -ot",
            )
        return np.dtype(code)

    @property
    def packed(self) -> bool:
        """Whether components are not whole bytes, or not those of a numpy type."""
        return self.sample_format in (SampleFormat.UINT, SampleFormat.VOID) and self.bits not in (8, 16, 32, 64)

    @property
    def segment_samples(self) -> int:
        """Components of a pixel that one tile or strip holds."""
        return 1 if self.planar else self.samples

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a decoded tile or strip; rows begin on byte boundaries."""
        return -(-self.segment_width * self.segment_samples * self.bits // 8)

    def stored_bytes(self, rows: int) -> int:
        """Bytes of some rows of a decoded tile or strip, from its first on."""
        if not self.in_blocks:
            return rows * self.row_bytes
        across, down = self.subsampling
        return -(-rows // down) * -(-self.segment_width // across) * (across * down + 2)

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles or strips along y and x."""
        return -(-self.length // self.segment_length), -(-self.width // self.segment_width)

    @property
    def short_rows(self) -> int:
        """Rows of the last strip when it has fewer than the others, else 0: tiles are always whole."""
        return 0 if self.tiled else self.length % self.segment_length

    @property
    def subsampled(self) -> bool:
        """Whether chroma is stored at a lower resolution (TIFF 6.0 section 21)."""
        return self.photometric == Photometric.YCBCR and self.subsampling != (1, 1)

    @property
    def subsampling(self) -> tuple[int, ...]:
        """Columns and rows that share a chroma sample in YCbCr; the default is 2 by 2."""
        return (self.directory.integers(Tag.YCBCR_SUBSAMPLING) or (2, 2))[:2]

    @property
    def in_blocks(self) -> bool:
        """Whether bytes are blocks of luma with the chroma they share (TIFF 6.0 section 21), rather than rows."""
        return self.subsampled and self.compression in BYTE_COMPRESSIONS

    @property
    def decodes_to_rgb(self) -> bool:
        """Whether pixels are YCbCr in the file and RGB in the array."""
        if self.compression == Compression.OLD_JPEG:
            return self.samples > 1
        converted = self.compression in JPEG_COMPRESSIONS or self.in_blocks
        return self.photometric == Photometric.YCBCR and not self.planar and converted

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, ``([band,] y, x)``."""
        return (self.length, self.width) if self.samples == 1 else (self.samples, self.length, self.width)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return ("y", "x") if self.samples == 1 else ("band", "y", "x")


def read_image(directory: Directory) -> Image:
    """The image of a directory.

    Raises
    ------
    MalformedFileError
        A tag that must be there is not, or has an impossible value.
    UnsupportedFeatureError
        The components differ in type, or the image is a volume.
    """
    width, length = (_positive_integer(directory, tag) for tag in (Tag.IMAGE_WIDTH, Tag.IMAGE_LENGTH))
    samples = directory.integer(Tag.SAMPLES_PER_PIXEL, 1)
    if not 1 <= samples <= _MAX_SAMPLES:
        raise directory.tag_error(Tag.SAMPLES_PER_PIXEL, f"{samples}: must be 1 to {_MAX_SAMPLES}")
    if directory.integer(Tag.IMAGE_DEPTH, 1) > 1 or directory.integer(Tag.TILE_DEPTH, 1) > 1:
        raise UnsupportedFeatureError("volumes (ImageDepth)", directory.label, "write one image for each slice")
    tiled = Tag.TILE_WIDTH in directory
    compression = directory.integer(Tag.COMPRESSION, Compression.NONE)
    image = Image(
        directory=directory,
        width=width,
        length=length,
        samples=samples,
        bits=_uniform_value(directory, Tag.BITS_PER_SAMPLE, 8 if compression == Compression.OLD_JPEG else 1, samples),
        sample_format=_uniform_value(directory, Tag.SAMPLE_FORMAT, SampleFormat.UINT, samples),
        compression=compression,
        predictor=directory.integer(Tag.PREDICTOR, 1),
        photometric=directory.integer(Tag.PHOTOMETRIC_INTERPRETATION, Photometric.MIN_IS_BLACK),
        fill_order=_one_of(directory, Tag.FILL_ORDER, (1, 2)),
        planar=samples > 1 and _one_of(directory, Tag.PLANAR_CONFIGURATION, tuple(Planar)) == Planar.PLANAR,
        tiled=tiled,
        segment_length=_positive_integer(directory, Tag.TILE_LENGTH) if tiled else _rows_per_strip(directory, length),
        segment_width=_positive_integer(directory, Tag.TILE_WIDTH) if tiled else width,
    )
    decoded = image.segment_length * image.row_bytes
    if decoded > _MAX_SEGMENT_BYTES:
        raise MalformedFileError(
            f"{image.label} at offset {directory.offset}: a tile or strip has {decoded} bytes when decoded: must not be"
            f" more than {_MAX_SEGMENT_BYTES}"
        )
    return image


def _positive_integer(directory: Directory, tag: Tag) -> int:
    value = directory.integer(tag, 0)
    if not 0 < value < 1 << 31:
        raise directory.tag_error(tag, f"{value}: must be 1 to 2**31 - 1" if tag in directory else "the tag is missing")
    return value


def _one_of(directory: Directory, tag: Tag, known: tuple[int, ...]) -> int:
    """The value of a tag that decides how bytes are decoded, of those that mean something; the default is the first."""
    value = directory.integer(tag, known[0])
    if value not in known:
        raise directory.tag_error(tag, f"{value}: must be {' or '.join(map(str, map(int, known)))}")
    return value


def _rows_per_strip(directory: Directory, length: int) -> int:
    rows = directory.integers(Tag.ROWS_PER_STRIP) or (directory.integer(Tag.ROWS_PER_STRIP, 0),)
    # Absent, zero or one number for each strip: everything is one strip (default 2**32 - 1).
    return min(rows[0], length) if len(rows) == 1 and rows[0] > 0 else length


def _uniform_value(directory: Directory, tag: Tag, default: int, samples: int) -> int:
    """The one value that all components have."""
    values = directory.integers(tag)[:samples] or (directory.integer(tag, default),)
    if any(v != values[0] for v in values):
        raise UnsupportedFeatureError(
            f"components of different {'sizes' if tag == Tag.BITS_PER_SAMPLE else 'formats'} {values}",
            directory.label,
            "Zarr arrays have one type; convert the file with gdal_translate -ot",
        )
    if values[0] <= 0:
        raise directory.tag_error(tag, f"{values[0]}: must be positive")
    return values[0]
