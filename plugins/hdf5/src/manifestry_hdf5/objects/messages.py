"""The messages of a dataset that say what its elements are, wherever they are (specification, section IV.A.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from manifestry_hdf5.libhdf5.files import OpenFile
from manifestry_hdf5.structures.messages.datatype import Datatype
from manifestry_hdf5.structures.messages.datatype_message import DATATYPE_MESSAGE, parse_datatype
from manifestry_hdf5.structures.messages.fill_value_message import (
    FILL_MESSAGE,
    OLD_FILL_MESSAGE,
    FillValue,
    parse_fill_value,
    parse_old_fill_value,
)
from manifestry_hdf5.structures.messages.filter_pipeline_message import (
    FILTER_PIPELINE_MESSAGE,
    StoredFilter,
    parse_filter_pipeline,
)
from manifestry_hdf5.structures.object_header import Message

__all__ = ["OutOfReachError", "read_datatype", "read_fill_value", "read_filters", "type_of_handle"]


_ENCODED_HEAD: Final = 2
"""Bytes that ``H5Tencode`` puts before the message."""


class OutOfReachError(Exception):
    """A message is in a header that only libhdf5 can read."""


def read_datatype(file: OpenFile, header: Sequence[Message]) -> Datatype:
    """The type of the elements of a dataset.

    Raises
    ------
    OutOfReachError
        Only libhdf5 can read it.
    MalformedFileError, UnsupportedFeatureError
        As `parse_datatype`, or it is said to be where it is not.
    """
    data = _find(file, header, DATATYPE_MESSAGE)
    if data is None:
        raise OutOfReachError
    return parse_datatype(data)


def type_of_handle(identifier: Any) -> Datatype:
    """The type of the elements of an open dataset as libhdf5 writes it down; pointers in it have their size in memory."""
    return parse_datatype(identifier.get_type().encode()[_ENCODED_HEAD:])


def read_fill_value(file: OpenFile, header: Sequence[Message]) -> FillValue:
    """The fill value of a dataset; the old message counts where there is no new one, and without both it is undefined.

    Raises
    ------
    OutOfReachError, MalformedFileError
        As `read_datatype`.
    """
    data = _find(file, header, FILL_MESSAGE)
    if data is not None:
        return parse_fill_value(data)
    data = _find(file, header, OLD_FILL_MESSAGE)
    return FillValue(undefined=True) if data is None else parse_old_fill_value(data)


def read_filters(file: OpenFile, header: Sequence[Message]) -> tuple[StoredFilter, ...]:
    """The filters of a dataset.

    Raises
    ------
    OutOfReachError, MalformedFileError
        As `read_datatype`.
    """
    data = _find(file, header, FILTER_PIPELINE_MESSAGE)
    return () if data is None else parse_filter_pipeline(data)


def _find(file: OpenFile, header: Sequence[Message], kind: int) -> bytes | None:
    """The first message of a kind; None where there is none."""
    if not header:
        raise OutOfReachError
    message = next((message for message in header if message.kind == kind), None)
    if message is None or not message.shared:
        return None if message is None else message.data
    return file.contents.message_data(message)
