"""Records that interleave: which variables are copied, and their bytes gathered in one pass over the records.

With several record variables the pieces of one variable lie apart, and a reference to each may take more bytes than the
pieces themselves. Source: NetCDF Classic Format Specification, "data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import ParseContext, Source
from numpy.typing import NDArray

from manifestry_netcdf3.header import Variable
from manifestry_netcdf3.layout import Extent
from manifestry_netcdf3.options import NetCDF3Options

__all__ = ["REFERENCE_BYTES", "Placed", "copied_records", "has_light_records"]

REFERENCE_BYTES: Final = 64
"""About what a reference takes in an output: 20 bytes in Icechunk, up to 130 in Kerchunk JSON."""

_FEW_REFERENCES: Final = 64
"""As many references cost nothing worth copying for."""

_BLOCK_BYTES: Final = 16 << 20
"""Bytes of records that are held at once."""

_NAMES: Final = 5
"""Names of variables that a message shows."""


class Placed(NamedTuple):
    """A variable and the bytes that it takes."""

    variable: Variable
    extent: Extent


def has_light_records(extent: Extent) -> bool:
    """Whether the records of a variable interleave with others and take fewer bytes than references to them."""
    if extent.is_contiguous or not extent.slice_bytes:
        return False
    return extent.slice_bytes < REFERENCE_BYTES and extent.shape[0] > _FEW_REFERENCES


def copied_records(
    source: Source, variables: Sequence[Placed], options: NetCDF3Options, context: ParseContext
) -> Mapping[str, bytes]:
    """The values of the variables with light records, as they are stored, by name; none where they are not to be copied.

    Values that lie behind the end of a truncated file are missing at the end. What is copied, and what is not because it
    is too much, is reported.
    """
    light = [found for found in variables if has_light_records(found.extent)]
    if options.truncated == "refuse":
        light = [found for found in light if found.extent.end <= source.size]
    if not light or options.records != "auto":
        return {}
    names = [found.variable.name for found in light]
    size = max(found.extent.end for found in light) - min(found.extent.begin for found in light)
    limit = min(options.copy_records, context.limits.max_inline_bytes)
    listed = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
    count = light[0].extent.shape[0]
    if size > limit:
        context.report(
            "",
            "a reference for each of many small records",
            f"{count} records of {listed}: copying them means reading {size} bytes, and copy_records allows {limit}",
            "records='strided', or a larger copy_records",
        )
        return {}
    gathered = _gather(source, [found.extent for found in light])
    context.report(
        "",
        "small records copied",
        f"{count} records of {listed}: {sum(map(len, gathered))} bytes, fewer than references to them take",
        "records='references' refers to each, records='strided' to many at once",
    )
    return dict(zip(names, gathered, strict=True))


def _gather(source: Source, extents: Sequence[Extent]) -> list[bytes]:
    """The pieces of each variable one after the other, as far as the file has them."""
    records, record_bytes = extents[0].shape[0], extents[0].record_bytes
    assert record_bytes is not None
    gathered: list[list[bytes]] = [[] for _ in extents]
    first = min(extent.begin for extent in extents)
    last = max(extent.begin + extent.slice_bytes for extent in extents)
    step = max(1, _BLOCK_BYTES // record_bytes)
    for record in range(0, records, step):
        start = first + record * record_bytes
        if start >= source.size:
            break
        count = min(step, records - record)
        block = np.frombuffer(source.range(start, min(source.size, last + (record + count - 1) * record_bytes)), "u1")
        for parts, extent in zip(gathered, extents, strict=True):
            parts.append(_pieces(block[extent.begin - first :], extent.slice_bytes, record_bytes, count))
    return [b"".join(parts) for parts in gathered]


def _pieces(block: NDArray[np.uint8], length: int, stride: int, count: int) -> bytes:
    """Pieces at equal distances, as far as there are bytes for them."""
    whole = min(count, max(0, (len(block) - length) // stride + 1))
    rows = np.lib.stride_tricks.as_strided(block, (whole, length), (stride, 1))
    cut = block[whole * stride : whole * stride + length] if whole < count else block[:0]
    return rows.tobytes() + cut.tobytes()
