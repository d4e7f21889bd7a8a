"""Filters of the metadata: the filter pipeline message (specification, section IV.A.2.l) as fractal heaps repeat it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from numcodecs.fletcher32 import Fletcher32

__all__ = ["MetadataFilter", "parse_filters", "unfilter"]

_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_KNOWN: Final = {_DEFLATE: "deflate", _SHUFFLE: "shuffle", _FLETCHER32: "fletcher32"}
_MAX_FILTERS: Final = 32


class MetadataFilter(NamedTuple):
    """A filter by its number, with its client data."""

    number: int
    values: tuple[int, ...]


def parse_filters(message: bytes, where: str) -> tuple[MetadataFilter, ...]:
    """The filters of a filter pipeline message, in the order in which they were applied.

    Raises
    ------
    MalformedFileError
        It is too short, or of a version that does not exist.
    UnsupportedFeatureError
        A filter is none of those that metadata is read through.
    """
    version, count = message[:2].ljust(2, b"\0")
    if version not in (1, 2) or count > _MAX_FILTERS:
        raise MalformedFileError(f"{where}: filter pipeline of version {version} with {count} filters")
    at, filters = (8 if version == 1 else 2), []
    for _ in range(count):
        number = int.from_bytes(message[at : at + 2], "little")
        named = version == 1 or number >= 256
        length = int.from_bytes(message[at + 2 : at + 4], "little") if named else 0
        at += 6 if named else 4  # behind the flags
        values, at = int.from_bytes(message[at : at + 2], "little"), at + 2
        name, at = message[at : at + length].split(b"\0")[0], at + (-(-length // 8) * 8 if version == 1 else length)
        if at + 4 * values > len(message):
            raise MalformedFileError(f"{where}: filter pipeline: too short")
        if number not in _KNOWN:
            label = name.decode("utf-8", "backslashreplace") or "unnamed"
            raise UnsupportedFeatureError(
                f"filter {number} ({label}) of metadata",
                where,
                "copy the file with h5repack, without filters of groups",
            )
        filters.append(MetadataFilter(number, tuple(np.frombuffer(message, "<u4", values, at).tolist())))
        at += 4 * (values + (values & 1 if version == 1 else 0))
    return tuple(filters)


def unfilter(data: bytes, filters: Sequence[MetadataFilter], mask: int, size: int, where: str) -> bytes:
    """The `size` bytes that went through filters, all but those whose bits are set in `mask`.

    Raises
    ------
    MalformedFileError
        They do not result in as many.
    """
    for place in reversed(range(len(filters))):
        if mask >> place & 1:
            continue
        number, values = filters[place]
        if number == _DEFLATE:
            data = _inflate(data, size + 4 * len(filters), where)
        elif number == _FLETCHER32:
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
