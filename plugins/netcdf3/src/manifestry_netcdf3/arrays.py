"""From the extent of a variable to a virtual array."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from manifestry.plugin import (
    INLINE,
    ArrayMetadata,
    ChunkManifest,
    Codec,
    FileTable,
    MalformedFileError,
    OptionError,
    ParseContext,
    RegularGrid,
    Source,
    UnsupportedFeatureError,
    VirtualArray,
)
from numpy.typing import NDArray

from manifestry_netcdf3.external_types import ExternalType
from manifestry_netcdf3.header import Variable
from manifestry_netcdf3.layout import Extent
from manifestry_netcdf3.options import NetCDF3Options

__all__ = ["CHUNK_BYTES", "STRIDED_BYTES", "ArrayBuilder"]

CHUNK_BYTES: Final = 16 << 20
"""Bytes of a chunk where the caller does not say."""

STRIDED_BYTES: Final = 4 << 20
"""Bytes of interleaved records in a chunk where the caller does not say: each variable is read with all of them."""

_FORGED_BYTES: Final = 1 << 30
_FORGED_CHUNKS: Final = 1 << 16
_FORGED_RATIO: Final = 1024
"""Where an array has more than this many bytes or chunks, and the file holds less than one part in 1024,
the header is forged; otherwise the file is truncated."""


class ArrayBuilder:
    """Makes virtual arrays of the variables of one file.

    Parameters
    ----------
    source
        The file.
    options
        Options of the format.
    context
        Common options; variables that are cut off are reported to it.
    """

    def __init__(self, source: Source, options: NetCDF3Options, context: ParseContext) -> None:
        self._source = source
        self._files = FileTable([source.file])
        self._options = options
        self._context = context
        self._chunk_bytes = context.chunk_bytes or CHUNK_BYTES

    def build(
        self, variable: Variable, extent: Extent, dims: tuple[str, ...], copied: bytes | None = None
    ) -> VirtualArray:
        """The virtual array of one variable.

        Parameters
        ----------
        copied
            Its values as the file has them, which then are copied into the manifest; what is missing at the end lies
            behind the end of the file.

        Raises
        ------
        MalformedFileError
            The file cannot hold what the header claims.
        UnsupportedFeatureError
            The variable is cut off and shall be refused, or would need too many bytes inline.
        OptionError
            `records_per_chunk` does not divide the number of contiguous records.
        """
        external = variable.type
        missing = self._missing_bytes(variable, extent)
        attributes = dict(variable.attributes)
        fill = _fill_value(external, attributes)
        if missing and self._options.truncated == "zeros":
            fill = np.zeros((), external.native)[()]
        total = math.prod(extent.shape) * external.stored.itemsize
        codecs: tuple[Codec, ...] = (external.codec,)
        if copied is not None:
            grid, manifest = RegularGrid(extent.shape), self._inline(extent, copied, np.array(fill, external.stored))
        elif 0 < total < (self._context.inline_below or 0) and not missing:
            grid, manifest = RegularGrid(extent.shape), self._copy_inline(extent)
        elif not missing and (strided := self._strided(extent)) is not None:
            grid, codec, manifest = strided
            codecs = (*codecs, codec)
        else:
            grid = RegularGrid(self._chunk_shape(extent, external, cut_off=missing > 0))
            manifest = self._references(extent, grid, external, fill)
        metadata = ArrayMetadata(
            shape=extent.shape,
            dtype=external.native,
            chunk_grid=grid,
            codecs=codecs,
            fill_value=fill,
            dims=dims,
            attributes=attributes,
        )
        return VirtualArray(metadata, manifest)

    def _missing_bytes(self, variable: Variable, extent: Extent) -> int:
        """How far the variable reaches beyond the end of the file; reports it, or refuses it."""
        missing = extent.end - self._source.size if math.prod(extent.shape) else 0
        if missing <= 0:
            return 0
        held = max(0, self._source.size - extent.begin)
        claimed = extent.end - extent.begin
        if claimed > max(_FORGED_BYTES, _FORGED_RATIO * held):
            raise MalformedFileError(
                f"variable {variable.name!r} claims {claimed} bytes: the file holds {held} from its begin on"
            )
        if self._options.truncated == "refuse":
            raise UnsupportedFeatureError(
                "a variable cut off by the end of the file",
                variable.name,
                f"{missing} bytes are missing; truncated='zeros' reads them as netCDF-C does",
            )
        what = "zero" if self._options.truncated == "zeros" else "the fill value"
        message = f"the file ends {missing} bytes before the variable does; what is missing reads as {what}"
        self._context.report(variable.name, "truncated file", message, "fetch the file again")
        return missing

    def _chunk_shape(self, extent: Extent, external: ExternalType, *, cut_off: bool) -> tuple[int, ...]:
        if not math.prod(extent.shape):
            return tuple(max(1, n) for n in extent.shape)
        records = self._records_per_chunk(extent, cut_off=cut_off)
        if records is None:
            return RegularGrid.divide(extent.shape, external.stored.itemsize, self._chunk_bytes)
        if records > 1:
            return (records, *extent.shape[1:])
        return (1, *RegularGrid.divide(extent.shape[1:], external.stored.itemsize, self._chunk_bytes))

    def _records_per_chunk(self, extent: Extent, *, cut_off: bool) -> int | None:
        """Records of a chunk where that is fixed; None where contiguous bytes may be divided freely."""
        if extent.record_bytes is None:
            return None
        if not extent.is_contiguous:
            return 1
        wanted = self._options.records_per_chunk
        if wanted is None:
            return 1 if cut_off else None
        if extent.shape[0] % wanted:
            raise OptionError(f"records_per_chunk={wanted} does not divide the {extent.shape[0]} records of the file")
        return wanted

    def _strided(self, extent: Extent) -> tuple[RegularGrid, Codec, ChunkManifest] | None:
        """Chunks of many interleaved records, of which a codec takes those of one variable; None where not asked for."""
        if self._options.records != "strided" or extent.is_contiguous or not extent.slice_bytes:
            return None
        assert extent.record_bytes is not None
        records, stride, length = extent.shape[0], extent.record_bytes, extent.slice_bytes
        wanted = self._options.records_per_chunk or (self._context.chunk_bytes or STRIDED_BYTES) // stride
        count = min(records, wanted)
        if count < 2:
            return None
        firsts = np.arange(0, records, count, dtype="u8")
        offsets = extent.begin + stride * firsts
        lengths = (np.minimum(count, records - firsts) - 1) * stride + length
        grid = RegularGrid((count, *extent.shape[1:]))
        manifest = ChunkManifest.from_columns(grid.grid_shape(extent.shape), self._files, 0, offsets, lengths)
        return grid, Codec("manifestry.strided", {"length": length, "stride": stride, "count": count}), manifest

    def _references(self, extent: Extent, chunks: RegularGrid, external: ExternalType, fill: Any) -> ChunkManifest:
        """The byte range of every chunk: an affine function of its position."""
        grid = chunks.grid_shape(extent.shape)
        length = math.prod(chunks.chunk_shape) * external.stored.itemsize
        count = math.prod(grid)
        if not count:
            return ChunkManifest.missing(grid)
        self._check_count(count, extent, length)
        if count == 1 and extent.end <= self._source.size:
            # The constructor itself: files may have thousands of small variables, and these columns are canonical.
            offset, size = np.array(extent.begin, "u8"), np.array(length, "u8")
            index = np.zeros((), "u4")
            return ChunkManifest(grid_shape=grid, files=self._files, file_index=index, offsets=offset, lengths=size)
        if extent.is_contiguous:
            offsets = extent.begin + length * np.arange(count, dtype="u8")
        else:
            assert extent.record_bytes is not None
            records = extent.begin + extent.record_bytes * np.arange(extent.shape[0], dtype="u8")
            inner = length * np.arange(math.prod(grid[1:]), dtype="u8")
            offsets = np.add.outer(records, inner).reshape(-1)
        if extent.end > self._source.size:
            return self._cut_at_end(grid, offsets, length, np.array(fill, external.stored))
        offsets.flags.writeable = False  # handed over, not copied
        return ChunkManifest.from_columns(grid, self._files, 0, offsets, length)

    def _check_count(self, count: int, extent: Extent, length: int) -> None:
        """Before anything is allocated for the chunks."""
        limit = self._context.limits.max_chunks
        if count > limit:
            raise UnsupportedFeatureError(f"{count} chunks", hint=f"the limit is {limit} (limits.max_chunks)")
        held = max(0, self._source.size - extent.begin) // (extent.record_bytes or length)
        if extent.end > self._source.size and count > max(_FORGED_CHUNKS, _FORGED_RATIO * held):
            raise MalformedFileError(f"{count} chunks are claimed: the file holds about {held}")

    def _cut_at_end(
        self, grid: tuple[int, ...], offsets: NDArray[np.uint64], length: int, fill: NDArray[Any]
    ) -> ChunkManifest:
        """Only the chunks that the file still has; the one that the end cuts is completed with fill values, inline."""
        size = self._source.size
        stored = offsets + length <= size
        lengths = np.where(stored, np.uint64(length), np.uint64(0))
        cut = np.flatnonzero(~stored & (offsets < size))
        if not cut.size:
            return ChunkManifest.from_columns(grid, self._files, 0, offsets, lengths)
        self._check_inline(length)
        at = int(cut[0])
        part = self._source.range(int(offsets[at]), size)
        chunk = bytearray(np.full(length // fill.itemsize, fill).tobytes())
        chunk[: len(part)] = part
        index = np.zeros(len(offsets), "u4")
        index[at], offsets[at], lengths[at] = INLINE, 0, length
        return ChunkManifest.from_columns(grid, self._files, index, offsets, lengths, inline=bytes(chunk))

    def _inline(self, extent: Extent, copied: bytes, fill: NDArray[Any]) -> ChunkManifest:
        """Values that were copied, completed with fill values, as one inline chunk."""
        self._check_count(extent.shape[0], extent, extent.slice_bytes)
        lacking = extent.shape[0] * extent.slice_bytes - len(copied)
        if lacking:
            filler = np.full(-(-lacking // fill.itemsize), fill).tobytes()
            copied += filler[len(filler) - lacking :]
        return ChunkManifest.from_inline((1,) * len(extent.shape), [copied])

    def _copy_inline(self, extent: Extent) -> ChunkManifest:
        """All elements as one inline chunk, gathered by coalesced reads."""
        grid = (1,) * len(extent.shape)
        if extent.is_contiguous:
            self._check_inline(extent.end - extent.begin)
            return ChunkManifest.from_inline(grid, [self._source.range(extent.begin, extent.end)])
        assert extent.record_bytes is not None
        self._check_inline(extent.shape[0] * extent.slice_bytes)
        starts = range(extent.begin, extent.begin + extent.shape[0] * extent.record_bytes, extent.record_bytes)
        parts = self._source.ranges([(start, start + extent.slice_bytes) for start in starts])
        return ChunkManifest.from_inline(grid, [b"".join(parts)])

    def _check_inline(self, count: int) -> None:
        limit = self._context.limits.max_inline_bytes
        if count > limit:
            raise UnsupportedFeatureError(
                f"{count} bytes to copy", hint=f"the limit is {limit} (limits.max_inline_bytes); choose a smaller chunk"
            )


def _fill_value(external: ExternalType, attributes: dict[str, Any]) -> Any:
    """The fill value of the array: ``_FillValue`` where it is an element of the array, else the default of its type.

    ``_FillValue`` itself takes the type of the array where that changes no value; else it stays as the file has it.
    """
    attribute = attributes.get("_FillValue")
    if isinstance(attribute, str):
        text = attribute.encode("latin-1", "replace")
        return np.bytes_(text) if external.stored.type is np.bytes_ and len(text) <= 1 else external.fill
    if not isinstance(attribute, np.generic) or external.stored.type is np.bytes_:
        return external.fill
    with np.errstate(all="ignore"):
        fill = attribute.astype(external.native)
    if fill != attribute and not (np.isnan(fill) and np.isnan(attribute)):
        return external.fill
    attributes["_FillValue"] = fill
    return fill
