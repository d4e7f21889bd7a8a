"""Tables of references as columns of the model; no Python object is made for a reference."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from manifestry import Budget, Limits
from manifestry.plugin import (
    INLINE,
    ArrayNode,
    LocationTable,
    MalformedFileError,
    ReferenceColumns,
    Source,
    StoreRegistry,
    UnsupportedFeatureError,
    translated,
)
from numpy.typing import NDArray

__all__ = ["ColumnsBuilder"]

_BASE64: Final = b"base64:"
_MISSING_TABLE: Final = 1000
"""Empty chunks that a missing table counts for at least: looking for one takes as long as reading so many."""

_MAX_ROWS: Final = 4_000_000
_ROWS_PER_BYTE: Final = 4
_MAX_DECODED: Final = 64 << 20
_DECODED_PER_BYTE: Final = 32
"""What a table may hold whatever its size, and what it may for each of its bytes."""

_TEXTS: Final = ("path", "raw")
_NUMBERS: Final = ("offset", "size")
_IS_TEXT: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_null,
)
_IS_NUMBER: Final = (pa.types.is_integer, pa.types.is_floating)


@dataclass(frozen=True, slots=True)
class _Rows:
    """References of some chunks in C order, as in `ChunkManifest`: file index, offset and length, filled in in place."""

    index: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]

    @classmethod
    def missing(cls, count: int) -> _Rows:
        """Chunks that are not stored."""
        return cls(np.zeros(count, "u4"), np.zeros(count, "u8"), np.zeros(count, "u8"))


@dataclass(slots=True, kw_only=True)
class ColumnsBuilder:
    """The references of one array, table by table."""

    node: ArrayNode
    locations: LocationTable
    stores: StoreRegistry
    budget: Budget
    size: int = field(init=False)
    _parts: list[_Rows] = field(default_factory=list)
    _inline: list[bytes] = field(default_factory=list)
    _inline_size: int = 0

    def __post_init__(self) -> None:
        self.size = int(np.prod(self.node.metadata.grid_shape, dtype="u8"))
        self.budget.spend_grid(self.size, self.size, self.node.path)

    def add_missing(self, count: int) -> None:
        """Chunks that no table lists.

        Raises
        ------
        UnsupportedFeatureError
            There are more of them than the budget has places for.
        """
        self.budget.spend("max_empty_chunks", max(count, _MISSING_TABLE), self.node.path)
        self._parts.append(_Rows.missing(count))

    def add(self, source: Source, count: int) -> None:
        """The first `count` rows of a table; others pad their tables with more.

        Raises
        ------
        SourceError
            There is no such file, or a location in it is not allowed.
        MalformedFileError
            It is no table of references, or a shorter one.
        UnsupportedFeatureError
            It holds far more than a table of its size can.
        """
        table = _read(source, self.budget.limits)
        if table.num_rows < count:
            raise MalformedFileError(f"{source.url}: has {table.num_rows} references, fewer than its {count} chunks")
        table = table.slice(0, count)
        rows = _Rows.missing(count)
        if "path" in table.column_names:
            self._add_ranges(table, rows, source.url)
        if "raw" in table.column_names:
            self._add_inline(table.column("raw"), rows, source.url)
        self._parts.append(rows)

    def _add_ranges(self, table: Any, rows: _Rows, where: str) -> None:
        """Fill in what lies in files."""
        values, codes = _dictionary(table.column("path"))
        pointing = np.asarray(codes >= 0)
        if not bool(pointing.any()):
            return
        offsets, lengths = rows.offsets, rows.lengths
        files = np.array(self.locations.rows(_locations(values, where)), "u4")
        rows.index[pointing] = files[codes[pointing]]
        if "offset" in table.column_names and "size" in table.column_names:
            offsets[pointing] = _integers(table.column("offset"), where)[pointing]
            lengths[pointing] = _integers(table.column("size"), where)[pointing]
        whole = pointing & (offsets == 0) & (lengths == 0)
        if bool((pointing & (lengths == 0) & (offsets != 0)).any()):
            raise MalformedFileError(f"{where}: a reference has no bytes")
        if bool(whole.any()):
            needed, which = np.unique(rows.index[whole], return_inverse=True)
            sizes = self.locations.sizes(needed.tolist(), self.stores)
            lengths[whole] = np.array(sizes, "u8")[which]

    def _add_inline(self, column: Any, rows: _Rows, where: str) -> None:
        """Fill in what lies in the table itself: readers look there first."""
        values, codes = _dictionary(column)
        inline = np.asarray(codes >= 0)
        if not bool(inline.any()):
            return
        chunks = [_decode(value, where) for value in values.to_pylist()]
        counts = np.fromiter(map(len, chunks), "u8", len(chunks))
        starts = self._inline_size + np.cumsum(counts) - counts
        if not counts.all():
            raise MalformedFileError(f"{where}: an inline chunk has no bytes")
        rows.index[inline] = INLINE
        rows.offsets[inline], rows.lengths[inline] = starts[codes[inline]], counts[codes[inline]]
        self._inline += chunks
        self._inline_size += int(counts.sum())

    def columns(self) -> ReferenceColumns:
        """All rows that were added."""
        grid = self.node.metadata.grid_shape
        if not self._parts:
            self.add_missing(0)
        return ReferenceColumns(
            grid_shape=grid,
            positions=None,
            file_index=np.concatenate([rows.index for rows in self._parts]),
            offsets=np.concatenate([rows.offsets for rows in self._parts]),
            lengths=np.concatenate([rows.lengths for rows in self._parts]),
            inline=b"".join(self._inline),
        )


def _read(source: Source, limits: Limits) -> Any:
    """One table; pyarrow itself looks neither at the texts nor at the numbers of a dictionary."""
    _check_size(source, source.size, limits)
    data = pa.BufferReader(source.range(0, source.size))
    # UnicodeDecodeError: names of columns
    kinds = (pa.ArrowException, OSError, UnicodeDecodeError)
    with translated(kinds, MalformedFileError, f"{source.url}: is not a table of references"):
        metadata = pq.read_metadata(data)
        groups = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        _check_size(source, sum(groups), limits)
        _check_growth(source, metadata.num_rows, sum(groups))
        names = _columns(metadata.schema.to_arrow_schema(), source.url)
        texts = [name for name in _TEXTS if name in names]
        table = pq.ParquetFile(data, metadata=metadata, read_dictionary=texts).read(columns=names)
        table.validate(full=True)
    return table


def _check_size(source: Source, size: int, limits: Limits) -> None:
    if size > limits.max_metadata_bytes:
        raise MalformedFileError(
            f"{source.url}: is a table of {size} bytes, more than the limit of {limits.max_metadata_bytes}"
        )


def _check_growth(source: Source, rows: int, decoded: int) -> None:
    """Refuse a table that becomes far more in memory than others of its size: runs of equal values take no bytes."""
    if rows > _MAX_ROWS + _ROWS_PER_BYTE * source.size or decoded > _MAX_DECODED + _DECODED_PER_BYTE * source.size:
        hint = f"{rows} rows of {decoded} bytes in a table of {source.size} bytes; write it with a smaller record_size"
        raise UnsupportedFeatureError("table that grows", source.url, hint)


def _columns(schema: Any, where: str) -> list[str]:
    """The names of the columns that references have; others are not looked at."""
    columns = [column for column in schema if column.name in (*_TEXTS, *_NUMBERS)]
    names = [column.name for column in columns]
    if len(set(names)) != len(names):
        raise MalformedFileError(f"{where}: several columns have the same name: {names}")
    for column in columns:
        tests, meant = (_IS_TEXT, "texts") if column.name in _TEXTS else (_IS_NUMBER, "numbers")
        held = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not any(test(held) for test in tests):
            raise MalformedFileError(f"{where}: the column {column.name!r} holds {held}, not {meant}")
    return names


def _dictionary(column: Any) -> tuple[Any, NDArray[np.int64]]:
    """The distinct values of a column of texts, and for each row which one it has; -1 where it has none."""
    combined = _one(column)
    if combined.null_count == len(combined):
        return combined, np.full(len(combined), -1, "i8")
    if not pa.types.is_dictionary(combined.type):
        combined = combined.dictionary_encode()
    codes, valid = _buffers(combined.indices)
    return combined.dictionary, np.where(valid, codes, -1).astype("i8")


def _locations(values: Any, where: str) -> list[str]:
    """The values of a column of locations."""
    try:
        locations: list[str] = values.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid as error:
        raise MalformedFileError(f"{where}: locations are not texts: {error}") from error
    if not all(locations):
        raise MalformedFileError(f"{where}: a location is empty; where nothing is stored it must be null")
    return locations


def _one(column: Any) -> Any:
    """A column in one piece."""
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _buffers(column: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The numbers of a column, and which are not null. Its own `to_numpy` would import pandas where it is installed."""
    bitmap, data = column.buffers()
    rows = slice(column.offset, column.offset + len(column))
    dtype = np.dtype({"double": "f8", "float": "f4", "halffloat": "f2"}.get(str(column.type), str(column.type)))
    if bitmap is None:
        valid = np.ones(len(column), bool)
    else:
        valid = np.unpackbits(np.frombuffer(bitmap, "u1"), bitorder="little")[rows].astype(bool)
    return np.frombuffer(data, dtype, rows.stop)[rows], valid


def _integers(column: Any, where: str) -> NDArray[np.uint64]:
    numbers, valid = _buffers(_one(column))
    numbers = np.where(valid, numbers, 0)
    if np.issubdtype(numbers.dtype, np.floating):
        numbers = numbers.astype("f8")
        whole = (numbers < 2.0**63) & (np.floor(numbers) == numbers)
        numbers = np.where(whole, numbers, -1).astype("i8")
    if np.issubdtype(numbers.dtype, np.integer) and bool((numbers < 0).any()):
        raise MalformedFileError(f"{where}: offsets and sizes must be whole numbers, not negative and below 2**63")
    return numbers.astype("u8")


def _decode(value: Any, where: str) -> bytes:
    """The bytes of an inline chunk; readers decode base64 where it says so."""
    data = value.encode("utf-8") if isinstance(value, str) else bytes(value)
    if not data.startswith(_BASE64):
        return data
    try:
        return base64.b64decode(data[len(_BASE64) :], validate=True)
    except binascii.Error as error:
        raise MalformedFileError(f"{where}: an inline chunk is not valid base64: {error}") from error
