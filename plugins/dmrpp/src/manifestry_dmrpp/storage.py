"""Chunks → references: byte ranges over a grid that follows from the declared shape, not from what the chunks say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from manifestry.plugin import (
    INLINE,
    ChunkManifest,
    Codec,
    FileTable,
    MalformedFileError,
    ParseContext,
    RegularGrid,
    UnsupportedFeatureError,
)
from numpy.typing import NDArray

from manifestry_dmrpp.chunk_list import ChunkList
from manifestry_dmrpp.copying import Copier, recode
from manifestry_dmrpp.elements import ElementType
from manifestry_dmrpp.filters import deflate_levels, filter_codecs, filter_names
from manifestry_dmrpp.locations import Locations

__all__ = ["Storage", "StorageBuilder"]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the elements of a variable are and how they are encoded."""

    chunk_shape: tuple[int, ...]
    codecs: tuple[Codec, ...]
    manifest: ChunkManifest


class StorageBuilder:
    """Makes references of the chunks of variables.

    Parameters
    ----------
    locations
        Where the files are.
    context
        Limits and common options.
    legacy
        Whether the document has no ``dmrpp:version``.
    """

    def __init__(self, locations: Locations, context: ParseContext, *, legacy: bool) -> None:
        self._locations = locations
        self._context = context
        self._legacy = legacy

    def build(self, chunks: ChunkList, shape: tuple[int, ...], element: ElementType) -> Storage:
        """The references of one variable.

        Raises
        ------
        MalformedFileError
            Chunks contradict the shape, or each other.
        UnsupportedFeatureError
            A filter without a codec, an href that is not allowed, or more than the limits allow.
        """
        chunk_shape = chunks.shape(shape)
        grid = tuple(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))
        chunk_bytes = math.prod(chunk_shape) * element.stored_size
        names = filter_names(chunks.properties, legacy=self._legacy)
        levels = deflate_levels(chunks.properties)
        masks = np.array(chunks.masks, "u8")
        common = int(np.bitwise_and.reduce(masks)) if len(masks) else 0
        filters = filter_codecs(names, levels, element.stored_size, chunk_bytes, common)
        if not any(chunks.sizes):
            return Storage(chunk_shape, (*element.codecs, *filters), ChunkManifest.missing(grid))
        if not math.prod(grid):
            raise MalformedFileError(
                f"{len(chunks)} chunks are listed for the shape {shape}: an array without elements must have none"
            )
        files, index = self._files(chunks)
        if chunks.is_block or "LBChunk" in chunks.properties:
            if bool((masks != common).any()):
                raise UnsupportedFeatureError("linked blocks with different filter masks")
            chunk_shape, manifest = self._join_blocks(
                chunks,
                shape,
                chunk_shape,
                files=files,
                index=index,
                plain_bytes=chunk_bytes if not filters else None,
            )
            return Storage(chunk_shape, (*element.codecs, *filters), manifest)
        flat = _grid_positions(chunks, chunk_shape, grid)
        offsets, sizes = _column(chunks.offsets), _column(chunks.sizes)
        inline = b""
        if bool((masks != common).any()):

            def codecs_of(mask: int) -> tuple[Codec, ...]:
                return filter_codecs(names, levels, element.stored_size, chunk_bytes, mask)

            index, offsets, sizes, inline = self._recode_inline(
                chunks, files, index, masks=masks, codecs_of=codecs_of, wanted=filters
            )
        elif not filters and len(flat) == 1 == math.prod(grid) and self._context.chunk_bytes:
            return self._divide(chunks, shape, element, files)
        if len(flat) == math.prod(grid) and bool((flat == np.arange(len(flat))).all()):
            manifest = ChunkManifest.from_columns(grid, files, index, offsets, sizes, inline=inline)
        else:
            budget = self._context.budget
            manifest = ChunkManifest.from_sparse(
                grid, files, flat, offsets, sizes, file_index=index, inline=inline, budget=budget
            )
        return Storage(chunk_shape, (*element.codecs, *filters), manifest)

    def copy_inline(self, manifest: ChunkManifest) -> ChunkManifest:
        """The same chunks, all of them inline, encoded as they are.

        Raises
        ------
        UnsupportedFeatureError
            There is too much to copy, or a file cannot be read.
        """
        rows, offsets, lengths = manifest.columns()
        stored = np.flatnonzero(manifest.stored & ~manifest.inlined).tolist()
        segments = [(manifest.files.urls[int(rows[n])], int(offsets[n]), int(lengths[n])) for n in stored]
        copier = Copier(self._locations, self._context.limits)
        copied = dict(zip(stored, copier.read_each(segments), strict=True))
        chunks = copied | manifest.inline_chunks()
        return ChunkManifest.from_inline(manifest.grid_shape, chunks, self._context.budget)

    def _files(self, chunks: ChunkList) -> tuple[FileTable, NDArray[np.uint32] | int]:
        index = np.array(chunks.href_index) if chunks.hrefs else None
        return self._locations.files_of(chunks.hrefs, index)

    def _divide(self, chunks: ChunkList, shape: tuple[int, ...], element: ElementType, files: FileTable) -> Storage:
        """One contiguous run of elements, in chunks of about the size that was asked for."""
        assert self._context.chunk_bytes is not None
        total = math.prod(shape) * element.stored_size
        if chunks.sizes[0] != total:
            raise MalformedFileError(f"the values have {chunks.sizes[0]} bytes: {total} are needed")
        chunk_shape = RegularGrid.divide(shape, element.stored_size, self._context.chunk_bytes)
        grid = tuple(n // c for n, c in zip(shape, chunk_shape, strict=True))
        size = math.prod(chunk_shape) * element.stored_size
        offsets = chunks.offsets[0] + np.arange(math.prod(grid), dtype="u8") * np.uint64(size)
        return Storage(chunk_shape, element.codecs, ChunkManifest.from_columns(grid, files, 0, offsets, size))

    def _join_blocks(
        self,
        chunks: ChunkList,
        shape: tuple[int, ...],
        chunk_shape: tuple[int, ...],
        *,
        files: FileTable,
        index: NDArray[np.uint32] | int,
        plain_bytes: int | None,
    ) -> tuple[tuple[int, ...], ChunkManifest]:
        """Chunks in pieces. Equal pieces of whole rows become chunks themselves; others are joined and kept inline."""
        grid = tuple(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))
        sizes = _column(chunks.sizes)
        if plain_bytes is not None and math.prod(grid) == 1 and chunk_shape == shape and shape:
            rows = _rows_of_blocks(sizes, shape, plain_bytes)
            if rows:
                pieces = (len(sizes), *(1,) * (len(shape) - 1))
                manifest = ChunkManifest.from_columns(pieces, files, index, _column(chunks.offsets), sizes)
                return (rows, *shape[1:]), manifest
        flat = np.zeros(len(chunks), "i8") if chunks.is_block else _grid_positions(chunks, chunk_shape, grid)
        rows_of = np.broadcast_to(np.asarray(index), (len(chunks),)).tolist()
        copier = Copier(self._locations, self._context.limits)
        parts: dict[int, list[tuple[str, int, int]]] = {}
        for at, row, offset, size in zip(flat.tolist(), rows_of, chunks.offsets, chunks.sizes, strict=True):
            parts.setdefault(at, []).append((files.urls[row], offset, size))
        return chunk_shape, ChunkManifest.from_inline(
            grid, {at: copier.read(p) for at, p in parts.items()}, self._context.budget
        )

    def _recode_inline(
        self,
        chunks: ChunkList,
        files: FileTable,
        index: NDArray[np.uint32] | int,
        *,
        masks: NDArray[np.uint64],
        codecs_of: Callable[[int], tuple[Codec, ...]],
        wanted: Sequence[Codec],
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64], bytes]:
        """Columns in which the chunks that skipped a filter are inline, encoded as the others are."""
        rows = np.broadcast_to(np.asarray(index, "u4"), (len(chunks),)).copy()
        offsets, sizes = _column(chunks.offsets).copy(), _column(chunks.sizes).copy()
        common = int(np.bitwise_and.reduce(masks))
        copier = Copier(self._locations, self._context.limits)
        blob = bytearray()
        for at in np.flatnonzero(masks != common).tolist():
            raw = copier.read([(files.urls[int(rows[at])], int(offsets[at]), int(sizes[at]))])
            data = recode(raw, codecs_of(int(masks[at])), wanted)
            rows[at], offsets[at], sizes[at] = INLINE, len(blob), len(data)
            blob += data
        return rows, offsets, sizes, bytes(blob)


def _column(values: Any) -> NDArray[np.uint64]:
    return np.frombuffer(values, "u8")


def _grid_positions(chunks: ChunkList, chunk_shape: tuple[int, ...], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Where each chunk is in the grid, in C order; every position is checked against the declared shape."""
    positions = chunks.positions() if chunk_shape else None
    if positions is None:
        if len(chunks) != 1 or math.prod(grid) != 1:
            raise MalformedFileError(f"{len(chunks)} chunks have no positions: they must have, in a grid of {grid}")
        return np.zeros(1, "i8")
    ndim = len(chunk_shape)
    if positions.shape[1] == ndim + 1 and not positions[:, ndim].any():
        positions = positions[:, :ndim]  # HDF5 counts the bytes of an element as one more dimension
    if positions.shape[1] != ndim:
        raise MalformedFileError(
            f"chunk positions have {positions.shape[1]} coordinates: must have {ndim}, one for each dimension"
        )
    flat = np.zeros(len(positions), "i8")
    for axis, (length, count) in enumerate(zip(chunk_shape, grid, strict=True)):
        at, rest = np.divmod(positions[:, axis], length)
        if rest.any():
            raise MalformedFileError(f"a chunk position on axis {axis} is not a multiple of the chunk length {length}")
        if bool((at >= count).any()):
            raise MalformedFileError(f"the chunk position {int(positions[:, axis].max())} lies outside axis {axis}")
        flat = flat * count + at
    return flat


def _rows_of_blocks(sizes: NDArray[np.uint64], shape: tuple[int, ...], total: int) -> int:
    """Rows of each block when all have the same whole number of them; 0 when they have not."""
    if int(sizes.sum()) != total or bool((sizes != sizes[0]).any()):
        return 0
    row = total // shape[0]
    return int(sizes[0]) // row if row and int(sizes[0]) % row == 0 else 0
