"""Checksum of the structures of version 2 of the format (specification, Appendix C: Jenkins' lookup3)."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from manifestry.errors import MalformedFileError
from numpy.typing import NDArray

__all__ = ["check_blocks", "lookup3", "lookup3_of"]

_ALL: Final = 0xFFFF_FFFF
_FEW: Final = 12
"""Blocks that are faster one by one than side by side."""


def check_blocks(data: NDArray[np.uint8], length: int, positions: NDArray[np.int64], structure: str) -> None:
    """Compare the checksum of the first `length` bytes of each row of `data` with the 4 bytes that follow them.

    Raises
    ------
    MalformedFileError
        One differs; the message names the structure and its position.
    """
    stored = np.ascontiguousarray(data[:, length : length + 4]).view("<u4")[:, 0]
    good = lookup3(data[:, :length]) == stored
    if not good.all():
        at = int(positions[int(np.argmin(good))])
        raise MalformedFileError(f"{structure} at byte {at}: its checksum does not match its bytes")


def lookup3(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The checksums of many blocks of one length, ``(n, length)``, side by side."""
    count, length = data.shape
    if count < _FEW:
        return np.array([lookup3_of(row.tobytes()) for row in data], "u4")
    words = np.zeros((max(1, -(-length // 12)) * 3, count), "<u4")
    padded = np.zeros((count, len(words) * 4), "u1")
    padded[:, :length] = data
    words[:] = padded.view("<u4").T
    a = np.full(count, (0xDEADBEEF + length) & 0xFFFFFFFF, "u4")
    b, c = a.copy(), a.copy()
    if not length:
        return c
    last = len(words) - 3
    for i in range(0, last, 3):
        a += words[i]
        b += words[i + 1]
        c += words[i + 2]
        for x, y, z, turn in ((a, c, b, 4), (b, a, c, 6), (c, b, a, 8), (a, c, b, 16), (b, a, c, 19), (c, b, a, 4)):
            np.subtract(x, y, out=x)
            np.bitwise_xor(x, _rotated(y, turn), out=x)
            np.add(y, z, out=y)
    a += words[last]
    b += words[last + 1]
    c += words[last + 2]
    for x, y, turn in ((c, b, 14), (a, c, 11), (b, a, 25), (c, b, 16), (a, c, 4), (b, a, 14), (c, b, 24)):
        np.bitwise_xor(x, y, out=x)
        np.subtract(x, _rotated(y, turn), out=x)
    return c


def _rotated(words: NDArray[np.uint32], turn: int) -> NDArray[np.uint32]:
    return words << np.uint32(turn) | words >> np.uint32(32 - turn)


def lookup3_of(data: bytes) -> int:
    """The checksum of one block."""
    a = b = c = (0xDEADBEEF + len(data)) & _ALL
    if not data:
        return c
    count = max(1, -(-len(data) // 12))
    words = struct.unpack(f"<{3 * count}I", data.ljust(12 * count, b"\0"))
    for i in range(0, 3 * count - 3, 3):
        a, b, c = a + words[i] & _ALL, b + words[i + 1] & _ALL, c + words[i + 2] & _ALL
        a, c = (a - c ^ (c << 4 | c >> 28)) & _ALL, c + b & _ALL
        b, a = (b - a ^ (a << 6 | a >> 26)) & _ALL, a + c & _ALL
        c, b = (c - b ^ (b << 8 | b >> 24)) & _ALL, b + a & _ALL
        a, c = (a - c ^ (c << 16 | c >> 16)) & _ALL, c + b & _ALL
        b, a = (b - a ^ (a << 19 | a >> 13)) & _ALL, a + c & _ALL
        c, b = (c - b ^ (b << 4 | b >> 28)) & _ALL, b + a & _ALL
    a, b, c = a + words[-3] & _ALL, b + words[-2] & _ALL, c + words[-1] & _ALL
    c = (c ^ b) - (b << 14 | b >> 18) & _ALL
    a = (a ^ c) - (c << 11 | c >> 21) & _ALL
    b = (b ^ a) - (a << 25 | a >> 7) & _ALL
    c = (c ^ b) - (b << 16 | b >> 16) & _ALL
    a = (a ^ c) - (c << 4 | c >> 28) & _ALL
    b = (b ^ a) - (a << 14 | a >> 18) & _ALL
    final: int = (c ^ b) - (b << 24 | b >> 8) & _ALL
    return final
