"""Ordinary files, end to end: what a tree reads as equals what the format's own libraries read."""

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr


def read(tree, path):
    return zarr.open_group(tree.store(), mode="r", zarr_format=3)[path][...]


def check(path, **options):
    """Every array of the tree equals h5py's reading; returns the tree."""
    tree = mf.parse(path, **options)
    root = zarr.open_group(tree.store(), mode="r", zarr_format=3)
    with h5py.File(path) as file:
        for name, array in tree.walk_arrays():
            expected = file[name][()]
            assert array.dtype == np.asarray(expected).dtype.newbyteorder("="), name
            np.testing.assert_array_equal(root[name][...], expected, err_msg=name)
    return tree


@pytest.fixture
def netcdf(tmp_path):
    path = tmp_path / "sample file#1.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.title = "sample"
        nc.history = "söme text"
        nc.version = np.int32(3)
        nc.createDimension("time", None)
        nc.createDimension("lat", 5)
        nc.createDimension("lon", 7)
        nc.createDimension("nv", 2)
        time = nc.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = np.arange(4)
        lat = nc.createVariable("lat", "f4", ("lat",))
        lat[:] = np.linspace(-80, 80, 5)
        t = nc.createVariable("t", "i2", ("time", "lat", "lon"), zlib=True, shuffle=True, fill_value=-999)
        t.scale_factor = 0.01
        t.add_offset = 273.15
        t.threshold = np.float32(-0.1)
        t.valid_range = np.array([-100, 100], "i2")
        t.set_auto_scale(False)
        t[:] = np.arange(140).reshape(4, 5, 7)
        nc.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
        sub = nc.createGroup("sub")
        sub.createDimension("x", 3)
        v = sub.createVariable("v", ">f8", ("x", "lat", "nv"), fletcher32=True, endian="big")
        v[:] = np.random.default_rng(0).normal(size=(3, 5, 2))
        sub.createVariable("flag", "S1", ("x",))[:] = np.array([b"a", b"b", b"c"])
    return path


def test_netcdf_values_and_dimensions(netcdf):
    tree = check(netcdf)
    assert set(tree.arrays) == {"time", "lat", "t", "crs"}
    assert tree.arrays["t"].dims == ("time", "lat", "lon")
    assert tree["sub/v"].dims == ("x", "lat", "nv")
    assert tree.issues == ()


@pytest.mark.parametrize("group", [None, "sub"])
def test_netcdf_equals_h5netcdf_in_xarray(netcdf, group):
    tree = mf.parse(netcdf)
    ours = xr.open_zarr(tree.store(), group=group, consolidated=False, chunks=None, mask_and_scale=False)
    theirs = xr.open_dataset(netcdf, group=group, engine="h5netcdf", mask_and_scale=False)
    xr.testing.assert_identical(ours, theirs)
    for name in theirs.variables:
        assert ours[name].dtype == theirs[name].dtype
    ours = xr.open_zarr(tree.store(), group=group, consolidated=False, chunks=None)
    xr.testing.assert_identical(ours, xr.open_dataset(netcdf, group=group, engine="h5netcdf"))


def test_attributes_keep_their_types(netcdf):
    attributes = mf.parse(netcdf).arrays["t"].attributes
    assert attributes["threshold"].dtype == np.float32
    assert attributes["_FillValue"] == -999
    assert attributes["_FillValue"].dtype == np.int16
    assert attributes["valid_range"].tolist() == [-100, 100]


def test_arrays_of_one_stay_arrays_in_plain_hdf5(tmp_path):
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as file:
        file["d"] = np.arange(3)
        file["d"].attrs["one"] = np.array([1.5])
        file["d"].attrs["NAME"] = "kept"
    attributes = mf.parse(path).arrays["d"].attributes
    assert attributes["one"].shape == (1,)
    assert attributes["NAME"] == "kept"


@pytest.mark.parametrize("user_block", [0, 512, 2048])
def test_user_blocks(tmp_path, user_block):
    path = tmp_path / "block.h5"
    with h5py.File(path, "w", userblock_size=user_block) as file:
        file["contiguous"] = np.arange(1000)
        file.create_dataset("chunked", data=np.arange(1000.0), chunks=(100,), compression="gzip")
    check(path)
