"""Filters of the metadata: the filter pipeline message (specification, section IV.A.2.l) as fractal heaps repeat it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from numcodecs.fletcher32 import Fletcher32

from manifestry_hdf5.structures.data_objects.filter_pipeline_message import (
    FilterNumber,
    StoredFilter,
    parse_filter_pipeline,
)

__all__ = ["parse_filters", "unfilter"]

_KNOWN: Final = (FilterNumber.DEFLATE, FilterNumber.SHUFFLE, FilterNumber.FLETCHER32)


def parse_filters(message: bytes, where: str) -> tuple[StoredFilter, ...]:
    """The filters of a filter pipeline message, in the order in which they were applied.

    Raises
    ------
    MalformedFileError
        It is too short, or of a version that does not exist.
    UnsupportedFeatureError
        A filter is none of those that metadata is read through.
    """
    filters = parse_filter_pipeline(message, f"{where}: filter pipeline message")
    for one in filters:
        if one.number not in _KNOWN:
            label = one.name.decode("utf-8", "backslashreplace") or "unnamed"
            raise UnsupportedFeatureError(
                f"filter {one.number} ({label}) of metadata",
                where,
                "copy the file with h5repack, without filters of groups",
            )
    return filters


def unfilter(data: bytes, filters: Sequence[StoredFilter], mask: int, size: int, where: str) -> bytes:
    """The `size` bytes that went through filters, all but those whose bits are set in `mask`.

    Raises
    ------
    MalformedFileError
        They do not result in as many.
    """
    for place in reversed(range(len(filters))):
        if mask >> place & 1:
            continue
        number, values = filters[place].number, filters[place].client_data
        if number == FilterNumber.DEFLATE:
            data = _inflate(data, size + 4 * len(filters), where)
        elif number == FilterNumber.FLETCHER32:
            try:
                data = bytes(Fletcher32().decode(data))
            except (RuntimeError, ValueError) as error:
                raise MalformedFileError(f"{where}: its Fletcher-32 checksum does not match its bytes") from error
        elif values and 1 < values[0] <= len(data):
            whole = len(data) // values[0] * values[0]
            data = np.frombuffer(data, "u1", whole).reshape(values[0], -1).T.tobytes() + data[whole:]
    if len(data) != size:
        raise MalformedFileError(f"{where}: {len(data)} bytes behind its filters where {size} are expected")
    return data


def _inflate(data: bytes, most: int, where: str) -> bytes:
    """What was compressed, which takes no more than a number of bytes."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error as error:
        raise MalformedFileError(f"{where}: {error}") from error
