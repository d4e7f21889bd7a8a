"""Local heap: where a group of the old kind keeps its names (specification, section III.D)."""

from __future__ import annotations

from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["LocalHeap", "read_local_heap"]

_HEAD: Final = b"HEAP\0"
_BEFORE_LENGTH: Final = 8


class LocalHeap:
    """The texts of a local heap.

    Parameters
    ----------
    address
        Where its header is, for errors.
    segment
        Its data.
    """

    def __init__(self, address: int, segment: bytes) -> None:
        self._address = address
        self._segment = segment

    def text(self, offset: int) -> bytes:
        """The text that begins at an offset and ends before the next zero.

        Raises
        ------
        MalformedFileError
            The heap has no such text.
        """
        end = self._segment.find(b"\0", offset)
        if end < 0:
            raise MalformedFileError(f"local heap at {self._address:#x}: no text at offset {offset}")
        return self._segment[offset:end]


def read_local_heap(superblock: Superblock, address: int) -> IndexReader[LocalHeap]:
    """The local heap at an address.

    Raises
    ------
    MalformedFileError
        There is none, or its data is not inside the file.
    """
    o, n = superblock.offset_size, superblock.length_size
    length = _BEFORE_LENGTH + 2 * n + o
    start = superblock.place(address, "local heap", length)
    [data] = yield [Blocks(np.array([start], "i8"), length)]
    head = data[0].tobytes()
    if not head.startswith(_HEAD):
        raise MalformedFileError(f"local heap at {address:#x}: not a local heap of version 0")
    size = int.from_bytes(head[_BEFORE_LENGTH : _BEFORE_LENGTH + n], "little")
    if size > superblock.size:
        raise MalformedFileError(
            f"local heap at {address:#x}: {size} bytes are more than the {superblock.size} of the file"
        )
    segment = int.from_bytes(head[-o:], "little")
    if size:
        start = superblock.place(segment, f"local heap at {address:#x}: data", size)
    [data] = yield [Blocks(np.array([start], "i8"), size)]
    return LocalHeap(address, data[0].tobytes())
