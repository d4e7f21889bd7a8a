"""Contiguous datasets: one run of bytes in the file, or in raw files beside it."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from manifestry.plugin import (
    ChunkManifest,
    ParseContext,
    RegularGrid,
    Source,
    SourceError,
    SourceFile,
    UnsupportedFeatureError,
)

from manifestry_hdf5.libhdf5.files import library_errors
from manifestry_hdf5.libhdf5.opening import OpenFiles
from manifestry_hdf5.linked_files import PointsBy
from manifestry_hdf5.objects.attributes import decode_text
from manifestry_hdf5.objects.datasets import Dataset

__all__ = ["contiguous_rows", "contiguous_storage", "raw_files", "raw_sources"]

_EXTERNAL_FILES_MESSAGE: Final = 0x07

_TO_THE_END: Final = (1 << 64) - 1
"""Size of a raw file in the list that takes all that is left."""


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
    raw = raw_files(dataset)
    if raw is not None:
        return _external(dataset, raw, raw_sources(dataset, files), context)
    chunk_shape = _rows(dataset, context.chunk_bytes)
    return contiguous_rows(dataset, chunk_shape), chunk_shape


def contiguous_rows(dataset: Dataset, chunk_shape: tuple[int, ...]) -> ChunkManifest:
    """References to the elements of a contiguous dataset in chunks that follow each other in the file.

    Raises
    ------
    UnsupportedFeatureError
        The elements are in raw files beside the file.
    """
    if raw_files(dataset) is not None:
        raise UnsupportedFeatureError("virtual dataset of external raw files", dataset.path)
    with library_errors(dataset.path):
        offset = dataset.file.offset_of(dataset.id)
    grid = _grid(dataset, chunk_shape)
    if offset is None:
        return ChunkManifest.missing(grid)
    size = math.prod(chunk_shape) * dataset.stored_itemsize
    offsets = offset + np.arange(math.prod(grid), dtype="u8") * np.uint64(size)
    return ChunkManifest.from_columns(grid, dataset.file.files, 0, offsets, size)


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


def raw_files(dataset: Dataset) -> list[tuple[str, int, int]] | None:
    """Name, offset and size of the external raw files; None where there are none (section IV.A.2.h)."""
    if dataset.header and not any(message.kind == _EXTERNAL_FILES_MESSAGE for message in dataset.header):
        return None
    with library_errors(dataset.path):
        properties = dataset.properties
        count = properties.get_external_count()
        if not count:
            return None
        entries: list[Any] = [properties.get_external(i) for i in range(count)]
    return [(decode_text(name), int(offset), int(size)) for name, offset, size in entries]


def raw_sources(dataset: Dataset, files: OpenFiles) -> list[Source]:
    """The external raw files, which are looked for beside the HDF5 file; nothing is asked of them yet.

    Raises
    ------
    UnsupportedFeatureError
        The file may not point at one.
    """
    names = [name for name, _, _ in raw_files(dataset) or ()]
    try:
        return [files.link_target(dataset.file, name, PointsBy.RAW_FILE, dataset.path) for name in names]
    except SourceError as error:
        raise UnsupportedFeatureError("external raw file that cannot be read", dataset.path, str(error)) from error


def _external(
    dataset: Dataset, raw: list[tuple[str, int, int]], sources: list[Source], context: ParseContext
) -> tuple[ChunkManifest, tuple[int, ...]]:
    """References into raw files."""
    ends: list[int] = []
    total = 0
    for _, _, size in raw:
        total = dataset.nbytes if size in (_TO_THE_END, -1) else total + size
        ends.append(min(total, dataset.nbytes))
    starts = [0, *ends[:-1]]
    chunk_shape = _rows(dataset, context.chunk_bytes)
    if len([None for a, b in zip(starts, ends, strict=True) if b > a]) > 1:
        chunk_shape = _aligned_rows(dataset, math.gcd(*ends))
    grid, size = _grid(dataset, chunk_shape), math.prod(chunk_shape) * dataset.stored_itemsize
    first = np.arange(math.prod(grid), dtype="i8") * size
    rows = np.searchsorted(ends, first, "right")
    within = rows < len(ends)
    if not within.all() or (first + size > np.array(ends)[np.minimum(rows, len(ends) - 1)]).any():
        raise UnsupportedFeatureError("external raw files that end inside a chunk", dataset.path)
    offsets = first - np.array(starts)[rows] + np.array([offset for _, offset, _ in raw])[rows]
    files: list[SourceFile] = []
    table: dict[str, int] = {}
    for source in sources:
        if source.url not in table:
            table[source.url] = len(files)
            files.append(source.file)
    number = np.array([table[source.url] for source in sources])[rows]
    room = np.array([f.size or 0 for f in files])[number]
    if (offsets + size > room).any():
        hint = "what is missing reads as zeros in HDF5; repack the file"
        raise UnsupportedFeatureError("external raw file that is shorter than its part", dataset.path, hint)
    return ChunkManifest.from_columns(grid, files, number, offsets, size), chunk_shape
