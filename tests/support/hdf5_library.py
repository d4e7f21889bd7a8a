"""What libhdf5 says of a file, through h5py: the oracle of the tests."""

import ctypes
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5g
from manifestry.plugin import Source, default_fill, is_variable_length
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.open_files import OpenFiles
from manifestry_hdf5.structures.chunk_indexes.chunks import ChunkTable


def library():
    """The libhdf5 that h5py has loaded, for what h5py does not offer."""
    with Path("/proc/self/maps").open() as maps:
        return ctypes.CDLL(next(line.split()[-1] for line in maps if "h5py.libs/libhdf5-" in line))


def address_of(location, name=b"."):
    """Address of the object header that a name leads to."""
    number = h5g.get_objinfo(location, name).objno
    return int(number[0]) | int(number[1]) << 64


@contextmanager
def opened(path):
    """A file as our reader has it, and as h5py has it."""
    source = Source(path)
    with OpenFiles(source) as files, h5py.File(path) as other:
        yield files.open(source), other


def chunks_of(dataset_id, extent, chunk_shape, *, extensible):
    """The stored chunks of an open dataset.

    Where the index is an extensible array, libhdf5 (up to 2.0 at least) turns element numbers into coordinates as if the
    unlimited dimension were the first; they are turned back and decoded anew.
    """
    infos = []
    dataset_id.chunk_iter(infos.append)
    ndim = len(chunk_shape)
    coordinates = np.array([info.chunk_offset for info in infos], "i8").reshape(len(infos), ndim) // chunk_shape
    growing = [axis for axis, n in enumerate(extent.max_grid) if n is None]
    if extensible and growing and growing[0] > 0:
        coordinates = _repair(coordinates, extent, growing[0])
    inside = ((coordinates >= 0) & (coordinates < np.array(extent.grid))).all(axis=1)
    positions = np.zeros(len(infos), "i8")
    for axis, n in enumerate(extent.grid):
        positions = positions * n + coordinates[:, axis]
    columns = [
        np.array([getattr(info, name) for info in infos], dtype)
        for name, dtype in (("byte_offset", "u8"), ("size", "u8"), ("filter_mask", "u4"))
    ]
    return ChunkTable(positions[inside], *(column[inside] for column in columns))


def _repair(coordinates, extent, unlimited):
    """True coordinates from those that libhdf5 reports."""
    numbers = coordinates[:, unlimited].copy()
    for axis in range(unlimited + 1, len(extent.max_grid)):
        numbers = numbers * (extent.max_grid[axis] or 1) + coordinates[:, axis]
    repaired = coordinates.copy()
    for axis in reversed([a for a in range(len(extent.max_grid)) if a != unlimited]):
        numbers, repaired[:, axis] = np.divmod(numbers, extent.max_grid[axis] or 1)
    repaired[:, unlimited] = numbers
    return repaired


def fill_of(dataset_id, element):
    """The fill value of an open dataset as libhdf5 converts it, in the type of the array."""
    properties = dataset_id.get_create_plist()
    never_missing = element.members is not None or element.texts
    if never_missing or properties.fill_value_defined() != h5d.FILL_VALUE_USER_DEFINED:
        return default_fill(element.dtype)
    memory, text = dataset_id.dtype, is_variable_length(element.dtype)
    stored = np.zeros(1 if element.shape or text else (), memory)
    properties.get_fill_value(stored)
    if text:
        return decode_text(stored[0]) if isinstance(stored[0], bytes) else ""
    values = np.asarray(stored, memory.base).reshape(-1)
    return values[0].astype(element.dtype) if element.dtype.fields is None else values.astype(element.dtype)[0]
