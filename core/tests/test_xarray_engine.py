"""``engine="manifestry"``: lazily, exactly what the format's own engine gives, and picklable."""

import pickle
import subprocess
import sys

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr


@pytest.fixture
def packed(tmp_path):
    """A classic netCDF file with packed values, times, text and a missing value."""
    path = tmp_path / "packed.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("time", None)
        file.createDimension("x", 4)
        file.createDimension("length", 3)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "hours since 2000-01-01"
        values = file.createVariable("t", "i2", ("time", "x"), fill_value=-1)
        values.scale_factor = np.float32(0.1)
        values.coordinates = "lat"
        values.set_auto_maskandscale(False)
        values[:] = [[1, 2, -1, 4], [5, 6, 7, 8]]
        time[:] = [0, 12]
        file.createVariable("lat", "f8", ("x",))[:] = np.arange(4)
        file.createVariable("name", "S1", ("x", "length"))[:] = np.array([list("abc")] * 4, "S1")
        file.title = "packed"
    return path


def test_as_the_format_s_own_engine(packed):
    with xr.open_dataset(packed, engine="manifestry") as ours, xr.open_dataset(packed, engine="netcdf4") as theirs:
        xr.testing.assert_identical(ours.load(), theirs.load())
        assert ours.t.dtype == theirs.t.dtype == np.dtype("f4")
    with (
        xr.open_dataset(packed, engine="manifestry", decode_cf=False) as ours,
        xr.open_dataset(packed, engine="netcdf4", decode_cf=False) as theirs,
    ):
        xr.testing.assert_identical(ours.load(), theirs.load())


def test_no_group_is_the_root_group(packed):
    with (
        xr.open_dataset(packed, engine="manifestry", group=None) as found,
        xr.open_dataset(packed, engine="manifestry") as expected,
    ):
        xr.testing.assert_identical(found, expected)


def test_lazy_chunked_and_picklable(packed):
    dataset = xr.open_dataset(packed, engine="manifestry", chunks={}, drop_variables=["name", "unknown"])
    assert "name" not in dataset
    assert dataset.t.chunks == ((1, 1), (4,))
    again = pickle.loads(pickle.dumps(xr.open_dataset(packed, engine="manifestry")))
    np.testing.assert_allclose(again.t.values[1], [0.5, 0.6, 0.7, 0.8], rtol=1e-6)
    dataset = xr.open_dataset(packed, engine="manifestry")
    assert not dataset.t.variable._in_memory


def test_options_and_errors(packed, tmp_path):
    with pytest.raises(mf.OptionError, match="has no option 'x'"):
        xr.open_dataset(packed, engine="manifestry", options={"x": 1})
    with pytest.raises(mf.SourceError, match="does not exist"):
        xr.open_dataset(tmp_path / "none.nc", engine="manifestry")


@pytest.mark.parametrize("open_it", [xr.open_dataset, xr.open_datatree, xr.open_groups], ids=["one", "tree", "groups"])
def test_a_group_that_is_not_there(packed, open_it):
    with pytest.raises(mf.OptionError, match=r"there is no group 'inner' in .*; there are: none"):
        open_it(packed, engine="manifestry", group="/inner")
    with pytest.raises(mf.OptionError, match=r"'name' in .* is an array, not a group"):
        open_it(packed, engine="manifestry", group="name")


@pytest.mark.parametrize("open_it", [xr.open_dataset, xr.open_datatree, xr.open_groups], ids=["one", "tree", "groups"])
def test_options_that_are_given_as_keywords(packed, open_it):
    with pytest.raises(
        mf.OptionError, match=r"no keyword 'ifd'; options of the format are given as options={'ifd': 0}$"
    ):
        open_it(packed, engine="manifestry", ifd=0)
    with pytest.raises(mf.OptionError, match=r"no keyword 'on_unsuported'; did you mean 'on_unsupported'\?"):
        open_it(packed, engine="manifestry", on_unsuported="skip")


def test_trees_of_groups(sample):
    from manifestry.xarray_bridge.engine import ManifestryBackend

    if sample.name == "rectilinear":
        pytest.skip("zarr opens rectilinear grids only when it is told to")
    opened = ManifestryBackend().open_datatree(
        sample.tree, decode_times=False, mask_and_scale=False, decode_coords=False, concat_characters=False
    )
    for path, values in sample.values.items():
        found = opened[path].values
        assert found.shape == values.shape
        if values.dtype.kind in "biufc":
            np.testing.assert_array_equal(found, values)


def test_a_pyramid_opens_at_full_resolution():
    from manifestry.combine import inline_array

    levels = {str(i): mf.VirtualGroup({"data": inline_array(np.zeros((4 >> i, 4)), ("y", "x"))}) for i in range(2)}
    layout = {"layout": [{"asset": "0"}, {"asset": "1", "derived_from": "0"}]}
    tree = mf.VirtualGroup({}, groups=levels, attributes={"multiscales": layout})
    assert mf.to_xarray(tree).sizes == {"y": 4, "x": 4}
    assert mf.to_xarray(tree, "1").sizes == {"y": 2, "x": 4}


def test_never_guessed(packed):
    code = (
        "import sys, xarray as xr\n"
        f"ds = xr.open_dataset({str(packed)!r}); ds.load()\n"
        "assert 'manifestry' in xr.backends.list_engines()\n"
        "print(xr.backends.list_engines()['manifestry'].guess_can_open('x.nc'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_groups_of_a_netcdf4_file_beside_another_reader_of_it(tmp_path):
    path = tmp_path / "groups.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 3)
        file.createVariable("a", "f4", ("x",))[:] = 1
        inner = file.createGroup("inner")
        inner.createDimension("y", 2)
        packed = inner.createVariable("b", "i2", ("y", "x"), fill_value=-1, zlib=True)
        packed.scale_factor = 0.5
        packed[:] = [[1, 2, 3], [4, 5, 6]]
        inner.createGroup("deep").createVariable("c", "i4", ())[...] = 7
    with xr.open_datatree(path, engine="h5netcdf") as theirs:
        theirs.load()
        with xr.open_datatree(path, engine="manifestry", chunks={}) as ours:
            assert ours["inner/b"].chunks == ((2,), (3,))
            xr.testing.assert_identical(ours.load(), theirs)
        again = pickle.loads(pickle.dumps(xr.open_datatree(path, engine="manifestry", group="inner")))
        assert int(again["deep/c"]) == 7
        assert list(xr.open_groups(path, engine="manifestry")) == ["/", "/inner", "/inner/deep"]
