"""DMR++ documents through every writer, read in a process that has none of our packages."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr

READER = Path(__file__).resolve().parents[3] / "tests" / "reader_process.py"
SUFFIX = {"icechunk": ".icechunk", "kerchunk-json": ".json", "kerchunk-parquet": ".parq"}


@pytest.fixture
def granule(tmp_path):
    path = tmp_path / "granule.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.title = "granule"
        nc.createDimension("time", None)
        nc.createDimension("x", 50)
        time = nc.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[0:4] = np.arange(4)
        v = nc.createVariable("v", "i2", ("time", "x"), zlib=True, fletcher32=True, chunksizes=(2, 20), fill_value=-1)
        v.scale_factor = 0.5
        v.set_auto_maskandscale(False)
        v[0:2] = np.arange(100).reshape(2, 50)
        v[3, 45] = 7
        nc.createVariable("big", np.dtype(">f4"), ("x",), endian="big")[...] = np.arange(50)
        nc.createVariable("crs", "i4", ())[...] = 42
        group = nc.createGroup("quality")
        group.createVariable("flag", "u1", ("time", "x"), zlib=True)[0:4] = np.arange(200).reshape(4, 50)
    return path


@pytest.mark.parametrize("fmt", SUFFIX)
def test_outputs_read_back_exactly(fmt, granule, describe, tmp_path):
    target, result = tmp_path / f"out{SUFFIX[fmt]}", tmp_path / "found.pickle"
    mf.write(mf.parse(describe(granule)), target, format=fmt)
    command = [sys.executable, str(READER), fmt, str(target), str(result), "/", "quality"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found = pickle.loads(result.read_bytes())
    for group in ("/", "quality"):
        attributes, variables = found[group]
        with xr.open_dataset(granule, engine="netcdf4", group=group) as truth:
            assert attributes == truth.attrs
            assert set(variables) == set(map(str, truth.variables))
            for name, (dims, values, attrs) in variables.items():
                assert tuple(dims) == truth[name].dims, name
                assert values.dtype.newbyteorder("=") == truth[name].dtype.newbyteorder("="), name
                np.testing.assert_array_equal(values, truth[name].values, err_msg=name)
                assert attrs == truth[name].attrs, name
