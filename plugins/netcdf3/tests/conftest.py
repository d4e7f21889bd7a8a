"""Headers by hand, and arrays as independent readers see them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import zarr

TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}


@dataclass
class ClassicFile:
    """A netCDF classic header from its parts, with every number as given, right or wrong."""

    version: int = 1
    numrecs: int = 0
    dims: list[tuple[bytes, int]] = field(default_factory=list)
    attrs: list[tuple[bytes, int, bytes, int]] = field(default_factory=list)
    variables: list[tuple[bytes, list[int], int, int]] = field(default_factory=list)  # name, dimids, nc_type, begin
    vsize: int = 0

    def number(self, value: int) -> bytes:
        size = 8 if self.version == 5 else 4
        return (value % (1 << 8 * size)).to_bytes(size, "big")

    def name(self, name: bytes) -> bytes:
        return self.number(len(name)) + name + bytes(-len(name) % 4)

    def items(self, tag: int, items: list[bytes]) -> bytes:
        return struct.pack(">I", tag if items else 0) + self.number(len(items)) + b"".join(items)

    def attribute_list(self) -> bytes:
        items = [
            self.name(n) + struct.pack(">I", code) + self.number(count) + data + bytes(-len(data) % 4)
            for n, code, data, count in self.attrs
        ]
        return self.items(0x0C, items)

    def header(self) -> bytes:
        offset = ">I" if self.version == 1 else ">Q"
        dims = [self.name(n) + self.number(length) for n, length in self.dims]
        variables = [
            self.name(n)
            + self.number(len(ids))
            + b"".join(map(self.number, ids))
            + self.items(0x0C, [])
            + struct.pack(">I", code)
            + self.number(self.vsize)
            + struct.pack(offset, begin)
            for n, ids, code, begin in self.variables
        ]
        return (
            b"CDF"
            + bytes([self.version])
            + self.number(self.numrecs)
            + self.items(0x0A, dims)
            + self.attribute_list()
            + self.items(0x0B, variables)
        )


@pytest.fixture
def classic():
    return ClassicFile


def read_all(tree):
    """Every array of a tree through its store, as zarr reads it."""
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    return {path: root[path][...] for path, _ in tree.walk_arrays()}


def read_netcdf(path):
    """Every variable as netCDF-C reads it: no masks, no scaling, no joining of characters."""
    with netCDF4.Dataset(path) as dataset:
        dataset.set_auto_maskandscale(False)
        dataset.set_auto_chartostring(False)
        return {name: np.asarray(variable[...]) for name, variable in dataset.variables.items()}


def same(mine, other):
    assert mine.keys() == other.keys()
    for name, values in other.items():
        assert mine[name].dtype == values.dtype, name
        assert mine[name].shape == values.shape, name
        assert mine[name].tobytes() == values.tobytes(), name


@pytest.fixture
def check():
    """Asserts that the values of a tree are those that netCDF-C reads from a file."""
    return lambda tree, path: same(read_all(tree), read_netcdf(path))


@pytest.fixture
def values():
    return read_all
