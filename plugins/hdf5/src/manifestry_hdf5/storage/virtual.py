"""Virtual datasets: boxes of other datasets, as references to their chunks (section IV.A.2.i, "virtual storage").

A mapping is expressed where both boxes begin and end on boundaries of one chunk grid. Sources without chunks are divided
along their first dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from h5py import h5s
from manifestry.plugin import (
    INLINE,
    ChunkManifest,
    Codec,
    FileTable,
    MalformedFileError,
    SourceError,
    UnsupportedFeatureError,
    VirtualArray,
    values_equal,
)
from numpy.typing import NDArray

from manifestry_hdf5.libhdf5.files import OpenFile, library_errors
from manifestry_hdf5.libhdf5.opening import OpenFiles
from manifestry_hdf5.linked_files import PointsBy
from manifestry_hdf5.objects.attributes import decode_text
from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.storage.contiguous import contiguous_rows
from manifestry_hdf5.structures.layout import LayoutClass

__all__ = [
    "Mapping",
    "VirtualStorage",
    "endless_names",
    "open_sources",
    "read_mappings",
    "source_names",
    "virtual_storage",
]

_SOURCE: Final = "virtual dataset with a source"


@dataclass(slots=True, kw_only=True)
class Mapping:
    """One box of a virtual dataset and the box of a source that it shows.

    Attributes
    ----------
    start, size
        Of the box in the virtual dataset.
    source
        The dataset that is shown.
    source_start
        Of the box in the source.
    axes
        For each dimension of the virtual dataset, the one of the source that it follows, or None where the box has a
        length of one.
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    source: Dataset
    source_start: tuple[int, ...]
    axes: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class VirtualStorage:
    """References of a virtual dataset, the shape of its chunks and the codecs of its sources."""

    manifest: ChunkManifest
    chunk_shape: tuple[int, ...]
    codecs: tuple[Codec, ...]


def source_names(dataset: Dataset) -> list[tuple[str, str]]:
    """The file and the path of the source of each mapping of a virtual dataset, as the file has them."""
    properties = dataset.properties
    with library_errors(dataset.path):
        return [
            (
                decode_text(_raw(properties.get_virtual_filename(i))),
                decode_text(_raw(properties.get_virtual_dsetname(i))),
            )
            for i in range(properties.get_virtual_count())
        ]


def endless_names(dataset: Dataset) -> list[str]:
    """The files of those sources by which libhdf5 finds out how long a virtual dataset is."""
    properties = dataset.properties
    with library_errors(dataset.path):
        spaces = [properties.get_virtual_vspace(i) for i in range(properties.get_virtual_count())]
        return [name for (name, _), space in zip(source_names(dataset), spaces, strict=True) if _is_endless(space)]


def open_sources(
    dataset: Dataset, files: OpenFiles, describe: Callable[[OpenFile, str, str], Dataset]
) -> list[Dataset | None]:
    """The source of each mapping of a virtual dataset; None where a name is a pattern.

    Parameters
    ----------
    describe
        Makes a `Dataset` of an open file, the path in it, and the path of the virtual dataset.

    Raises
    ------
    UnsupportedFeatureError
        A source is missing, or the file may not point at it.
    """
    sources: list[Dataset | None] = []
    for name, path in source_names(dataset):
        try:
            target = (
                None if name == "." else files.link_target(dataset.file, name, PointsBy.VIRTUAL_SOURCE, dataset.path)
            )
            if "%" in name or "%" in path:
                sources.append(None)
            else:
                file = dataset.file if target is None else files.open(target)
                sources.append(describe(file, path, dataset.path))
        except (MalformedFileError, SourceError) as error:
            raise UnsupportedFeatureError(f"{_SOURCE} that is missing", dataset.path, str(error)) from error
    return sources


def read_mappings(dataset: Dataset, sources: Sequence[Dataset | None]) -> list[Mapping]:
    """The mappings of a virtual dataset, whose sources are open.

    Raises
    ------
    UnsupportedFeatureError
        A selection is no box, or a name is a pattern.
    """
    mappings = []
    properties = dataset.properties
    with library_errors(dataset.path):
        for i, source in enumerate(sources):
            if source is None:
                raise UnsupportedFeatureError("virtual dataset whose sources are a pattern", dataset.path)
            space, source_space = properties.get_virtual_vspace(i), properties.get_virtual_srcspace(i)
            start, size = _box(space, dataset.shape, dataset.path)
            source_start, source_size = _box(source_space, source.shape, dataset.path)
            if len(size) == len(source_size) and (_is_endless(space) or _is_endless(source_space)):
                size = source_size = tuple(map(min, size, source_size))  # what both have at present
            axes = _axes(size, source_size, dataset.path)
            mappings.append(Mapping(start=start, size=size, source=source, source_start=source_start, axes=axes))
    return mappings


def _raw(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape")


def _box(space: Any, shape: Sequence[int], path: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First element and lengths of a selection that is a box."""
    if space.get_select_type() == h5s.SEL_ALL:
        return (0,) * len(shape), tuple(shape)
    if space.get_select_type() != h5s.SEL_HYPERSLABS:
        raise UnsupportedFeatureError("virtual dataset with a selection that is no box", path)
    if _is_endless(space):
        return _endless_box(space.get_regular_hyperslab(), shape, path)
    low, high = space.get_select_bounds()
    size = tuple(int(b) - int(a) + 1 for a, b in zip(low, high, strict=True))
    if math.prod(size) != space.get_select_npoints():
        raise UnsupportedFeatureError("virtual dataset with a selection that is no box", path)
    return tuple(map(int, low)), size


def _is_endless(space: Any) -> bool:
    """Whether a selection has no end along some dimension."""
    return bool(
        space.get_select_type() == h5s.SEL_HYPERSLABS
        and space.is_regular_hyperslab()
        and any(n == h5s.UNLIMITED for part in space.get_regular_hyperslab() for n in part)
    )


def _endless_box(
    selection: tuple[tuple[int, ...], ...], shape: Sequence[int], path: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First element and lengths of a selection without an end, as far as there are elements at present."""
    size = []
    for start, stride, count, block, n in zip(*selection, shape, strict=True):
        if count != 1 and stride != block:
            raise UnsupportedFeatureError("virtual dataset with a selection that is no box", path)
        end = n if h5s.UNLIMITED in (count, block) else start + count * block
        size.append(max(0, end - start))
    return tuple(map(int, selection[0])), tuple(map(int, size))


def _axes(size: Sequence[int], source_size: Sequence[int], path: str) -> tuple[int | None, ...]:
    """Which dimension of the source each one follows: those longer than one, in order."""
    long = [axis for axis, n in enumerate(source_size) if n > 1]
    if [n for n in size if n > 1] != [source_size[axis] for axis in long]:
        raise UnsupportedFeatureError("virtual dataset that reshapes its source", path)
    if len(size) == len(source_size) and tuple(size) == tuple(source_size):
        return tuple(range(len(size)))
    order = iter(long)
    return tuple(next(order) if n > 1 else None for n in size)


def virtual_storage(
    dataset: Dataset, mappings: Sequence[Mapping], build: Callable[[Dataset], VirtualArray]
) -> VirtualStorage:
    """The references of a virtual dataset.

    Parameters
    ----------
    build
        Makes the array of a source with chunks.

    Raises
    ------
    UnsupportedFeatureError
        The sources do not share one chunk grid, one type or one chain of codecs, or overlap.
    """
    chunk_shape = _chunk_shape(dataset, mappings)
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, chunk_shape, strict=True))
    full = grid + (1,) * len(dataset.element.shape)
    files = _Files()
    rows, offsets, lengths = np.zeros(grid, "u4"), np.zeros(grid, "u8"), np.zeros(grid, "u8")
    taken = np.zeros(grid, bool)
    codecs: tuple[Codec, ...] | None = None
    for mapping in mappings:
        source, source_manifest, chain = mapping.source, *_view(mapping, chunk_shape, build)
        if source.element.dtype != dataset.element.dtype or (codecs is not None and codecs != chain):
            raise UnsupportedFeatureError("virtual dataset of differently stored sources", dataset.path)
        codecs = chain
        where, part = _place(dataset, mapping, chunk_shape, source_manifest)
        if taken[where].any():
            raise UnsupportedFeatureError("virtual dataset of overlapping sources", dataset.path)
        taken[where] = True
        gaps = part[2] == 0
        if gaps.any() and not values_equal(source.fill, dataset.fill):
            raise UnsupportedFeatureError("virtual dataset with another fill value than its sources", dataset.path)
        rows[where], offsets[where], lengths[where] = files.rows(source_manifest.files, part[0]), part[1], part[2]
    manifest = ChunkManifest.from_columns(full, files.table(), rows, offsets, lengths)
    return VirtualStorage(manifest, chunk_shape, codecs or (dataset.element.bytes_codec, *dataset.element.storage))


class _Files:
    """The files of all sources as one table."""

    def __init__(self) -> None:
        self._tables: list[FileTable] = []

    def rows(self, table: FileTable, rows: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Rows of one table as rows of the common one."""
        union, maps = FileTable.union([*self._tables, table])
        self._tables = [union]
        if (rows == INLINE).any():
            raise UnsupportedFeatureError("virtual dataset of sources that had to be copied")
        return maps[-1][rows] if len(table) else rows

    def table(self) -> FileTable:
        """The common table."""
        return self._tables[0] if self._tables else FileTable()


def _chunk_shape(dataset: Dataset, mappings: Sequence[Mapping]) -> tuple[int, ...]:
    """The chunk shape that all sources have, seen from the virtual dataset."""
    shapes = set()
    for mapping in mappings:
        if mapping.source.chunk_shape is None:
            continue
        chunk = mapping.source.chunk_shape
        shapes.add(tuple(1 if axis is None else chunk[axis] for axis in mapping.axes))
        if any(chunk[axis] != 1 for axis in range(len(chunk)) if axis not in mapping.axes):
            raise UnsupportedFeatureError("virtual dataset whose source chunks have more dimensions", dataset.path)
    if len(shapes) > 1 or (shapes and any(m.source.chunk_shape is None for m in mappings)):
        raise UnsupportedFeatureError("virtual dataset of sources with different chunks", dataset.path)
    if shapes:
        return shapes.pop()
    if not mappings:
        return tuple(max(1, n) for n in dataset.shape)
    return _common_rows(dataset, mappings)


def _common_rows(dataset: Dataset, mappings: Sequence[Mapping]) -> tuple[int, ...]:
    """The longest rows that contiguous sources have in common."""
    shape = []
    first = True  # a run of bytes can be divided along its first dimension only
    for axis in range(len(dataset.shape)):
        follow = [m.axes[axis] for m in mappings]
        if all(a is None for a in follow):
            shape.append(1)
            continue
        lengths = [m.size[axis] for m in mappings]
        if first:
            borders = [m.start[axis] for m in mappings] + [
                m.source_start[a] for m in mappings if (a := m.axes[axis]) is not None
            ]
            shape.append(math.gcd(*lengths, *borders))
        else:
            whole = all(
                a is not None and m.source.shape[a] == m.size[axis] for a, m in zip(follow, mappings, strict=True)
            )
            if not whole or len(set(lengths)) > 1:
                raise UnsupportedFeatureError("virtual dataset of parts of rows", dataset.path)
            shape.append(lengths[0])
        first = False
    return tuple(shape)


def _view(
    mapping: Mapping, chunk_shape: Sequence[int], build: Callable[[Dataset], VirtualArray]
) -> tuple[ChunkManifest, tuple[Codec, ...]]:
    """The references of a source in chunks like those of the virtual dataset, and its codecs."""
    source = mapping.source
    if source.chunk_shape is not None:
        array = build(source)
        return array.manifest, array.metadata.codecs
    if source.layout != LayoutClass.CONTIGUOUS:
        raise UnsupportedFeatureError("virtual dataset of sources that are neither contiguous nor chunked", source.path)
    rows = [1] * len(source.shape)
    for axis, length in zip(mapping.axes, chunk_shape, strict=True):
        if axis is not None:
            rows[axis] = length
    return contiguous_rows(source, tuple(rows)), (source.element.bytes_codec, *source.element.storage)


def _place(
    dataset: Dataset, mapping: Mapping, chunk_shape: Sequence[int], manifest: ChunkManifest
) -> tuple[tuple[slice, ...], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Where in the grid of the virtual dataset the chunks of a source go, and their columns in that shape."""
    source_grid: list[slice | int] = [0] * len(mapping.source.shape)
    for axis, start in enumerate(mapping.source_start):
        if axis not in mapping.axes:
            source_grid[axis] = start  # chunks have length one here
    box = []
    for axis, (start, size, chunk) in enumerate(zip(mapping.start, mapping.size, chunk_shape, strict=True)):
        end, count = start + size, -(-size // chunk)
        follow = mapping.axes[axis]
        first = 0 if follow is None else mapping.source_start[follow]
        if start % chunk or first % chunk or (end % chunk and end != dataset.shape[axis]):
            raise UnsupportedFeatureError("virtual dataset whose boxes end inside chunks", dataset.path)
        box.append(slice(start // chunk, start // chunk + count))
        if follow is not None:
            source_grid[follow] = slice(first // chunk, first // chunk + count)
    grid = manifest.grid_shape[: len(mapping.source.shape)]
    shape = tuple(s.stop - s.start for s in box)
    picked = [column.reshape(grid)[tuple(source_grid)].reshape(shape) for column in manifest.columns()]
    return tuple(box), (picked[0], picked[1], picked[2])
