"""Integers, texts and runs of bytes: the fields of one message in order, and columns of many records."""

from __future__ import annotations

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

__all__ = ["Fields", "integers"]


class Fields:
    """Reads little-endian integers, texts and runs of bytes that follow each other.

    Parameters
    ----------
    data
        The message. What follows its last field is not looked at.
    structure
        What it is called in refusals.
    """

    def __init__(self, data: bytes, structure: str) -> None:
        self._data = data
        self._at = 0
        self.structure = structure

    def octets(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises
        ------
        MalformedFileError
            There are fewer.
        """
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise MalformedFileError(
                f"{self.structure}: too short, {len(self._data)} bytes where {self._at + size} or more are expected"
            )
        self._at += size
        return part

    def take(self, size: int) -> int:
        """The next integer, of `size` bytes."""
        return int.from_bytes(self.octets(size), "little")

    def skip(self, size: int) -> None:
        """Leave `size` bytes out."""
        self._at += size

    def text(self, *, align: int = 1) -> bytes:
        """The bytes before the next zero, which with it are padded to a multiple of `align` bytes.

        Raises
        ------
        MalformedFileError
            There is no zero.
        """
        length = self._data.find(b"\0", self._at) - self._at
        if length < 0:
            raise MalformedFileError(f"{self.structure}: a name without end")
        text = self.octets(length)
        self.skip(-(-(length + 1) // align) * align - length)
        return text


def integers(octets: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Little-endian unsigned integers of any width from ``(n, width)`` bytes.

    Raises
    ------
    MalformedFileError
        One needs more than 64 bits.
    """
    if octets.shape[1] > 8 and octets[:, 8:].any():
        raise MalformedFileError("an address or length does not fit in 64 bits")
    wide = np.zeros((len(octets), 8), "u1")
    wide[:, : octets.shape[1]] = octets[:, :8]
    return wide.view("<u8")[:, 0].astype("u8", copy=False)
