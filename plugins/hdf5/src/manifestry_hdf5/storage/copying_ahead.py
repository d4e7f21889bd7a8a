"""Values of remote files that will be copied: the stored bytes of all of them together, then what is in the global heap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from manifestry.plugin import MalformedFileError

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.open_files import Hdf5File
from manifestry_hdf5.storage.contiguous import data_place
from manifestry_hdf5.structures.chunk_indexes.chunks import ChunkTable
from manifestry_hdf5.structures.data_objects.data_layout_message import ContiguousLayout
from manifestry_hdf5.structures.data_objects.datatype import VariableLength

__all__ = ["read_values_ahead"]

_ADDRESS_WIDTHS = (2, 4, 8)

type _Ranges = list[tuple[int, int]]


def read_values_ahead(
    file: Hdf5File,
    copied: Iterable[tuple[Dataset, ChunkTable | None]],
    others: Iterable[tuple[int, int]],
    limit: int,
) -> None:
    """Fetch what datasets of a file are copied from, and other ranges of bytes.

    Parameters
    ----------
    copied
        Datasets, and the stored chunks of those that are chunked.
    limit
        Bytes that are fetched ahead at most.
    """
    places: list[tuple[Dataset, _Ranges]] = []
    for dataset, table in copied:
        ranges = _stored_ranges(dataset, table)
        limit -= sum(stop - start for start, stop in ranges)
        if limit < 0:
            break
        places.append((dataset, ranges))
    file.prefetch([*(span for _, ranges in places for span in ranges), *others])
    addresses: set[int] = set()
    for dataset, ranges in places:
        if isinstance(dataset.datatype, VariableLength) and not dataset.filters and dataset.field is None:
            addresses.update(_collections(file, ranges))
    file.read_collections_ahead(sorted(addresses), limit)


def _stored_ranges(dataset: Dataset, table: ChunkTable | None) -> _Ranges:
    """Where the stored bytes of a dataset are; nothing where that is not in its file, or nowhere."""
    if table is not None:
        starts = table.offsets.tolist()
        return list(zip(starts, (table.offsets + table.sizes).tolist(), strict=True))
    if not isinstance(dataset.layout, ContiguousLayout) or dataset.external is not None:
        return []
    try:
        place = data_place(dataset, dataset.layout)
    except MalformedFileError:
        return []
    return [] if place is None else [(place, place + dataset.nbytes)]


def _collections(file: Hdf5File, ranges: _Ranges) -> Sequence[int]:
    """Addresses of the collections that descriptors in some ranges name."""
    width = file.superblock.offset_size
    if width not in _ADDRESS_WIDTHS:
        return []
    form = np.dtype([("members", "<u4"), ("address", f"<u{width}"), ("number", "<u4")])
    octets = b"".join(file.read(start, stop) for start, stop in ranges)
    descriptors = np.frombuffer(octets, form, len(octets) // form.itemsize)
    addresses: list[int] = np.unique(descriptors["address"][descriptors["members"] > 0]).tolist()
    return addresses
