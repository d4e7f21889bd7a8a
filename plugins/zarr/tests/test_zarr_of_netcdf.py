"""Stores that netCDF-C wrote (NCZarr): values, scalars, types of attributes; what it notes for itself is no attribute."""

import json

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import zarr
from manifestry_kerchunk_json import from_references


@pytest.fixture
def store(tmp_path):
    url = f"file://{tmp_path}/n.zarr#mode=nczarr,file"
    with netCDF4.Dataset(url, "w") as file:
        file.createDimension("y", 4)
        file.createDimension("x", 3)
        file.title = "a title"
        for code in ("i1", "i2", "u4", "f4", "f8", "i8"):
            variable = file.createVariable(code, code, ("y", "x"), zlib=True, chunksizes=(2, 3))
            variable[:] = np.arange(12).reshape(4, 3)
            variable.valid_range = np.array([0, 11], code)
        packed = file.createVariable("packed", "i2", ("y", "x"), zlib=True, fletcher32=True, fill_value=np.int16(7))
        packed.set_auto_maskandscale(False)
        packed[:] = np.arange(12).reshape(4, 3)
        packed.scale_factor = np.float32(0.1)
        file.createVariable("crs", "i4", ())[...] = 5
        file.createVariable("g/w", "f4", ("y", "x"), zlib=True)[:] = np.arange(12).reshape(4, 3)
    return tmp_path / "n.zarr", url


def variables_of(file):
    return {**file.variables, "g/w": file["g/w"]}


def as_references(path):
    """The store as the kerchunk package describes stores: documents as texts, chunks as whole files."""
    names = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    return {
        str(name): (path / name).read_text() if name.name.startswith(".z") else [f"file://{path / name}"]
        for name in names
    }


def consolidated(path):
    zarr.consolidate_metadata(path, zarr_format=2)
    return mf.parse(path)


READINGS = {
    "native": mf.parse,
    "consolidated": consolidated,
    "references": lambda path: from_references(as_references(path)),
}


@pytest.mark.parametrize("reading", READINGS)
def test_it_is_what_netcdf_c_reads(store, reading):
    path, url = store
    tree = READINGS[reading](path)
    output = mf.open_store(tree)
    with netCDF4.Dataset(url) as file:
        file.set_auto_maskandscale(False)
        for name, variable in variables_of(file).items():
            array = tree[name]
            assert (array.dims, array.shape) == (variable.dimensions, variable.shape)
            found = zarr.open_array(output, path=name, mode="r")[...]
            assert found.dtype == variable.dtype
            np.testing.assert_array_equal(found, variable[...])
            for key in variable.ncattrs():
                truth = variable.getncattr(key)
                assert np.asarray(array.attributes[key]).dtype == np.asarray(truth).dtype
                np.testing.assert_array_equal(array.attributes[key], truth)
            assert array.attributes.keys() == set(variable.ncattrs())
        assert tree.attributes == {"title": "a title"}
        assert tree["g"].attributes == {}


def test_outputs_have_the_values_and_no_notes(store, tmp_path):
    path, _ = store
    tree = mf.parse(path)
    for name, options in (("two.json", {}), ("three.json", {"zarr_format": 3})):
        mf.write(tree, tmp_path / name, **options)
        assert "_nczarr" not in (tmp_path / name).read_text()
        back = mf.parse(tmp_path / name)
        for at, array in tree.walk_arrays():
            found = zarr.open_array(mf.open_store(back), path=at, mode="r")[...]
            np.testing.assert_array_equal(found, zarr.open_array(mf.open_store(tree), path=at, mode="r")[...])
            assert back[at].shape == array.shape


def test_elements_of_no_bytes_behind_another_filter_are_refused(store):
    path, _ = store
    document = json.loads((path / "i2/.zarray").read_text())
    document["filters"].insert(0, {"id": "delta", "dtype": "<i2"})
    (path / "i2/.zarray").write_text(json.dumps(document))
    with pytest.raises(mf.UnsupportedFeatureError, match="shuffle of elements of 0 bytes behind another filter"):
        mf.parse(path, include=["i2"])
