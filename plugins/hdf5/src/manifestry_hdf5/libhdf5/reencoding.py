"""Chunks encoded anew by libhdf5 itself, for the few that their file stores in another way than the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from h5py import h5d, h5f, h5p, h5s
from numpy.typing import NDArray

from manifestry_hdf5.libhdf5.files import library_errors
from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.filters import Filter

__all__ = ["reencode"]


def reencode(dataset: Dataset, corners: NDArray[np.int64], filters: Sequence[Filter]) -> list[bytes] | None:
    """Chunks of a dataset as a pipeline encodes them.

    Parameters
    ----------
    corners
        Coordinates of the first element of each chunk, ``(n, ndim)``.

    Returns
    -------
    list of bytes or None
        None when libhdf5 skips a filter again, or does not have it.
    """
    with library_errors(dataset.path):
        plain = [_stored_bytes(dataset, corner) for corner in corners.tolist()]
        return plain if not filters else _encode(dataset, plain, filters)


def _stored_bytes(dataset: Dataset, corner: Sequence[int]) -> bytes:
    """A whole chunk in the form of the file, before filters; beyond the edges it holds zeros."""
    assert dataset.chunk_shape is not None
    datatype = dataset.id.get_type()
    counts = tuple(min(c, n - at) for c, n, at in zip(dataset.chunk_shape, dataset.shape, corner, strict=True))
    chunk = np.zeros(dataset.chunk_shape, f"V{datatype.get_size()}")
    stored, memory = dataset.id.get_space(), h5s.create_simple(dataset.chunk_shape)
    stored.select_hyperslab(tuple(corner), counts)
    memory.select_hyperslab((0,) * len(counts), counts)
    dataset.id.read(memory, stored, chunk, datatype)
    return chunk.tobytes()


def _encode(dataset: Dataset, plain: Sequence[bytes], filters: Sequence[Filter]) -> list[bytes] | None:
    """What the pipeline makes of chunks: a file in memory holds them one after the other for a moment."""
    assert dataset.chunk_shape is not None
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)  # noqa: FBT003 the low-level interface has no name for it
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk(dataset.chunk_shape)
    for item in filters:
        properties.set_filter(item.number, item.flags, item.client_data)
    datatype = dataset.id.get_type()
    scratch = h5f.create(b"manifestry-scratch", h5f.ACC_TRUNC, fapl=access)
    try:
        target = h5d.create(scratch, b"chunk", datatype, h5s.create_simple(dataset.chunk_shape), properties)
        if tuple(properties.get_filter(i)[2] for i in range(len(filters))) != tuple(f.client_data for f in filters):
            return None
        encoded = []
        for chunk in plain:
            values = np.frombuffer(chunk, f"V{datatype.get_size()}").reshape(dataset.chunk_shape)
            target.write(h5s.ALL, h5s.ALL, values, datatype)
            target.flush()
            mask, data = target.read_direct_chunk((0,) * len(dataset.chunk_shape))
            if mask:
                return None
            encoded.append(bytes(data))
        return encoded
    finally:
        scratch.close()
