"""The fields of a message, one after the other."""

from __future__ import annotations

from manifestry.plugin import MalformedFileError

__all__ = ["Fields"]


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
