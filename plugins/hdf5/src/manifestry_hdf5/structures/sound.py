"""Messages in which damage makes libhdf5 write beyond its buffers: checked before it reads them.

libhdf5 (up to 2.0 at least) copies a fill value in the size of the datatype, however long it is in its message (section
IV.A.2.f), and decodes the mappings of a virtual dataset before it compares their checksum (section III.E, "virtual
dataset").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from h5py import h5d
from manifestry.errors import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.global_heap import GlobalHeap
from manifestry_hdf5.structures.layout import LAYOUT_MESSAGE, layout_class
from manifestry_hdf5.structures.object_header import Message
from manifestry_hdf5.structures.superblock import Superblock

__all__ = ["check_fill", "check_layout"]

_OLD_FILL_MESSAGE: Final = 0x04
_FILL_MESSAGE: Final = 0x05
_DEFINED: Final = 0x20


def check_layout(header: Sequence[Message], superblock: Superblock, heap: GlobalHeap, where: str) -> None:
    """Check the mappings of a virtual dataset, before the dataset is opened.

    Raises
    ------
    MalformedFileError
        They are damaged.
    """
    for message in header:
        if message.kind == LAYOUT_MESSAGE and not message.shared:
            _check_mappings(message.data, superblock, heap, where)


def check_fill(header: Sequence[Message], size: int) -> None:
    """Check the length of a fill value, before it is asked for.

    Parameters
    ----------
    size
        Bytes of an element as libhdf5 understands the datatype.

    Raises
    ------
    MalformedFileError
        It is shorter than an element.
    """
    for message in header:
        if message.kind in (_OLD_FILL_MESSAGE, _FILL_MESSAGE) and not message.shared:
            given = _fill_size(message)
            if 0 < given < size:  # a pointer in memory may be shorter than what the file has in its place
                raise MalformedFileError(f"fill value message: {given} bytes for elements of {size}")


def _fill_size(message: Message) -> int:
    """Bytes of the fill value; 0 where there is none."""
    data = message.data
    if message.kind == _OLD_FILL_MESSAGE:
        return int.from_bytes(data[:4], "little")
    if data[:1] == b"\3":
        return int.from_bytes(data[2:6], "little") if data[1] & _DEFINED else 0
    return int.from_bytes(data[4:8], "little") if data[:1] == b"\1" or data[3:4] == b"\1" else 0


def _check_mappings(layout: bytes, superblock: Superblock, heap: GlobalHeap, where: str) -> None:
    try:
        virtual = layout_class(layout) == h5d.VIRTUAL
    except UnsupportedFeatureError:
        return
    o = superblock.offset_size
    if not virtual or layout[2 : 2 + o] == b"\xff" * o:
        return
    block = heap.object(layout[2 : 6 + o])
    stored = int.from_bytes(block[-4:], "little")
    if len(block) < 5 or lookup3_of(block[:-4]) != stored:
        raise MalformedFileError(f"{where}: the mappings of a virtual dataset do not have their checksum")
