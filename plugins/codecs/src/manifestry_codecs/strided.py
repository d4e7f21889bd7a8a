"""Pieces at equal distances, as the records of netCDF classic files have one of each variable."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifestry_codecs.base import BytesCodec, DecodeError, positive_integer

__all__ = ["Strided"]


class Strided(BytesCodec):
    """Pieces of equal length at equal distances; decoded they follow each other.

    An encoded chunk begins with its first piece and ends with its last one. The last chunk of an array may have fewer
    pieces: what it lacks decodes to zeros, which no element of the array lies in.

    Parameters
    ----------
    length
        Bytes of a piece.
    stride
        Bytes from the beginning of a piece to that of the next one, at least `length`.
    count
        Pieces of a chunk.
    """

    codec_id = "manifestry.strided"

    def __init__(self, length: int, stride: int, count: int) -> None:
        self.length = positive_integer("length", length)
        self.stride = positive_integer("stride", stride)
        self.count = positive_integer("count", count)
        if self.stride < self.length:
            raise ValueError(f"pieces of {length} bytes every {stride} bytes overlap: stride must be at least length")

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pieces one after the other.

        Raises
        ------
        DecodeError
            The bytes do not end with a piece, or there are more pieces than a chunk has.
        """
        steps, rest = divmod(len(data) - self.length, self.stride)
        if rest or not 0 <= steps < self.count:
            raise DecodeError(
                f"{self.codec_id}: {len(data)} bytes are not 1 to {self.count} pieces of {self.length} bytes every "
                f"{self.stride} bytes"
            )
        decoded = np.zeros((self.count, self.length), "u1")
        decoded[: steps + 1] = self._pieces(data, steps + 1)
        return decoded.reshape(-1)

    def encode(self, buf: Any) -> Any:
        """The pieces at their distances, with zeros between them.

        Raises
        ------
        ValueError
            The bytes are not those of a whole chunk.
        """
        data = np.frombuffer(buf, "u1")
        if data.size != self.count * self.length:
            raise ValueError(
                f"{self.codec_id}: a chunk of {data.size} bytes must have {self.count} pieces of {self.length}"
            )
        encoded = np.zeros((self.count - 1) * self.stride + self.length, "u1")
        self._pieces(encoded, self.count)[...] = data.reshape(self.count, self.length)
        return encoded.tobytes()

    def _pieces(self, data: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        """A view of the first `count` pieces, shape ``(count, length)``."""
        return np.lib.stride_tricks.as_strided(data, (count, self.length), (self.stride, 1))
