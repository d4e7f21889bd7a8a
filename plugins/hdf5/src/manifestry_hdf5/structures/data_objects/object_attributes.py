"""The attribute messages of an object, wherever they are: in its header, or in dense storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from manifestry_hdf5.structures.batched_reads import IndexReader
from manifestry_hdf5.structures.data_objects.attribute_message import ATTRIBUTE_MESSAGE, attribute_parts
from manifestry_hdf5.structures.data_objects.info_messages import (
    ATTRIBUTE_INFO_MESSAGE,
    DenseInfo,
    parse_attribute_info,
)
from manifestry_hdf5.structures.data_objects.object_header import Message
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.objects import read_objects
from manifestry_hdf5.structures.infrastructure.dense_storage import ATTRIBUTES, read_records
from manifestry_hdf5.structures.infrastructure.shared_messages import SharedMessages

__all__ = ["attributes_at_hand", "read_attribute_messages"]

_SHARED: Final = 0x02


def read_attribute_messages(
    header: Sequence[Message], superblock: Superblock, shared: SharedMessages
) -> IndexReader[list[bytes]]:
    """The attribute messages of an object whose header is given: those of dense storage in the order of their names.

    Raises
    ------
    MalformedFileError
        A structure is damaged, or a shared message is not where it should be.
    UnsupportedFeatureError
        They are behind a filter that metadata is not read through.
    """
    messages = []
    for message in header:
        if message.kind == ATTRIBUTE_INFO_MESSAGE:
            info = parse_attribute_info(message.data, superblock)
            if info.heap is not None:
                return (yield from _dense_attributes(info, superblock, shared))
        elif message.kind == ATTRIBUTE_MESSAGE:
            messages.append((yield from shared.read(message)))
    return messages


def attributes_at_hand(header: Sequence[Message], superblock: Superblock) -> list[bytes] | None:
    """As `read_attribute_messages` where all are in the header itself, as most are; None where they are not.

    Raises
    ------
    MalformedFileError
        The message that says where they are is damaged.
    """
    messages = []
    for kind, flags, data in header:
        if kind == ATTRIBUTE_MESSAGE:
            if flags & _SHARED:
                return None
            messages.append(data)
        elif kind == ATTRIBUTE_INFO_MESSAGE and parse_attribute_info(data, superblock).heap is not None:
            return None
    return messages


def _dense_attributes(info: DenseInfo, superblock: Superblock, shared: SharedMessages) -> IndexReader[list[bytes]]:
    heap, records = yield from read_records(superblock, info, ATTRIBUTES)
    elsewhere = records[:, 8] & _SHARED != 0
    own = yield from read_objects(superblock, heap, records[~elsewhere, :8])
    others: list[bytes] = []
    if elsewhere.any():
        others = yield from shared.read_from_heap(ATTRIBUTE_MESSAGE, records[elsewhere, :8])
    return sorted(own + others, key=lambda message: attribute_parts(message).name)
