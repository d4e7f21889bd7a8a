"""ChunkManifest: for every chunk of an array, which bytes of which file hold it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manifestry.errors import ManifestError
from manifestry.model.columns import (
    collapse,
    equal_runs,
    flat_positions,
    grid_of,
    join_columns,
    join_grids,
    make_column,
    narrow,
    normalise_missing,
    place_in,
    position,
    same_ranges,
    scatter,
    total,
)
from manifestry.model.files import FileMerger, FileTable, SourceFile
from manifestry.model.limits import Budget

__all__ = ["INLINE", "ChunkManifest", "ChunkReference", "FileRun"]

INLINE: Final = 0xFFFF_FFFF
"""The value of `ChunkManifest.file_index` that means: the bytes are in `ChunkManifest.inline`."""

_COLUMNS: Final = ("file_index", "offsets", "lengths")
"""The columns of `ChunkManifest`, as `ChunkManifest.from_columns` takes them."""


class ChunkReference(NamedTuple):
    """Where one chunk is: a byte range of a file, or the bytes themselves."""

    file: SourceFile | None
    offset: int
    length: int
    data: bytes | None = None


class FileRun(NamedTuple):
    """Consecutive chunks ``start:stop`` (C order) that lie in one file, are all inline, or are all missing."""

    start: int
    stop: int
    file: int | None  # row of the file table, INLINE, or None: not stored


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class ChunkManifest:
    """Immutable columns over the chunk grid in C order.

    Attributes
    ----------
    grid_shape
        Number of chunks along each dimension; ``()`` for a scalar, which has one chunk.
    files
        The distinct source objects.
    file_index
        uint32, shape ``()`` or ``(size,)``: row of `files`, or `INLINE`.
    offsets
        uint64, shape ``()`` or ``(size,)``, in bytes. For an inline chunk it points into `inline`.
    lengths
        Shape ``()`` or ``(size,)``, in bytes; uint32 where no chunk has 4 GiB, else uint64. Length 0: the chunk is not
        stored and reads as fill value.
    inline
        The bytes of all inline chunks.

    Notes
    -----
    A column that holds one value throughout is kept as that one number (shape ``()``), so an array of which nothing is
    stored costs nothing however large its grid. The form is canonical: chunks that are not stored have offset 0 and
    the file index of the first stored chunk, so equal manifests have equal columns. Building one copies and scans
    columns, and makes no Python object for a chunk.
    """

    grid_shape: tuple[int, ...]
    files: FileTable
    file_index: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint32] | NDArray[np.uint64]
    inline: bytes = b""

    def __post_init__(self) -> None:
        for column in _kept(self).values():
            column.flags.writeable = False

    @classmethod
    def from_columns(
        cls,
        grid_shape: Sequence[int],
        files: FileTable | Sequence[SourceFile],
        file_index: ArrayLike,
        offsets: ArrayLike,
        lengths: ArrayLike,
        *,
        inline: bytes = b"",
    ) -> ChunkManifest:
        """Make a manifest from columns in C order; each may be one number for all chunks.

        Raises
        ------
        ManifestError
            A column is neither one number nor as long as the grid, holds negative or fractional numbers, or refers
            to a file that is not in the table.
        """
        shape = grid_of(grid_shape)
        size = math.prod(shape)
        table = files if isinstance(files, FileTable) else FileTable(files)
        index = make_column("file_index", file_index, np.dtype("u4"), size)
        start = make_column("offsets", offsets, np.dtype("u8"), size)
        given = np.dtype("u4" if getattr(lengths, "dtype", None) == np.uint32 else "u8")
        count = narrow(make_column("lengths", lengths, given, size))
        if size == 0:
            none, nowhere = np.zeros((), "u4"), np.zeros((), "u8")
            return cls(grid_shape=shape, files=table, file_index=none, offsets=nowhere, lengths=none.copy())
        index, start = normalise_missing(index, start, count)
        index, start, count = collapse(index), collapse(start), collapse(count)
        if int(index.max()) >= len(table) and bool(count.any()):
            top = index[index != INLINE]
            if top.size and int(top.max()) >= len(table):
                raise ManifestError(f"file index {int(top.max())} is outside the table of {len(table)} files")
        return cls(grid_shape=shape, files=table, file_index=index, offsets=start, lengths=count, inline=inline)

    @classmethod
    def missing(cls, grid_shape: Sequence[int]) -> ChunkManifest:
        """A manifest of which no chunk is stored; takes no memory however large the grid."""
        return cls.from_columns(grid_shape, (), 0, 0, 0)

    @classmethod
    def single(cls, file: SourceFile, offset: int, length: int, grid_shape: Sequence[int] = ()) -> ChunkManifest:
        """A manifest of one chunk (a grid of ones), stored at one byte range."""
        return cls.from_columns(grid_shape, [file], 0, offset, length)

    @classmethod
    def from_sparse(
        cls,
        grid_shape: Sequence[int],
        files: FileTable | Sequence[SourceFile],
        chunks: ArrayLike,
        offsets: ArrayLike,
        lengths: ArrayLike,
        *,
        file_index: ArrayLike = 0,
        inline: bytes = b"",
        budget: Budget | None = None,
    ) -> ChunkManifest:
        """Make a manifest from the stored chunks only; all others are missing.

        Parameters
        ----------
        chunks
            Positions in C order, shape ``(n,)``, or grid coordinates, shape ``(n, ndim)``.
        offsets, lengths, file_index
            One number, or ``(n,)``.
        budget
            What is left of the limits of the source: columns take some 30 bytes a chunk while they are made.

        Raises
        ------
        ManifestError
            A position is outside the grid or occurs twice; a column is not valid.
        UnsupportedFeatureError
            The grid is too large, or nearly empty beyond the budget.
        """
        shape = grid_of(grid_shape)
        flat = flat_positions(np.asarray(chunks), shape)
        if flat.size == 0:
            return cls.missing(shape)
        size = math.prod(shape)
        (budget or Budget()).spend_grid(size, flat.size)
        listed = np.zeros(size, bool)
        listed[flat] = True
        if np.count_nonzero(listed) != flat.size:
            raise ManifestError("a chunk is listed twice")
        given = {"file_index": (file_index, "u4"), "offsets": (offsets, "u8"), "lengths": (lengths, "u8")}
        index, start, count = (
            scatter(make_column(name, values, np.dtype(kind), flat.size), flat, size)
            for name, (values, kind) in given.items()
        )
        return cls.from_columns(shape, files, index, start, count, inline=inline)

    @classmethod
    def from_inline(
        cls, grid_shape: Sequence[int], chunks: Mapping[int, bytes] | Sequence[bytes], budget: Budget | None = None
    ) -> ChunkManifest:
        """A manifest whose chunks are given as bytes: all of them, or by position in C order.

        Zero bytes are not a chunk: leave the position out instead. `budget` as for `from_sparse`.
        """
        items = dict(chunks) if isinstance(chunks, Mapping) else dict(enumerate(chunks))
        data = list(items.values())
        lengths = np.fromiter(map(len, data), "u8", len(data))
        if data and not lengths.all():
            raise ManifestError("an inline chunk has no bytes")
        offsets = np.cumsum(lengths, dtype="u8") - lengths
        return cls.from_sparse(
            grid_shape, (), list(items), offsets, lengths, file_index=INLINE, inline=b"".join(data), budget=budget
        )

    @classmethod
    def concatenate(
        cls, manifests: Sequence[ChunkManifest], axis: int, merger: FileMerger | None = None
    ) -> ChunkManifest:
        """One manifest of several along a dimension of the chunk grid; the other dimensions have equal grids.

        Raises
        ------
        IncompatibleArraysError
            The other dimensions differ, or a file changed between two manifests.
        """
        if len(manifests) == 1:
            return manifests[0]
        grids = [m.grid_shape for m in manifests]
        grid = join_grids(grids, axis)
        files, rows = (merger or FileMerger()).union([m.files for m in manifests])
        bases = np.cumsum([0, *(len(m.inline) for m in manifests[:-1])]).tolist()
        parts = zip(manifests, rows, bases, strict=True)
        placed = [place_in(_kept(m), INLINE if m.inline else None, own, base) for m, own, base in parts]
        joined = {name: join_columns([columns[name] for columns in placed], grids, axis) for name in _COLUMNS}
        return cls.from_columns(grid, files, **joined, inline=b"".join(m.inline for m in manifests))

    def rearrange(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> ChunkManifest:
        """The references at other places: every column, as an array over the grid, is put through `change`.

        Parameters
        ----------
        change
            Gives elements of its array, in any shape, order and number, the same for every column. Constant columns
            stay constant without it.
        """
        columns = _kept(self)
        changed = {name: change(column.reshape(self.grid_shape)) for name, column in columns.items() if column.ndim}
        for name, column in changed.items():
            columns[name] = column.reshape(-1)
            columns[name].flags.writeable = False
        one = next(iter(changed.values()), None)
        grid = change(np.broadcast_to(np.uint8(0), self.grid_shape)) if one is None else one
        return self.from_columns(grid.shape, self.files, **columns, inline=self.inline)

    def with_columns(self, **changed: ArrayLike) -> ChunkManifest:
        """The manifest with some columns changed; each is one number or has one for every chunk."""
        return self.from_columns(self.grid_shape, self.files, **_kept(self) | changed, inline=self.inline)

    def with_inline(self, chunks: NDArray[Any], offsets: ArrayLike, lengths: ArrayLike, data: bytes) -> ChunkManifest:
        """The manifest where `chunks` (positions in C order, or booleans for all) are ranges of `data`, whatever they were.

        `offsets` and `lengths` are one number, or have one for each of these chunks.
        """
        columns = {name: np.array(column) for name, column in zip(_COLUMNS, self.columns(), strict=True)}
        values = {"file_index": INLINE, "offsets": np.add(offsets, len(self.inline), dtype="u8"), "lengths": lengths}
        for name, value in values.items():
            columns[name][chunks] = value
            columns[name].flags.writeable = False
        return self.from_columns(self.grid_shape, self.files, **columns, inline=self.inline + data)

    @property
    def size(self) -> int:
        """Number of chunks in the grid, stored or not."""
        return math.prod(self.grid_shape)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: columns, inline chunks and the file table."""
        return sum(column.nbytes for column in _kept(self).values()) + len(self.inline) + self.files.nbytes

    def columns(self) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]]:
        """`file_index`, `offsets` and `lengths`, read-only, of shape ``(size,)``; constants take no memory.

        Lengths are uint64 here, whatever they are kept in.
        """
        shape = (self.size,)
        return (
            np.broadcast_to(self.file_index, shape),
            np.broadcast_to(self.offsets, shape),
            np.broadcast_to(self.lengths.astype("u8", copy=False), shape),
        )

    @property
    def stored(self) -> NDArray[np.bool_]:
        """Which chunks are stored, shape ``(size,)``."""
        return np.broadcast_to(self.lengths != 0, (self.size,))

    @property
    def inlined(self) -> NDArray[np.bool_]:
        """Which chunks are stored in `inline`, shape ``(size,)``."""
        return np.broadcast_to((self.file_index == INLINE) & (self.lengths != 0), (self.size,))

    def inline_chunks(self) -> dict[int, bytes]:
        """The bytes of the chunks that are stored in `inline`, by position in C order."""
        _, offsets, lengths = self.columns()
        at = np.flatnonzero(self.inlined)
        ranges = zip(at.tolist(), offsets[at].tolist(), lengths[at].tolist(), strict=True)
        return {n: self.inline[start : start + length] for n, start, length in ranges}

    @property
    def stored_count(self) -> int:
        """Number of chunks that are stored."""
        return self.size * bool(self.lengths) if self.lengths.ndim == 0 else int(np.count_nonzero(self.lengths))

    @property
    def stored_bytes(self) -> int:
        """Bytes that the stored chunks take, in files and inline."""
        return int(self.lengths) * self.size if self.lengths.ndim == 0 else total(self.lengths)

    def __getitem__(self, index: int | tuple[int, ...]) -> ChunkReference | None:
        """The reference of one chunk by its grid coordinates, or None when it is not stored.

        Raises
        ------
        IndexError
            The coordinates are outside the grid.
        """
        flat = position(index if isinstance(index, tuple) else (index,), self.grid_shape)
        length = _at(self.lengths, flat)
        if length == 0:
            return None
        row, offset = _at(self.file_index, flat), _at(self.offsets, flat)
        if row == INLINE:
            return ChunkReference(None, offset, length, self.inline[offset : offset + length])
        return ChunkReference(self.files[row], offset, length)

    def runs(self) -> Iterator[FileRun]:
        """Split the grid (C order) where the file changes: what writers that take one file at a time walk over."""
        if self.size == 0:
            return
        if self.lengths.ndim == 0 and self.file_index.ndim == 0:
            yield FileRun(0, self.size, int(self.file_index) if int(self.lengths) else None)
            return
        for start, stop, file in equal_runs(np.where(self.lengths == 0, np.int64(-1), self.file_index.astype("i8"))):
            yield FileRun(start, stop, None if file < 0 else file)

    def relocate(self, prefixes: Mapping[str, str]) -> ChunkManifest:
        """The same references with other URLs; see `FileTable.relocate`."""
        return replace(self, files=self.files.relocate(prefixes))

    def to_dict(self) -> dict[str, ChunkReference]:
        """The stored chunks by their dotted coordinates (``"0.1"``; ``"0"`` for a scalar). For looking at."""
        found = {}
        for flat in np.flatnonzero(self.stored).tolist():
            at = tuple(int(i) for i in np.unravel_index(flat, self.grid_shape)) if self.grid_shape else ()
            reference = self[at]
            assert reference is not None
            found[".".join(map(str, at)) or "0"] = reference
        return found

    def __eq__(self, other: object) -> bool:
        """Whether both refer to the same bytes of the same files; the order of the file tables does not matter."""
        if not isinstance(other, ChunkManifest):
            return NotImplemented
        if self.grid_shape != other.grid_shape or not np.array_equal(self.stored, other.stored):
            return False
        here = np.flatnonzero(self.stored)
        (a_file, a_start, a_count), (b_file, b_start, b_count) = (
            [column[here] for column in manifest.columns()] for manifest in (self, other)
        )
        inline = a_file == INLINE
        return (
            np.array_equal(inline, b_file == INLINE)
            and np.array_equal(a_count, b_count)
            and np.array_equal(a_start[~inline], b_start[~inline])
            and self.files.same_rows(other.files, a_file[~inline], b_file[~inline])
            and same_ranges(self.inline, a_start[inline], other.inline, b_start[inline], lengths=a_count[inline])
        )

    def __hash__(self) -> int:
        return hash((self.grid_shape, self.stored_count, self.stored_bytes))

    def __repr__(self) -> str:
        return (
            f"<ChunkManifest grid={self.grid_shape} stored={self.stored_count} of {self.size}, "
            f"{len(self.files)} file{'' if len(self.files) == 1 else 's'}, {len(self.inline)} bytes inline>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, tuple(getattr(self, name) for name in ChunkManifest.__slots__)


def _rebuilt(*values: Any) -> ChunkManifest:
    """A manifest out of a pickle: the values of its fields, whose names would take more than some manifests do."""
    return ChunkManifest(**dict(zip(ChunkManifest.__slots__, values, strict=True)))


def _kept(manifest: ChunkManifest) -> dict[str, NDArray[Any]]:
    """Every column by its name, in the form that it is kept in."""
    return {name: getattr(manifest, name) for name in _COLUMNS}


def _at(column: NDArray[Any], flat: int) -> int:
    return int(column if column.ndim == 0 else column[flat])
