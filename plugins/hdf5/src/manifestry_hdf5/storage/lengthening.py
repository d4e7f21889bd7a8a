"""Arrays of datasets that are shorter than the unlimited dimensions of netCDF-4: what is beyond their end is missing.

A chunk that reaches over the end of its dataset is looked into: HDF5 fills it up, but nothing says that the program did
that made the file, and readers of netCDF never see what is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import blake2b

import numpy as np
from manifestry import Budget
from manifestry.plugin import ChunkManifest, ParseContext, UnsupportedFeatureError, VirtualArray
from numpy.typing import NDArray

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.filters import codec_chain
from manifestry_hdf5.objects.unlimited_dimensions import Beyond
from manifestry_hdf5.storage.chunk_bytes import decode_chunk, encode_chunk, remaining_filters
from manifestry_hdf5.storage.chunked import usual_mask
from manifestry_hdf5.structures.chunk_indexes.chunks import ChunkTable

__all__ = ["complete_chunks", "has_other_values", "lengthen", "rows_over_the_end"]


def lengthen(array: VirtualArray, dataset: Dataset, shape: Sequence[int], budget: Budget) -> VirtualArray:
    """An array with further elements, which are missing.

    Parameters
    ----------
    shape
        That of the variable; not shorter than the dataset along any dimension.
    budget
        What nearly empty grids may cost.

    Raises
    ------
    UnsupportedFeatureError
        It would have many more chunks than are stored.
    """
    metadata = array.metadata.with_(shape=tuple(shape) + dataset.element.shape)
    if not array.manifest.stored_count:
        return VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape))
    manifest = array.manifest
    budget.spend_grid(math.prod(metadata.grid_shape), manifest.stored_count, dataset.path)
    stored = np.flatnonzero(manifest.stored)
    places = np.ravel_multi_index(np.unravel_index(stored, manifest.grid_shape), metadata.grid_shape)
    index, offsets, lengths = (column[stored] for column in manifest.columns())
    longer = ChunkManifest.from_sparse(
        metadata.grid_shape, manifest.files, places, offsets, lengths, file_index=index, inline=manifest.inline
    )
    return VirtualArray(metadata, longer)


def has_other_values(array: VirtualArray, dataset: Dataset, shape: Sequence[int], beyond: Beyond) -> bool:
    """Whether chunks of a dataset may hold something else beyond its end than what elements there read as."""
    manifest = array.manifest
    if not manifest.size or bool(manifest.inlined.all()):  # values that were copied
        return False
    differs = _inside(dataset) != beyond.stored
    return (differs and not bool(manifest.stored.all())) or bool(
        (
            _over_the_end(dataset, array.metadata.chunk_shape, manifest.grid_shape, shape) & (manifest.stored | differs)
        ).any()
    )


def _inside(dataset: Dataset) -> bytes:
    """What an element of the dataset reads as that was never written, as the file has elements."""
    return dataset.stored_fill or bytes(dataset.stored_itemsize)


def _over_the_end(
    dataset: Dataset, chunk_shape: Sequence[int], grid: Sequence[int], shape: Sequence[int]
) -> NDArray[np.bool_]:
    """The chunks of a grid that reach over the end of the dataset where the variable goes on."""
    over = np.zeros(tuple(grid), bool)
    for axis, (end, length) in enumerate(zip(dataset.shape, shape, strict=True)):
        if length > end and end % chunk_shape[axis]:
            over[(slice(None),) * axis + (-1,)] = True
    return over.reshape(-1)


def rows_over_the_end(dataset: Dataset, table: ChunkTable, shape: Sequence[int]) -> NDArray[np.int64]:
    """The rows of the stored chunks that have to be looked into."""
    assert dataset.extent is not None
    assert dataset.chunk_shape is not None
    return np.flatnonzero(_over_the_end(dataset, dataset.chunk_shape, dataset.extent.grid, shape)[table.positions])


def complete_chunks(
    array: VirtualArray,
    dataset: Dataset,
    shape: Sequence[int],
    *,
    beyond: Beyond,
    table: ChunkTable,
    context: ParseContext,
) -> VirtualArray:
    """The array of a chunked dataset with chunks that are right beyond its end too.

    Those that hold something else there, or are missing where elements inside read as something else, are encoded anew
    and kept in the manifest.

    Raises
    ------
    UnsupportedFeatureError
        There is too much to look into or to keep, or nothing encodes it.
    """
    limit, rows = context.limits.max_inline_bytes, rows_over_the_end(dataset, table, shape)
    hint = f"limits.max_inline_bytes is {limit}"
    if int(table.sizes[rows].sum()) > limit:
        raise UnsupportedFeatureError("chunks that reach over the end of a dataset", dataset.path, hint)
    encoder = _Encoder(array, dataset, usual_mask(dataset, table))
    manifest, encoded, positions, total = array.manifest, [], [], 0
    for position, plain in _changed(dataset, shape, rows, table, beyond):
        encoded.append(encoder.encode(plain))
        positions.append(position)
        total += len(encoded[-1])
        if total > limit:
            raise UnsupportedFeatureError("chunks with values beyond the end of a dataset", dataset.path, hint)
    if _inside(dataset) != beyond.stored:
        never = ~manifest.stored
        never[positions] = False
        if never.any():
            data = encoder.encode(_inside(dataset) * (dataset.chunk_bytes // dataset.stored_itemsize))
            manifest = manifest.with_inline(never, 0, len(data), data)
    if positions:
        lengths = np.fromiter(map(len, encoded), "u8", len(encoded))
        manifest = manifest.with_inline(np.array(positions), np.cumsum(lengths) - lengths, lengths, b"".join(encoded))
    return VirtualArray(array.metadata, manifest)


def _changed(
    dataset: Dataset, shape: Sequence[int], rows: NDArray[np.int64], table: ChunkTable, beyond: Beyond
) -> Iterator[tuple[int, bytes]]:
    """Positions and elements of the chunks over the end that hold something else there, or nothing.

    Parameters
    ----------
    rows
        Those of the chunks over the end that are stored, by row of the table.
    """
    assert dataset.extent is not None
    assert dataset.chunk_shape is not None
    chunk, grid = dataset.chunk_shape, dataset.extent.grid
    row_of = dict(zip(table.positions[rows].tolist(), rows.tolist(), strict=True))
    positions = sorted(row_of)
    if _inside(dataset) != beyond.stored:
        positions = np.flatnonzero(_over_the_end(dataset, chunk, grid, shape)).tolist()
    fill = np.frombuffer(beyond.stored, "u1")
    for position in positions:
        row = row_of.get(position)
        plain = _inside(dataset) * (dataset.chunk_bytes // len(fill)) if row is None else _plain(dataset, table, row)
        elements = np.frombuffer(plain, "u1").reshape(*chunk, len(fill)).copy()
        for axis, index in enumerate(np.unravel_index(position, grid)):
            if shape[axis] > dataset.shape[axis]:
                end = dataset.shape[axis] - int(index) * chunk[axis]
                elements[(slice(None),) * axis + (slice(end, None),)] = fill
        if row is None or elements.tobytes() != plain:
            yield position, elements.tobytes()


def _plain(dataset: Dataset, table: ChunkTable, row: int) -> bytes:
    start, size = int(table.offsets[row]), int(table.sizes[row])
    return decode_chunk(dataset, dataset.file.read(start, start + size), int(table.masks[row]))


class _Encoder:
    """Encodes chunks as the codecs of an array decode them; those with the same elements once.

    Parameters
    ----------
    mask
        The filters that are left out.
    """

    def __init__(self, array: VirtualArray, dataset: Dataset, mask: int) -> None:
        self._codecs = array.metadata.codecs
        self._dataset = dataset
        self._mask = mask
        self._known: dict[bytes, bytes] = {}  # by digest: elements may be many more bytes than what they become

    @cached_property
    def _has_codecs_of_array(self) -> bool:
        """Whether the filters are the last codecs of the array."""
        dataset, codecs = self._dataset, self._codecs
        filters = remaining_filters(dataset, self._mask)
        last = codec_chain(filters, dataset.element, dataset.chunk_bytes, dataset.ndim).codecs
        return codecs[len(codecs) - len(last) :] == last

    def encode(self, plain: bytes) -> bytes:
        """The bytes of a chunk by its elements as the file has them before filters.

        Raises
        ------
        UnsupportedFeatureError
            Nothing encodes it.
        """
        key = blake2b(plain).digest()
        encoded = self._known.get(key)
        if encoded is None:
            encoded = encode_chunk(self._dataset, plain, self._mask) if self._has_codecs_of_array else None
            if encoded is None:
                raise UnsupportedFeatureError(
                    "chunk that reaches over the end of a dataset",
                    self._dataset.path,
                    "nothing encodes it; repack the file (h5repack)",
                )
            self._known[key] = encoded
        return encoded
