"""DMR++ documents through every writer, read in a process that has none of our packages."""

from __future__ import annotations

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from decoded_groups import decoded_groups

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
    target = tmp_path / f"out{SUFFIX[fmt]}"
    mf.write(mf.parse(describe(granule)), target, format=fmt)
    found = decoded_groups(fmt, target, "/", "quality")
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


RECORD = np.dtype([("id", "<i4"), ("value", "<f8")])
WITH_ARRAYS = np.dtype([("id", "<i4"), ("xyz", "<f4", (2, 3))])


@pytest.mark.parametrize("fmt", SUFFIX)
def test_records_read_back_or_are_refused_before_anything_is_written(fmt, describe, tmp_path):
    """Zarr v3 has a form for members that are arrays, Zarr v2 has none that zarr-python reads."""
    path, target = tmp_path / "records.h5", tmp_path / f"out{SUFFIX[fmt]}"
    rng = np.random.default_rng(0)
    records = {
        name: np.frombuffer(rng.integers(1, 60, 20 * dtype.itemsize).astype("u1").tobytes(), dtype)
        for name, dtype in {"plain": RECORD, "arrays": WITH_ARRAYS}.items()
    }
    with h5py.File(path, "w") as file:
        for name, values in records.items():
            file.create_dataset(name, data=values, chunks=(7,), compression="gzip")
    tree = mf.parse(describe(path))
    if fmt != "icechunk":
        with pytest.raises(mf.UnsupportedFeatureError, match="in Zarr v2"):
            mf.write(tree, target, format=fmt)
        assert not target.exists()
        report = mf.write(tree, target, format=fmt, on_unsupported="skip")
        assert [issue.path for issue in report.issues] == ["arrays"]
        del records["arrays"]
    else:
        assert "manifestry-codecs" in mf.write(tree, target, format=fmt).packages
    read = mf.parse(target)
    assert set(read.arrays) == set(records)
    root = zarr.open_group(mf.open_store(read), mode="r")
    for name, values in records.items():
        assert root[name].dtype == values.dtype
        assert root[name][...].tobytes() == values.tobytes()
