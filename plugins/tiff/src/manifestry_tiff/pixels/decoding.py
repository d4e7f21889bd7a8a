"""Single tiles or strips, decoded while parsing exactly as the codecs of readers do, and made again losslessly.

Needed for what the tags do not say: strips with fewer rows than a chunk, streams with superfluous bytes, corrupt data.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final

import imagecodecs
import numcodecs
import numpy as np
from manifestry.plugin import UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_tiff.pixels.pipeline import Pipeline
from manifestry_tiff.pixels.schemes import ByteScheme, ImageScheme
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.stream_headers import declared_size

__all__ = [
    "SLACK",
    "StreamError",
    "append_rows",
    "decode_pixels",
    "decode_rows",
    "pad_pixels",
    "pad_rows",
    "repeat_last_row",
]

_CODEC_ERRORS: Final = (RuntimeError, ValueError, ArithmeticError, EOFError, zlib.error, lzma.LZMAError)
"""What imagecodecs and numcodecs raise on corrupt streams; those of imagecodecs derive from RuntimeError."""

_END_OF_LINE: Final = "000000000001"
_ALIGNED_LINES: Final = 4
"""Bit of T4Options: zeros in front of the ends of lines let these end at whole bytes."""

_MAX_TRAILING_ZEROS: Final = 8
"""More than any code of T.4 ends with."""

_NUMCODECS: Final = "numcodecs."
_ZLIB: Final = "zlib"

SLACK: Final = 4096
"""Superfluous bytes of a stream that are looked at; a decompression bomb ends there."""


class StreamError(ValueError):
    """The bytes of a tile or strip cannot be decoded."""


def decode_rows(image: Image, pipeline: Pipeline, data: bytes) -> bytes:
    """The rows of a tile or strip whose bytes are compressed, packed and predicted as they are stored.

    Of Deflate there are `SLACK` bytes too many at most, however many the stream holds.

    Raises
    ------
    StreamError
        The stream is corrupt.
    """
    stored = bytes(imagecodecs.bitorder_decode(data)) if pipeline.reversed_bits else data
    if not isinstance(pipeline.scheme, ByteScheme):
        return stored
    bound = image.stored_bytes(image.segment_length) + SLACK
    if pipeline.scheme.library == _ZLIB:
        rows = bytes(_call_checked(zlib.decompressobj().decompress, stored, bound))
        if len(rows) == bound:
            return rows
    else:
        rows = bytes(_call_imagecodecs(f"{pipeline.scheme.library}_decode", stored, out=bound))
    if len(rows) == bound:
        raise StreamError(f"it decodes to more than {bound - SLACK} bytes, by {SLACK} at least")
    codec = pipeline.scheme.codec
    if codec.name.startswith(_NUMCODECS):  # imagecodecs takes streams that break off, numcodecs does not
        decoder = numcodecs.get_codec({**codec.configuration, "id": codec.name.removeprefix(_NUMCODECS)})
        _call_checked(decoder.decode, stored)
    return rows


def pad_rows(image: Image, pipeline: Pipeline, rows: bytes) -> bytes:
    """The bytes of a full chunk that begins with `rows`: predictors and packed bits work row by row.

    Raises
    ------
    StreamError
        They do not come back the same from being compressed.
    """
    padded = rows.ljust(image.stored_bytes(image.segment_length), b"\0")
    encoded = padded
    if isinstance(pipeline.scheme, ByteScheme):
        encoded = bytes(_call_imagecodecs(f"{pipeline.scheme.library}_encode", padded))
    stored = bytes(imagecodecs.bitorder_encode(encoded)) if pipeline.reversed_bits else encoded
    if decode_rows(image, pipeline, stored) != padded:
        raise StreamError("it does not come back the same from being compressed again")
    return stored


def decode_pixels(image: Image, pipeline: Pipeline, data: bytes, rows_inside: int = 0) -> NDArray[Any]:
    """The pixels of a tile or strip in an image scheme, ``(rows, columns[, components])``.

    Parameters
    ----------
    rows_inside
        Rows to decode where the scheme is told how many; 0: those of a full tile or strip.

    Raises
    ------
    StreamError
        The stream is corrupt, or holds another type or number of components than the tags say.
    """
    scheme = pipeline.scheme
    assert isinstance(scheme, ImageScheme)
    stored = bytes(imagecodecs.bitorder_decode(data)) if pipeline.reversed_bits else data
    rows, columns = declared_size(stored) or (0, 0)
    if rows > image.segment_length or columns > image.segment_width:  # decoders would make them all
        raise StreamError(
            f"its header declares {rows} x {columns} pixels, the tags {image.segment_length} x {image.segment_width}"
        )
    size = (rows_inside or image.segment_length, image.segment_width) if scheme.sized else ()
    pixels: NDArray[Any] = (
        _call_imagecodecs(f"{scheme.library}_decode", stored, *size, **scheme.decode)
        if scheme.library
        else _call_checked(_codec(scheme, rows_inside).decode, stored)
    )
    components = 1 if pixels.ndim == 2 else pixels.shape[2] if pixels.ndim == 3 else 0
    if components != image.segment_samples:
        raise StreamError(f"it decodes to {components} components, the tags declare {image.segment_samples}")
    if pixels.dtype != image.dtype and not (scheme.sized and image.dtype == bool):
        raise StreamError(f"it decodes to {pixels.dtype}, the tags declare {image.dtype}")
    return pixels


def repeat_last_row(image: Image, pipeline: Pipeline, data: bytes, rows: int) -> bytes:
    """A stream of two-dimensional T.4 that has fewer rows than a strip, with copies of its last row behind them.

    A copy takes no table: every changing element lies where it did in the row before (ITU-T T.4, section 4.2, mode V0).

    Raises
    ------
    StreamError
        The stream is corrupt, or not readable with the rows behind it.
    """
    scheme = pipeline.scheme
    assert isinstance(scheme, ImageScheme)
    pixels = decode_pixels(image, pipeline, data, rows)
    stored = bytes(imagecodecs.bitorder_decode(data)) if pipeline.reversed_bits else data
    bits = "".join(f"{byte:08b}" for byte in stored)
    while (tail := bits.rstrip("0")).endswith(_END_OF_LINE + "1"):  # the control that ends a page is six of them
        bits = tail.removesuffix(_END_OF_LINE + "1")
    copies = image.segment_length - rows
    row = _END_OF_LINE + "0" + "1" * (np.count_nonzero(np.diff(pixels[-1].astype("i1"), prepend=0)) + 1)
    aligned = bool(scheme.decode["t4options"] & _ALIGNED_LINES)
    tail = bits.rstrip("0")
    for zeros in range(
        min(len(bits) - len(tail), _MAX_TRAILING_ZEROS) + 1
    ):  # of the last code, the rest fills the byte
        padded = _append_rows(tail + "0" * zeros, row, copies, aligned=aligned)
        encoded = bytes(imagecodecs.bitorder_encode(padded)) if pipeline.reversed_bits else padded
        try:
            if np.array_equal(decode_pixels(image, pipeline, encoded)[:rows], pixels):
                return encoded
        except StreamError:
            continue
    raise StreamError("it is not readable with rows behind its own")


def _append_rows(bits: str, row: str, copies: int, *, aligned: bool) -> bytes:
    """A stream with copies of a coded row behind it; `aligned`: their ends of line are at whole bytes."""
    fill = "0" * (-(len(bits) + len(_END_OF_LINE)) % 8) if aligned else ""
    between = "0" * (-len(row) % 8) if aligned else ""
    whole = bits + fill + between.join([row] * copies)
    whole += "0" * (-len(whole) % 8)
    return int(whole, 2).to_bytes(len(whole) // 8)


def append_rows(image: Image, pipeline: Pipeline, data: bytes, rows: int) -> bytes:
    """A stream that has fewer rows than a strip, with empty rows behind them.

    Raises
    ------
    StreamError
        The stream is corrupt, or not readable with the rows behind it.
    """
    assert isinstance(pipeline.scheme, ImageScheme)
    pixels = decode_pixels(image, pipeline, data, rows)
    whole = data + pipeline.scheme.empty_row * (image.segment_length - rows)
    if not np.array_equal(decode_pixels(image, pipeline, whole)[:rows], pixels):
        raise StreamError("it is not readable with rows behind its own")
    return whole


def pad_pixels(image: Image, pipeline: Pipeline, pixels: NDArray[Any]) -> bytes:
    """The bytes of a full chunk with some pixels at its upper left, losslessly encoded.

    Raises
    ------
    UnsupportedFeatureError
        No lossless stream decodes to the same with the codec of the other chunks.
    """
    scheme = pipeline.scheme
    assert isinstance(scheme, ImageScheme)
    rows, columns = image.segment_length - pixels.shape[0], image.segment_width - pixels.shape[1]
    padded = np.pad(pixels, [(0, rows), (0, columns)] + [(0, 0)] * (pixels.ndim - 2))
    for options in scheme.lossless:
        try:
            encoded = bytes(
                _call_imagecodecs(f"{scheme.library}_encode", padded, **options)
                if scheme.library
                else _call_checked(_codec(scheme).encode, padded)
            )
            nan_is_equal = np.issubdtype(padded.dtype, np.floating)
            if np.array_equal(decode_pixels(image, pipeline, encoded), padded, equal_nan=nan_is_equal):
                return encoded
        except StreamError:
            continue
    raise UnsupportedFeatureError(
        f"a short strip or tile in compression {image.compression}",
        image.label,
        "parse with rectilinear=True, or rewrite the file with tiles of full size",
    )


def _codec(scheme: ImageScheme, rows: int = 0) -> Any:
    """The codec of an image scheme, as readers of Zarr v2 find it; for some rows where it is told how many there are."""
    told = {"rows": rows} if rows and "rows" in scheme.codec.configuration else {}
    return numcodecs.get_codec({"id": scheme.codec.name, **scheme.codec.configuration, **told})


def _call_imagecodecs(function: str, *values: Any, **options: Any) -> Any:
    """A function of imagecodecs."""
    return _call_checked(getattr(imagecodecs, function), *values, **options)


def _call_checked(function: Callable[..., Any], *values: Any, **options: Any) -> Any:
    """Call a function of a codec; what it raises on corrupt streams becomes a `StreamError`."""
    try:
        return function(*values, **options)
    except _CODEC_ERRORS as error:
        raise StreamError(f"{type(error).__name__}: {error}") from error
