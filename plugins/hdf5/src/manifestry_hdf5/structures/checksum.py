"""Checksum of the structures of version 2 of the format (specification, Appendix C: Jenkins' lookup3)."""

from __future__ import annotations

import numpy as np
from manifestry.errors import MalformedFileError
from numcodecs.jenkins import jenkins_lookup3
from numpy.typing import NDArray

__all__ = ["check_blocks", "lookup3_of"]


def check_blocks(data: NDArray[np.uint8], length: int, positions: NDArray[np.int64], structure: str) -> None:
    """Compare the checksum of the first `length` bytes of each row of `data` with the 4 bytes that follow them.

    Raises
    ------
    MalformedFileError
        One differs; the message names the structure and its position.
    """
    stored = np.ascontiguousarray(data[:, length : length + 4]).view("<u4")[:, 0]
    good = np.fromiter(map(lookup3_of, np.ascontiguousarray(data[:, :length])), "u4", len(data)) == stored
    if not good.all():
        at = int(positions[int(np.argmin(good))])
        raise MalformedFileError(f"{structure} at byte {at}: its checksum does not match its bytes")


def lookup3_of(data: bytes | NDArray[np.uint8]) -> int:
    """The checksum of one block."""
    found: int = jenkins_lookup3(data)
    return found
