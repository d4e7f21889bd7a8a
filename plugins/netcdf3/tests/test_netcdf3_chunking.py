"""Large contiguous variables are divided exactly."""

from __future__ import annotations

import math

import manifestry as mf
import netCDF4
import numpy as np
import pytest
from hypothesis import given, strategies as st
from manifestry.plugin import RegularGrid

shapes = st.lists(st.integers(1, 300), max_size=4).map(tuple)


@given(shapes, st.sampled_from([1, 2, 4, 8]), st.integers(1, 1 << 20))
def test_chunks_are_runs_of_contiguous_elements_that_divide_the_array(shape, itemsize, target):
    chunks = RegularGrid.divide(shape, itemsize, target)
    assert all(n % c == 0 for n, c in zip(shape, chunks, strict=True))
    cut = [i for i, (n, c) in enumerate(zip(shape, chunks, strict=True)) if c != n]
    if cut:
        assert all(c == 1 for c in chunks[: cut[-1]])
    if itemsize * math.prod(shape) <= target:
        assert chunks == shape


def test_primes_are_not_read_whole():
    assert RegularGrid.divide((10_007, 100, 100), 4, 16 << 20) == (1, 100, 100)
    assert RegularGrid.divide((9_999_991,), 8, 16 << 20) == (9_999_991,)


@pytest.mark.parametrize("records", [None, 12])
def test_split_arrays_read_back(tmp_path, check, records):
    path = tmp_path / "big.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as nc:
        nc.createDimension("t", None if records else 12)
        nc.createDimension("y", 30)
        nc.createDimension("x", 40)
        nc.createVariable("a", "f4", ("t", "y", "x"))[0:12] = np.arange(14400).reshape(12, 30, 40)
        nc.createVariable("b", "i2", ("t",))[0:12] = np.arange(12)
    tree = mf.parse(path, chunk_bytes=2000)
    assert tree["a"].metadata.chunk_shape == (1, 10, 40)
    assert tree["a"].manifest.grid_shape == (12, 3, 1)
    assert tree["b"].metadata.chunk_shape == ((1,) if records else (12,))
    check(tree, path)
