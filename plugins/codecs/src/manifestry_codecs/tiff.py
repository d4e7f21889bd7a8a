"""What TIFF does to the bytes of a tile or strip and no other codec undoes (TIFF 6.0)."""

from __future__ import annotations

from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from manifestry_codecs.base import ArrayCodec, BytesCodec, DecodeError, positive

__all__ = ["BitOrder", "ComplexInteger", "Trim"]

_ORDERS: Final = {"little": "<", "big": ">"}


class BitOrder(BytesCodec):
    """FillOrder 2: the bits of every byte, compressed or not, stand the other way round."""

    codec_id = "manifestry.bitorder"

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Reverse the bits of every byte."""
        return np.frombuffer(imagecodecs.bitorder_decode(data.tobytes()), "u1")

    def encode(self, buf: Any) -> Any:
        """Reverse the bits of every byte."""
        return imagecodecs.bitorder_encode(bytes(buf))


class Trim(BytesCodec):
    """Bytes behind the pixels: some writers compress more of them than a tile or strip has.

    Parameters
    ----------
    nbytes
        Bytes of a tile or strip.
    """

    codec_id = "manifestry.trim"

    def __init__(self, nbytes: int) -> None:
        self.nbytes = positive("nbytes", nbytes)

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The first `nbytes` bytes.

        Raises
        ------
        DecodeError
            There are fewer: a truncated chunk is never padded.
        """
        if len(data) < self.nbytes:
            raise DecodeError(f"{len(data)} bytes where {self.nbytes} are needed")
        return data[: self.nbytes]

    def encode(self, buf: Any) -> Any:
        """The bytes as they are."""
        return buf


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
                f"complex integers of {bits} bits, {endian}-endian: bits are 16 or 32, endian little or big"
            )
        self.bits = bits
        self.endian = endian

    def decode_array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The complex numbers, in native byte order."""
        parts = np.frombuffer(data.tobytes(), f"{_ORDERS[self.endian]}i{self.bits // 8}")
        return parts.astype(f"f{self.bits // 4}").view(f"c{self.bits // 2}")
