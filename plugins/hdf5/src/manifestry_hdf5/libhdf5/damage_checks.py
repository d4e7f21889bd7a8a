"""Structures in which damage ends the process or takes all its memory: checked before libhdf5 reads them.

libhdf5 (up to 2.0 at least) copies a fill value in the size of the datatype, however long it is in its message (section
IV.A.2.f), and decodes the mappings of a virtual dataset before it compares their checksum (section III.E, "virtual
dataset"), and calls nobody for variable-length types that are neither sequences nor texts (section IV.A.2.d). It makes
room for an element of variable length before it looks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from h5py import h5d, h5t
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.global_heap import GlobalHeap
from manifestry_hdf5.structures.layout import LAYOUT_MESSAGE, layout_class
from manifestry_hdf5.structures.messages.fill_value_message import (
    FILL_MESSAGE,
    OLD_FILL_MESSAGE,
    parse_fill_value,
    parse_old_fill_value,
)
from manifestry_hdf5.structures.object_header import Message
from manifestry_hdf5.structures.superblock import Superblock

__all__ = ["check_fill", "check_layout", "check_lengths", "check_type"]

_FILL_PARSERS: Final = {OLD_FILL_MESSAGE: parse_old_fill_value, FILL_MESSAGE: parse_fill_value}
_ENCODED_FLAGS: Final = 3
"""Where the bit field of a datatype message is when ``H5Tencode`` writes it: behind two bytes of its own and the class."""


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


def check_lengths(elements: bytes, width: int, size: int) -> None:
    """Check the lengths with which elements of variable length begin.

    Parameters
    ----------
    width
        Bytes that each element takes in its dataset.
    size
        Bytes of the file.

    Raises
    ------
    MalformedFileError
        One has more members than the file has bytes.
    """
    count = len(elements) // width
    lengths = np.frombuffer(elements, [("length", "<u4"), ("where", "V", width - 4)], count)["length"]
    if count and lengths.max() > size:
        raise MalformedFileError(f"an element of {lengths.max()} members is larger than the file of {size} bytes")


def check_type(datatype: Any) -> None:
    """Check the variable-length types in a datatype, before elements of it are read.

    Parameters
    ----------
    datatype
        h5py's identifier.

    Raises
    ------
    MalformedFileError
        One is neither a sequence nor a text.
    UnsupportedFeatureError
        One is a sequence of region references: h5py (up to 3.16 at least) ends the process when it reads those.
    """
    match datatype.get_class():
        case h5t.VLEN:
            if datatype.encode()[_ENCODED_FLAGS] & 0x0F:
                raise MalformedFileError("variable-length type: it is neither a sequence nor a text")
            if datatype.get_super().equal(h5t.STD_REF_DSETREG):
                raise UnsupportedFeatureError("sequences of region references")
            check_type(datatype.get_super())
        case h5t.ARRAY:
            check_type(datatype.get_super())
        case h5t.COMPOUND:
            for i in range(datatype.get_nmembers()):
                check_type(datatype.get_member_type(i))


def check_fill(header: Sequence[Message], size: int) -> None:
    """Check the length of a fill value, before it is asked for.

    Parameters
    ----------
    size
        Bytes of an element as libhdf5 understands the datatype.

    Raises
    ------
    MalformedFileError
        It is shorter than an element, or its message contradicts itself.
    """
    for message in header:
        parse = _FILL_PARSERS.get(message.kind)
        if parse is not None and not message.shared:
            stored = len(parse(message.data).value)
            if 0 < stored < size:  # a pointer in memory may be shorter than what the file has in its place
                raise MalformedFileError(f"fill value message: {stored} bytes are too few for elements of {size}")


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
        raise MalformedFileError(f"{where}: the mappings of a virtual dataset do not match their checksum")
