"""The elements of a dataset, read to be copied: those of a box, in the form of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError, Source, SourceError, UnsupportedFeatureError, translated
from numpy.typing import NDArray

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.stored_values import TooManyBytesError, elements_of
from manifestry_hdf5.storage.chunk_bytes import decode_chunk
from manifestry_hdf5.storage.contiguous import RawFile, data_place
from manifestry_hdf5.structures.chunk_indexes.chunks import ChunkTable
from manifestry_hdf5.structures.data_objects.data_layout_message import CompactLayout, ContiguousLayout

__all__ = ["Box", "read_elements"]

_ALWAYS: Final = 1 << 20
"""Bytes that may be read of a dataset whatever the limit is: elements can become shorter, and chunks be mostly empty."""


class Box(NamedTuple):
    """A part of an array: its first element and its lengths."""

    start: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Box:
        """All of an array."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))


def read_elements(
    dataset: Dataset, box: Box, table: ChunkTable | None, raw: Sequence[RawFile], limit: int
) -> NDArray[Any]:
    """The elements of a box of a dataset that is not virtual: ``(*box.shape, *element.shape)``.

    Parameters
    ----------
    table
        The stored chunks of a chunked dataset.
    raw
        The external raw files of a contiguous one that has them.
    limit
        Bytes that they take at most.

    Raises
    ------
    MalformedFileError
        They are not where they should be.
    UnsupportedFeatureError
        No codec decodes them.
    TooManyBytesError
        They take more bytes.
    """
    if max(math.prod(box.shape) * dataset.stored_itemsize, dataset.chunk_bytes) > max(limit, _ALWAYS):
        raise TooManyBytesError  # before there is room for them
    octets = _stored(dataset, box, table, raw).reshape(-1, dataset.stored_itemsize)
    if dataset.field is not None:
        octets = octets[:, dataset.field.offset :][:, : dataset.datatype.size]
    values = elements_of(
        octets, dataset.datatype, dataset.element, dataset.file.heap, limit=limit, target_of=dataset.file.target_of
    )
    return values.reshape(box.shape + values.shape[1:])


def _stored(dataset: Dataset, box: Box, table: ChunkTable | None, raw: Sequence[RawFile]) -> NDArray[np.uint8]:
    """The bytes of the elements as the file has them before filters, ``(*box.shape, bytes of an element)``."""
    layout, size = dataset.layout, dataset.stored_itemsize
    if isinstance(layout, CompactLayout):
        if len(layout.data) < dataset.nbytes:
            raise MalformedFileError(
                f"data layout message: {len(layout.data)} bytes where {dataset.nbytes} are expected"
            )
        whole = np.frombuffer(layout.data, "u1", dataset.nbytes).reshape(*dataset.shape, size)
        return whole[box.slices]
    if table is not None:
        return _from_chunks(dataset, box, table)
    if raw:
        with translated(
            SourceError, partial(UnsupportedFeatureError, "external raw file that cannot be read", dataset.path)
        ):
            return _from_run(dataset, box, lambda start, stop: _read_raw(raw, start, stop))
    assert isinstance(layout, ContiguousLayout)
    place = data_place(dataset, layout)
    if place is None:
        return _fill(dataset, box.shape)
    return _from_run(dataset, box, lambda start, stop: dataset.file.read(place + start, place + stop))


def _fill(dataset: Dataset, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Elements that were never written."""
    size = dataset.stored_itemsize
    stored = np.frombuffer(dataset.stored_fill or bytes(size), "u1", size)
    return np.broadcast_to(stored, (*shape, size)).copy()


def _from_run(dataset: Dataset, box: Box, read: Callable[[int, int], bytes]) -> NDArray[np.uint8]:
    """Elements that follow each other: the rows of the first dimension that the box takes part in are read."""
    size = dataset.stored_itemsize
    first, rows = (box.start[0], box.shape[0]) if box.shape else (0, 1)
    row = math.prod(dataset.shape[1:]) * size
    data = read(first * row, (first + rows) * row)
    if len(data) != rows * row:
        raise MalformedFileError(f"{dataset.path}: its elements reach over the end of the file")
    whole = np.frombuffer(data, "u1").reshape(*((rows, *dataset.shape[1:]) if box.shape else ()), size)
    return whole[(slice(None), *box.slices[1:])] if box.shape else whole


def _read_raw(raw: Sequence[RawFile], start: int, stop: int) -> bytes:
    """Bytes of external raw files that follow each other; what a file does not have is zero."""
    parts = []
    for part in raw:
        low, high = max(start, part.start), min(stop, part.stop)
        if low < high:
            data = _at_most(part.source, part.offset + low - part.start, high - low)
            parts.append(data + bytes(high - low - len(data)))
    return b"".join(parts)


def _at_most(source: Source, offset: int, length: int) -> bytes:
    """The bytes of a file, fewer where it ends."""
    return source.range(offset, min(offset + length, source.size)) if offset < source.size else b""


def _from_chunks(dataset: Dataset, box: Box, table: ChunkTable) -> NDArray[np.uint8]:
    """Elements of chunks; those that are not stored have the fill value."""
    chunk, extent = dataset.chunk_shape, dataset.extent
    assert chunk is not None
    assert extent is not None
    target = _fill(dataset, box.shape)
    rows = {position: row for row, position in enumerate(table.positions.tolist())}
    spans = [range(a // c, -(-(a + n) // c)) for a, n, c in zip(box.start, box.shape, chunk, strict=True)]
    for corner in product(*spans):
        row = rows.get(int(np.ravel_multi_index(corner, extent.grid)))
        if row is None:
            continue
        start, size = int(table.offsets[row]), int(table.sizes[row])
        plain = decode_chunk(dataset, dataset.file.read(start, start + size), int(table.masks[row]))
        elements = np.frombuffer(plain, "u1").reshape(*chunk, dataset.stored_itemsize)
        here, there = [], []
        for index, length, a, n in zip(corner, chunk, box.start, box.shape, strict=True):
            low, high = max(index * length, a), min((index + 1) * length, a + n)
            here.append(slice(low - a, high - a))
            there.append(slice(low - index * length, high - index * length))
        target[tuple(here)] = elements[tuple(there)]
    return target
