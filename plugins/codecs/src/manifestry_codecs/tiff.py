"""What TIFF does to the bytes of a tile or strip and no other codec undoes (TIFF 6.0)."""

from __future__ import annotations

import zlib
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from manifestry_codecs.base import ArrayCodec, BytesCodec, DecodeError, positive_integer

__all__ = ["BitOrder", "ComplexInteger", "HorizontalDifference", "Inflate", "Lerc", "Trim"]

_ORDERS: Final = {"little": "<", "big": ">"}


class BitOrder(BytesCodec):
    """FillOrder 2: the bits of every byte, compressed or not, are in reverse order."""

    codec_id = "manifestry.bitorder"

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Reverse the bits of every byte."""
        return np.frombuffer(imagecodecs.bitorder_decode(data.tobytes()), "u1")

    def encode(self, buf: Any) -> Any:
        """Reverse the bits of every byte."""
        return imagecodecs.bitorder_encode(bytes(buf))


class _Leading(BytesCodec):
    """The bytes of a tile or strip, of more than it has.

    Parameters
    ----------
    nbytes
        Bytes of a tile or strip.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = positive_integer("nbytes", nbytes)

    def _first(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The first `nbytes` bytes.

        Raises
        ------
        DecodeError
            There are fewer: a truncated chunk is never padded.
        """
        if len(data) < self.nbytes:
            raise DecodeError(f"{self.codec_id}: the chunk has {len(data)} bytes, {self.nbytes} are needed")
        return data[: self.nbytes]


class Trim(_Leading):
    """Bytes after the pixels: some writers compress more of them than a tile or strip has.

    Parameters
    ----------
    nbytes
        Bytes of a tile or strip.
    """

    codec_id = "manifestry.trim"

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The first `nbytes` bytes.

        Raises
        ------
        DecodeError
            There are fewer: a truncated chunk is never padded.
        """
        return self._first(data)

    def encode(self, buf: Any) -> Any:
        """The bytes as they are."""
        return buf


class Inflate(_Leading):
    """Deflate of far more bytes than a tile or strip has: no more than those are decompressed.

    Parameters
    ----------
    nbytes
        Bytes of a tile or strip.
    """

    codec_id = "manifestry.inflate"

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The first `nbytes` bytes of what is compressed.

        Raises
        ------
        DecodeError
            There are fewer, or the stream is corrupt before that.
        """
        try:
            decoded = zlib.decompressobj().decompress(data.tobytes(), self.nbytes)
        except zlib.error as error:
            raise DecodeError(f"{self.codec_id}: {error}") from error
        return self._first(np.frombuffer(decoded, "u1"))

    def encode(self, buf: Any) -> Any:
        """The bytes, compressed."""
        return zlib.compress(bytes(buf))


class HorizontalDifference(BytesCodec):
    """Predictor 2 (section 14) where `imagecodecs_delta` has no answer: over several pixels, or of complex numbers.

    Elements are taken as unsigned words of their size, as libtiff takes them, whatever they mean.

    Parameters
    ----------
    elementsize
        Bytes of an element: 1, 2, 4 or 8.
    endian
        ``"little"`` or ``"big"``.
    row
        Elements of a row, all components counted; a multiple of `distance`.
    distance
        Elements from one to that it is the difference to.
    """

    codec_id = "manifestry.horizontal_difference"

    def __init__(self, elementsize: int, endian: str, row: int, distance: int) -> None:
        self.elementsize = int(elementsize)
        self.endian = endian
        self.row = positive_integer("row", row)
        self.distance = positive_integer("distance", distance)
        if self.elementsize not in (1, 2, 4, 8) or endian not in _ORDERS or self.row % self.distance:
            raise ValueError(
                f"differences of {elementsize} bytes, {endian}-endian, over {distance} of {row} elements: the size must"
                " be 1, 2, 4 or 8, endian little or big, and the row a multiple of the distance"
            )

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The sums along every row.

        Raises
        ------
        DecodeError
            The bytes are not whole rows.
        """
        words = self._words(data)
        sums = np.cumsum(words, axis=1, dtype=words.dtype.newbyteorder("="))
        return sums.astype(words.dtype, copy=False).reshape(-1).view("u1")

    def encode(self, buf: Any) -> Any:
        """The differences along every row."""
        words = self._words(np.frombuffer(buf, "u1"))
        differences = np.array(words)
        differences[:, 1:] -= words[:, :-1]
        return differences.tobytes()

    def _words(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """``(rows, elements of a row / distance, distance)``."""
        if len(data) % (self.row * self.elementsize):
            raise DecodeError(
                f"{self.codec_id}: {len(data)} bytes are not whole rows of {self.row} elements of"
                f" {self.elementsize} bytes"
            )
        words = np.frombuffer(data.tobytes(), f"{_ORDERS[self.endian]}u{self.elementsize}")
        return words.reshape(-1, self.row // self.distance, self.distance)


class Lerc(ArrayCodec):
    """LERC with the mask that libtiff keeps in it (compression 34887), with or without Deflate or ZSTD around it.

    What the mask leaves out is NaN in floating point. In bytes with an alpha component, that component is the mask.

    Parameters
    ----------
    samples
        Components of a pixel in a tile or strip.
    """

    codec_id = "manifestry.lerc"

    def __init__(self, samples: int) -> None:
        self.samples = positive_integer("samples", samples)

    def decode_array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """Pixels ``(rows, columns, components)``.

        Raises
        ------
        DecodeError
            There are other components than `samples`.
        """
        decoded: tuple[NDArray[Any], NDArray[Any] | None] = imagecodecs.lerc_decode(data.tobytes(), masks=True)
        values = decoded[0][..., np.newaxis] if decoded[0].ndim == 2 else decoded[0]
        mask = np.ones(values.shape[:2], bool) if decoded[1] is None else decoded[1]
        if mask.shape != values.shape[:2]:  # bands whose masks differ are stored one after the other
            values = np.ascontiguousarray(np.moveaxis(values, 0, -1))
        mask = np.moveaxis(mask, 0, -1) if mask.ndim == 3 else mask[..., np.newaxis]
        if values.dtype == np.uint8 and values.shape[2] == self.samples - 1:
            return np.concatenate([values, np.where(mask, np.uint8(255), np.uint8(0))], axis=2)
        if values.shape[2] != self.samples:
            raise DecodeError(f"{self.codec_id}: the chunk has {values.shape[2]} components, {self.samples} are needed")
        if np.issubdtype(values.dtype, np.floating):
            values[~np.broadcast_to(mask, values.shape)] = np.nan
        return values

    def encode(self, buf: Any) -> Any:
        """The same pixels without loss; bytes without a mask."""
        values = np.asarray(buf).reshape(*np.shape(buf)[:2], self.samples)
        one = values[..., 0] if self.samples == 1 else values
        mask = ~np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.ones(values.shape, bool)
        if mask.all():
            return imagecodecs.lerc_encode(one, level=0.0)
        if (mask == mask[..., :1]).all():
            return imagecodecs.lerc_encode(one, level=0.0, masks=mask[..., 0].copy())
        bands, masks = (np.ascontiguousarray(np.moveaxis(a, -1, 0)) for a in (values, mask))
        return imagecodecs.lerc_encode(bands, level=0.0, masks=masks, planar=True)


class ComplexInteger(ArrayCodec):
    """SampleFormat 5: pairs of integers as complex floats, int16 as complex64 and int32 as complex128.

    Parameters
    ----------
    bits
        Of each part: 16 or 32.
    endian
        ``"little"`` or ``"big"``.
    """

    codec_id = "manifestry.complex_integer"

    def __init__(self, bits: int, endian: str) -> None:
        if bits not in (16, 32) or endian not in _ORDERS:
            raise ValueError(
                f"complex integers of {bits} bits, {endian}-endian: bits must be 16 or 32, endian little or big"
            )
        self.bits = bits
        self.endian = endian

    def decode_array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The complex numbers, in native byte order."""
        parts = np.frombuffer(data.tobytes(), f"{_ORDERS[self.endian]}i{self.bits // 8}")
        return parts.astype(f"f{self.bits // 4}").view(f"c{self.bits // 2}")
