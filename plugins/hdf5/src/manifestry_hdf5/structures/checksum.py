"""How structures of version 2 of the format identify themselves: how they begin, and a checksum.

That is Jenkins' lookup3 (specification, Appendix C).
"""

from __future__ import annotations

import numpy as np
from manifestry.plugin import MalformedFileError
from numcodecs.jenkins import jenkins_lookup3
from numpy.typing import NDArray

__all__ = ["check_blocks", "check_heads", "checksums_hold", "lookup3_of"]


def check_heads(data: NDArray[np.uint8], head: bytes, positions: NDArray[np.int64], structure: str, of: str) -> None:
    """Make sure that each row of `data` begins as it should.

    Parameters
    ----------
    head
        Signature, version, kind, and where there is one the address of the header that a block belongs to.
    structure, of
        What the rows are and what they belong to, for the error.

    Raises
    ------
    MalformedFileError
        One does not; the message names the structure and its position.
    """
    good = (data[:, : len(head)] == np.frombuffer(head, "u1")).all(axis=1)
    if not good.all():
        at = int(positions[int(np.argmin(good))])
        raise MalformedFileError(f"{of} {structure} at byte {at}: not one of this {of}")


def check_blocks(data: NDArray[np.uint8], length: int, positions: NDArray[np.int64], structure: str) -> None:
    """Compare the checksum of the first `length` bytes of each row of `data` with the 4 bytes that follow them.

    Raises
    ------
    MalformedFileError
        One differs; the message names the structure and its position.
    """
    good = checksums_hold(data, length)
    if not good.all():
        at = int(positions[int(np.argmin(good))])
        raise MalformedFileError(f"{structure} at byte {at}: its checksum does not match its bytes")


def checksums_hold(data: NDArray[np.uint8], length: int) -> NDArray[np.bool_]:
    """Whether the first `length` bytes of each row of `data` have the checksum that follows them."""
    stored = np.ascontiguousarray(data[:, length : length + 4]).view("<u4")[:, 0]
    good: NDArray[np.bool_] = (
        np.fromiter(map(lookup3_of, np.ascontiguousarray(data[:, :length])), "u4", len(data)) == stored
    )
    return good


def lookup3_of(data: bytes | NDArray[np.uint8]) -> int:
    """The checksum of one block."""
    checksum: int = jenkins_lookup3(data)
    return checksum
