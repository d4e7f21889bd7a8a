"""Variables with the name of a dimension that are not its coordinate: stored as ``_nc4_non_coord_NAME``, called ``NAME``."""

import h5netcdf
import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import zarr


def write(path):
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("node", 3)
        nc.createDimension("three", 2)
        nc.createDimension("time", None)
        nc.createVariable("node", "i4", ("three", "node"), zlib=True)[:] = np.arange(6).reshape(2, 3)
        nc.createVariable("time", "f8", ())[...] = 7.0
        values = nc.createVariable("values", "f8", ("time", "node"))
        values.coordinates = "node"
        values[:2] = np.arange(6).reshape(2, 3)
        group = nc.createGroup("g/h")
        group.createDimension("len", 2)
        group.createVariable("len", "i2", ("node", "len"))[:] = np.ones((3, 2))
        group.createVariable("node", "i2", ("node",))[:] = np.arange(3)
    return path


def test_names_are_those_of_netcdf(tmp_path):
    path = write(tmp_path / "f.nc")
    tree = mf.parse(path)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    with netCDF4.Dataset(path) as nc, h5netcdf.File(path) as other:
        expected = {name: nc[name] for name in ("node", "time", "values", "g/h/len", "g/h/node")}
        assert set(expected) == {name for name, _ in tree.walk_arrays()}
        assert set(tree.arrays) == set(nc.variables) == set(other.variables)
        for name, variable in expected.items():
            assert tree[name].dims == variable.dimensions
            np.testing.assert_array_equal(root[name][...], variable[...], err_msg=name)
    assert tree["values"].attributes == {"coordinates": "node"}
    assert tree.issues == ()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"include": ["node"]}, ["node", "g/h/node"]),
        ({"exclude": ["node"]}, ["time", "values", "g/h/len"]),
        ({"group": "g/h"}, ["len", "node"]),
        ({"include": ["g/h/len"]}, ["g/h/len"]),
    ],
)
def test_selections_use_these_names(tmp_path, options, names):
    tree = mf.parse(write(tmp_path / "f.nc"), **options)
    assert sorted(name for name, _ in tree.walk_arrays()) == sorted(names)
    for _, array in tree.walk_arrays():
        assert "phony" not in str(array.dims)


@pytest.mark.parametrize("target", ["o.json", "o.icechunk"])
def test_outputs_and_their_check(tmp_path, target):
    path = write(tmp_path / "f.nc")
    mf.write(mf.parse(path), tmp_path / target)
    report = mf.verify(tmp_path / target, samples="all")
    assert report.ok
    assert "node" in mf.parse(tmp_path / target).arrays


def test_references_lead_to_these_names(tmp_path):
    path = write(tmp_path / "f.nc")
    with h5py.File(path, "a") as file:
        node = file["_nc4_non_coord_node"].ref
        file["values"].attrs["of"] = node
        file.create_dataset("list", data=np.array([node, file["g/h/_nc4_non_coord_len"].ref], h5py.ref_dtype))
    tree = mf.parse(path)
    assert tree["values"].attributes["of"].path == "/node"
    got = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)["list"][...]
    assert got.tolist() == ["/node", "/g/h/len"]


def test_files_without_the_attribute_of_the_root(tmp_path):
    """Old netCDF-C and some tools leave it out: the dimension beside the variable says that it is one."""
    path = write(tmp_path / "f.nc")
    with h5py.File(path, "a") as file:
        del file.attrs["_NCProperties"]
    assert set(mf.parse(path).arrays) == {"node", "time", "values"}


def test_plain_hdf5_keeps_its_names(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["_nc4_non_coord_a"] = np.arange(3)
        file["_nc4_non_coord_"] = np.arange(2)
        file["a"] = np.arange(2)
    assert set(mf.parse(tmp_path / "f.h5").arrays) == {"_nc4_non_coord_a", "_nc4_non_coord_", "a"}


@pytest.mark.parametrize("other", ["dataset", "group"])
def test_two_variables_of_one_name_are_refused(tmp_path, other):
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 2)
        nc.createVariable("v", "i4", ("x",))[:] = 1
    with h5py.File(path, "a") as file:
        if other == "group":
            file.create_group("w")
            file["_nc4_non_coord_w"] = np.arange(2)
        else:
            file["_nc4_non_coord_v"] = np.arange(2)
    with pytest.raises(mf.UnsupportedFeatureError, match="beside another of its name"):
        mf.parse(path)
    tree = mf.parse(path, on_unsupported="skip")
    assert set(tree.arrays) == {"v"}
    mf.write(tree, tmp_path / "o.json")
    assert mf.verify(tmp_path / "o.json", samples="all").ok
