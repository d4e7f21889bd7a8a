"""Virtual datasets: parts of other datasets, as references to their chunks, or as copied values.

A part is expressed where both boxes begin and end on boundaries of one chunk grid. Sources without chunks are divided along
their first dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
from manifestry import Budget
from manifestry.plugin import (
    INLINE,
    ChunkManifest,
    Codec,
    FileTable,
    UnsupportedFeatureError,
    VirtualArray,
    values_equal,
)
from numpy.typing import NDArray

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.stored_values import TooManyBytesError, elements_of
from manifestry_hdf5.storage.contiguous import contiguous_rows
from manifestry_hdf5.storage.elements import Box
from manifestry_hdf5.storage.virtual_sources import Part
from manifestry_hdf5.structures.data_objects.data_layout_message import ContiguousLayout
from manifestry_hdf5.structures.encodings.dataspace_selection import Selection
from manifestry_hdf5.structures.encodings.selected_elements import (
    flat_positions,
    selected_box,
)

__all__ = ["VirtualStorage", "virtual_storage", "virtual_values"]

_BYTES_OF_A_CHUNK: Final = 1024
"""Of so many bytes of its sources at least one chunk of a virtual dataset is made: smaller ones are few."""

type Values = NDArray[Any]


@dataclass(slots=True, kw_only=True)
class _BoxMapping:
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


def _box_mapping(dataset: Dataset, part: Part) -> _BoxMapping:
    """A part whose elements are boxes.

    Raises
    ------
    UnsupportedFeatureError
        They are not.
    """
    virtual = selected_box(part.virtual, dataset.shape, part.slices)
    source = selected_box(part.source, part.dataset.shape, part.slices)
    if virtual is None or source is None:
        raise UnsupportedFeatureError("virtual dataset with a selection that is no box", dataset.path)
    axes = _axes(virtual[1], source[1], dataset.path)
    return _BoxMapping(start=virtual[0], size=virtual[1], source=part.dataset, source_start=source[0], axes=axes)


def _axes(size: Sequence[int], source_size: Sequence[int], path: str) -> tuple[int | None, ...]:
    """Which dimension of the source each one follows: those longer than one, in order."""
    long = [axis for axis, n in enumerate(source_size) if n > 1]
    if [n for n in size if n > 1] != [source_size[axis] for axis in long]:
        raise UnsupportedFeatureError("virtual dataset that reshapes its source", path)
    if len(size) == len(source_size) and tuple(size) == tuple(source_size):
        return tuple(range(len(size)))
    order = iter(long)
    return tuple(next(order) if n > 1 else None for n in size)


def virtual_values(
    dataset: Dataset, parts: Sequence[Part], read: Callable[[Dataset, Box], Values], limit: int
) -> Values:
    """All elements of a virtual dataset, in the form of the model.

    Parameters
    ----------
    read
        Reads a box of a source.
    limit
        Bytes that may be read.

    Raises
    ------
    UnsupportedFeatureError
        A source has another type, whose values are not all among those of the virtual dataset.
    TooManyBytesError
        More has to be read than may be.
    """
    size = dataset.stored_itemsize
    stored = np.frombuffer(dataset.stored_fill or bytes(size), "u1", size).reshape(1, size)
    fill = elements_of(
        stored, dataset.datatype, dataset.element, dataset.file.heap, limit=limit, target_of=dataset.file.target_of
    )
    for part in parts:
        _check_type(dataset, part.dataset)
    found = [(_positions(part.virtual, dataset, part.slices, limit), _selected(part, read, limit)) for part in parts]
    dtype = reduce(np.promote_types, [values.dtype for _, values in found], fill.dtype)
    target = np.empty((math.prod(dataset.shape), *fill.shape[1:]), dtype)
    for row in range(len(target)) if fill.dtype.hasobject else ():
        target[row] = fill[0]
    if not fill.dtype.hasobject:
        target[:] = fill[0]
    for positions, values in found:
        target[positions] = values
    return target.reshape(dataset.shape + fill.shape[1:])


def _check_type(dataset: Dataset, source: Dataset) -> None:
    """Make sure that a source has the type of the virtual dataset, or numbers or fixed texts that it holds all of."""
    own, other = dataset.element, source.element
    if own.references and source.file is not dataset.file:
        raise UnsupportedFeatureError("virtual dataset of references in other files", dataset.path)
    same = (own.dtype, own.members, own.references) == (other.dtype, other.members, other.references)
    wider = (
        any(np.issubdtype(own.dtype, kind) and np.issubdtype(other.dtype, kind) for kind in (np.number, np.bytes_))
        and np.promote_types(own.dtype, other.dtype) == own.dtype
    )
    if own.shape != other.shape or not (same or wider):
        raise UnsupportedFeatureError("virtual dataset with a source of another type", dataset.path)


def _positions(selection: Selection, dataset: Dataset, slices: int | None, limit: int) -> NDArray[np.int64]:
    refusal = UnsupportedFeatureError("virtual dataset of many elements that have to be copied", dataset.path)
    return flat_positions(selection, dataset.shape, slices, limit=limit, refusal=refusal)


def _selected(part: Part, read: Callable[[Dataset, Box], Values], limit: int) -> Values:
    """The elements that a part takes from its source, in order: the rows of the first dimension with them are read."""
    source = part.dataset
    positions = _positions(part.source, source, part.slices, limit)
    row = math.prod(source.shape[1:])
    if not source.shape:
        values = read(source, Box.whole(()))
    elif not len(positions):
        values = read(source, Box((0,) * len(source.shape), (0,) * len(source.shape)))
    else:
        low, high = int(positions.min()) // row, int(positions.max()) // row + 1
        if (high - low) * row * source.stored_itemsize > limit:
            raise TooManyBytesError
        values = read(source, Box((low,) + (0,) * (len(source.shape) - 1), (high - low, *source.shape[1:])))
        positions = positions - low * row
    return values.reshape(-1, *source.element.shape)[positions]


def virtual_storage(
    dataset: Dataset, parts: Sequence[Part], build: Callable[[Dataset], VirtualArray], budget: Budget
) -> VirtualStorage:
    """The references of a virtual dataset.

    Parameters
    ----------
    build
        Makes the array of a source with chunks.
    budget
        What is left for grids.

    Raises
    ------
    UnsupportedFeatureError
        The sources do not share one chunk grid, one type or one chain of codecs, or overlap.
    """
    mappings = [mapping for part in parts if all((mapping := _box_mapping(dataset, part)).size)]
    chunk_shape = _chunk_shape(dataset, mappings)
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, chunk_shape, strict=True))
    full = grid + (1,) * len(dataset.element.shape)
    sizes = {mapping.source.file.source.url: mapping.source.file.source.size for mapping in mappings}
    budget.spend_grid(math.prod(grid), sum(sizes.values()) // _BYTES_OF_A_CHUNK, dataset.path)
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


def _chunk_shape(dataset: Dataset, mappings: Sequence[_BoxMapping]) -> tuple[int, ...]:
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


def _common_rows(dataset: Dataset, mappings: Sequence[_BoxMapping]) -> tuple[int, ...]:
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
            inner = [m.source.shape[a] for m in mappings if (a := m.axes[axis]) and math.prod(m.source.shape[:a]) > 1]
            shape.append(math.gcd(*lengths, *borders, *inner))
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
    mapping: _BoxMapping, chunk_shape: Sequence[int], build: Callable[[Dataset], VirtualArray]
) -> tuple[ChunkManifest, tuple[Codec, ...]]:
    """The references of a source in chunks like those of the virtual dataset, and its codecs."""
    source = mapping.source
    if source.chunk_shape is not None:
        array = build(source)
        return array.manifest, array.metadata.codecs
    if not isinstance(source.layout, ContiguousLayout):
        raise UnsupportedFeatureError("virtual dataset of sources that are neither contiguous nor chunked", source.path)
    rows = [1] * len(source.shape)
    for axis, length in zip(mapping.axes, chunk_shape, strict=True):
        if axis is not None:
            rows[axis] = length
    return contiguous_rows(source, tuple(rows)), (source.element.bytes_codec, *source.element.storage)


def _place(
    dataset: Dataset, mapping: _BoxMapping, chunk_shape: Sequence[int], manifest: ChunkManifest
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
