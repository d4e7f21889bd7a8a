"""Contiguous datasets: one run of bytes in the file, or in raw files beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from manifestry.plugin import (
    ChunkManifest,
    MalformedFileError,
    ParseContext,
    RegularGrid,
    Source,
    SourceError,
    SourceFile,
    UnsupportedFeatureError,
)

from manifestry_hdf5.linked_files import PointsBy
from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.open_files import OpenFiles
from manifestry_hdf5.structures.data_objects.data_layout_message import ContiguousLayout

__all__ = ["RawFile", "contiguous_rows", "contiguous_storage", "data_place", "find_raw_files"]


class RawFile(NamedTuple):
    """A part of the bytes of a dataset in an external raw file.

    Attributes
    ----------
    start, stop
        Of the part, among the bytes of the dataset.
    offset
        Where the part begins in the raw file.
    """

    source: Source
    start: int
    stop: int
    offset: int


def contiguous_storage(
    dataset: Dataset, files: OpenFiles, context: ParseContext
) -> tuple[ChunkManifest, tuple[int, ...]]:
    """References to the elements, and the shape of a chunk.

    Without `chunk_bytes` in the context, all elements are one chunk where they are in one file.

    Raises
    ------
    UnsupportedFeatureError
        The raw files divide the elements where no chunk ends, or may not be pointed at.
    SourceError
        A raw file is missing.
    """
    raw = find_raw_files(dataset, files)
    if raw:
        return _external(dataset, raw, context)
    chunk_shape = _rows(dataset, context.chunk_bytes)
    return contiguous_rows(dataset, chunk_shape), chunk_shape


def data_place(dataset: Dataset, layout: ContiguousLayout) -> int | None:
    """Absolute position of the elements, None where none are stored.

    Raises
    ------
    MalformedFileError
        There are fewer bytes than elements need.
    """
    if layout.address is None:
        return None
    if layout.size is not None and layout.size < dataset.nbytes:
        raise MalformedFileError(
            f"data layout message: {layout.size} bytes where {dataset.nbytes} are expected for shape {dataset.shape}"
        )
    return dataset.file.superblock.base + layout.address


def contiguous_rows(dataset: Dataset, chunk_shape: tuple[int, ...]) -> ChunkManifest:
    """References to the elements of a contiguous dataset in chunks that follow each other in the file.

    Raises
    ------
    UnsupportedFeatureError
        The elements are in raw files beside the file, or such chunks do not follow each other in it.
    MalformedFileError
        As `data_place`.
    """
    if not _follow_each_other(dataset.shape, chunk_shape):
        raise UnsupportedFeatureError("virtual dataset of parts of rows", dataset.path)
    if dataset.external is not None:
        raise UnsupportedFeatureError("virtual dataset of external raw files", dataset.path)
    assert isinstance(dataset.layout, ContiguousLayout)
    offset = data_place(dataset, dataset.layout)
    grid = _grid(dataset, chunk_shape)
    if offset is None:
        return ChunkManifest.missing(grid)
    size = math.prod(chunk_shape) * dataset.stored_itemsize
    offsets = offset + np.arange(math.prod(grid), dtype="u8") * np.uint64(size)
    return ChunkManifest.from_columns(grid, dataset.file.files, 0, offsets, size)


def _follow_each_other(shape: Sequence[int], chunk_shape: Sequence[int]) -> bool:
    """Whether the elements of each chunk, and all chunks in order, are one run of the elements in C order."""
    first = next((axis for axis, n in enumerate(chunk_shape) if n > 1), len(shape))
    whole = all(n == length for n, length in zip(chunk_shape[first + 1 :], shape[first + 1 :], strict=True))
    return whole and (first == len(shape) or math.prod(shape[:first]) == 1 or shape[first] % chunk_shape[first] == 0)


def _grid(dataset: Dataset, chunk_shape: tuple[int, ...]) -> tuple[int, ...]:
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, chunk_shape, strict=True))
    return grid + (1,) * len(dataset.element.shape)


def _rows(dataset: Dataset, chunk_bytes: int | None) -> tuple[int, ...]:
    """The shape of chunks of about `chunk_bytes` that follow each other in the file; of all elements without it."""
    return (
        dataset.shape
        if chunk_bytes is None
        else RegularGrid.divide(dataset.shape, dataset.stored_itemsize, chunk_bytes)
    )


def _aligned_rows(dataset: Dataset, step: int) -> tuple[int, ...]:
    """The shape of the largest chunks that follow each other in the file and begin and end on multiples of a step.

    Where a step ends inside an element there are none; the shape is that of one element then.
    """
    run = dataset.nbytes
    for axis, length in enumerate(dataset.shape):
        if step % run == 0:
            return (1,) * axis + dataset.shape[axis:]
        run //= length
        if step % run == 0:
            return (1,) * axis + (math.gcd(length, step // run),) + dataset.shape[axis + 1 :]
    return (1,) * len(dataset.shape)


def find_raw_files(dataset: Dataset, files: OpenFiles) -> list[RawFile]:
    """The external raw files of a dataset, which are looked for beside the HDF5 file; none where it has none.

    Raises
    ------
    UnsupportedFeatureError
        The file may not point at one.
    """
    parts: list[RawFile] = []
    end = 0
    for name, offset, size in dataset.file.external_files(dataset.external):
        try:
            source = files.link_target(dataset.file, decode_text(name), PointsBy.RAW_FILE, dataset.path)
        except SourceError as error:
            raise UnsupportedFeatureError("external raw file that cannot be read", dataset.path, str(error)) from error
        start, end = end, dataset.nbytes if size is None else min(end + size, dataset.nbytes)
        parts.append(RawFile(source, start, end, offset))
    return parts


def _external(dataset: Dataset, raw: list[RawFile], context: ParseContext) -> tuple[ChunkManifest, tuple[int, ...]]:
    """References into raw files."""
    starts, ends = np.array([part.start for part in raw]), np.array([part.stop for part in raw])
    chunk_shape = _rows(dataset, context.chunk_bytes)
    if np.count_nonzero(ends > starts) > 1:
        chunk_shape = _aligned_rows(dataset, math.gcd(*ends.tolist()))
    grid, size = _grid(dataset, chunk_shape), math.prod(chunk_shape) * dataset.stored_itemsize
    first = np.arange(math.prod(grid), dtype="i8") * size
    rows = np.searchsorted(ends, first, "right")
    if not (rows < len(ends)).all() or (first + size > ends[np.minimum(rows, len(ends) - 1)]).any():
        raise UnsupportedFeatureError("external raw files that end inside a chunk", dataset.path)
    offsets = first - starts[rows] + np.array([part.offset for part in raw])[rows]
    files: list[SourceFile] = []
    table: dict[str, int] = {}
    for part in raw:
        if part.source.url not in table:
            table[part.source.url] = len(files)
            files.append(part.source.file)
    number = np.array([table[part.source.url] for part in raw])[rows]
    room = np.array([f.size or 0 for f in files])[number]
    if (offsets + size > room).any():
        hint = "what is missing reads as zeros in HDF5; repack the file"
        raise UnsupportedFeatureError("external raw file that is shorter than its part", dataset.path, hint)
    return ChunkManifest.from_columns(grid, files, number, offsets, size), chunk_shape
