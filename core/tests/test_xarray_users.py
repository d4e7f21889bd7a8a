"""What somebody who works with xarray meets: every way to combine, every error, other processes, Dask."""

import pickle
import subprocess
import sys

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from examples import examples
from hypothesis import HealthCheck, given, settings
from manifestry.model.metadata import RectilinearGrid
from manifestry.testing.strategies import virtual_groups
from manifestry.xarray_bridge import from_virtual_datatree, to_datatree

TAKE_FIRST = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "override",
              "combine_attrs": "override"}  # fmt: skip


def write_day(path, at, units="days since 2000-01-01", **attributes):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 6)
        file.createDimension("nv", 2)
        time = file.createVariable("time", "i4", ("time",))
        time.setncatts({"units": units, "bounds": "time_bnds"})
        time[:] = [at]
        file.createVariable("time_bnds", "i4", ("time", "nv"))[:] = [[at, at + 1]]
        values = file.createVariable("t", "i2", ("time", "x"), zlib=True, chunksizes=(1, 3))
        values.setncatts({"scale_factor": 0.5, **attributes})
        values.set_auto_maskandscale(False)
        values[0] = np.arange(6) + at
        file.createVariable("lat", "f4", ("x",))[:] = np.arange(6)
    return path


@pytest.fixture
def days(tmp_path):
    return [write_day(tmp_path / f"{day}.nc", day) for day in range(3)]


def virtual(path, **options):
    return mf.to_xarray(mf.parse(path), **options)


@settings(
    max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(virtual_groups(depth=1))
@pytest.mark.filterwarnings("ignore:Duplicate dimension names present:UserWarning")
def test_any_tree_comes_back(tree):
    try:
        dataset = to_datatree(tree)
    except ValueError:
        return  # lengths of dimensions that no dataset can have, or names that no node can have
    if any(isinstance(array.metadata.chunk_grid, RectilinearGrid) for _, array in tree.walk_arrays()):
        return
    back = from_virtual_datatree(pickle.loads(pickle.dumps(dataset)))
    assert back == tree


def test_every_way_to_combine_gives_what_the_files_hold(days, tmp_path):
    with xr.open_mfdataset(days, engine="netcdf4", combine="nested", concat_dim="time", **TAKE_FIRST) as truth:
        truth.load()
        shuffled = [virtual(path, load=True) for path in (days[1], days[2], days[0])]
        plain = [virtual(path) for path in days]
        combined = {
            "concat": xr.concat(plain, "time", **TAKE_FIRST),
            "nested": xr.combine_nested(plain, "time", **TAKE_FIRST),
            "by_coords": xr.combine_by_coords(shuffled, data_vars="minimal", coords="minimal", compat="override"),
            "pieces": xr.concat([xr.concat(plain[:2], "time", **TAKE_FIRST), plain[2]], "time", **TAKE_FIRST),
            "selected": xr.concat([d.isel(time=slice(0, 1)) for d in plain], "time", **TAKE_FIRST),
            "renamed": xr.concat([d.rename(t="k", x="lon") for d in plain], "time", **TAKE_FIRST).rename(k="t", lon="x"),
            "turned": xr.concat([d.transpose("x", "time", "nv") for d in plain], "time", **TAKE_FIRST).transpose(*truth.dims),
        }  # fmt: skip
        for name, dataset in combined.items():
            dataset.manifestry.write(tmp_path / f"{name}.json", format="kerchunk-json")
            with xr.open_dataset(mf.parse(tmp_path / f"{name}.json"), engine="manifestry") as found:
                xr.testing.assert_equal(found.load().transpose(*truth.dims), truth.transpose(*truth.dims))
        steps = [d[["t"]].reset_coords(drop=True).isel(time=0).expand_dims("time") for d in plain]
        found = xr.open_dataset(xr.concat(steps, "time", **TAKE_FIRST).manifestry.to_tree(), engine="manifestry")
        np.testing.assert_array_equal(found.t, truth.t)


ERRORS = {
    "scale": (lambda d, other: xr.concat([d, other(scale_factor=0.25)], "time", **TAKE_FIRST), mf.IncompatibleArraysError,
              r"the attribute scale_factor is 0\.25 instead of 0\.5 in file://.*other\.nc$"),
    "units": (lambda d, other: xr.concat([d, other(units="days since 2001-01-01")], "time", **TAKE_FIRST),
              mf.IncompatibleArraysError, r"the attribute units is 'days since 2001-01-01' instead of"),
    "part of a chunk": (lambda d, _: d.isel(x=slice(1, 4)), mf.UnsupportedFeatureError,
                        r"the elements 1:4 of chunks of 3 elements \(a virtual array gives whole chunks only"),
    "one of a chunk": (lambda d, _: d.t.isel(x=0), mf.UnsupportedFeatureError, "the element 0 of chunks of 3 elements"),
    "backwards": (lambda d, _: d.isel(x=slice(None, None, -1)), mf.UnsupportedFeatureError, "the step -1"),
    "every second": (lambda d, _: d.isel(x=slice(None, None, 2)), mf.UnsupportedFeatureError, "the step 2"),
    "scattered": (lambda d, _: d.isel(x=[0, 5]), mf.UnsupportedFeatureError, "scattered positions"),
    "a label": (lambda d, _: d.sel(time=0), mf.UnsupportedFeatureError, "the data are in the archive"),
    "values": (lambda d, _: d.t.values, mf.UnsupportedFeatureError, "use engine='manifestry'"),
    "a sum": (lambda d, _: d.t.sum(), mf.UnsupportedFeatureError, r"numpy\.sum"),
    "adding": (lambda d, _: d.t + 1, mf.UnsupportedFeatureError, r"numpy\.add"),
    "another type": (lambda d, _: d.t.astype("f8"), mf.UnsupportedFeatureError, "converting int16 to float64"),
    "stacking": (lambda d, _: d.stack(z=("time", "x")), mf.UnsupportedFeatureError, r"numpy\.reshape"),
    "a variable that one lacks": (lambda d, _: xr.concat([d, d.drop_vars("t")], "time", **TAKE_FIRST),
                                  mf.UnsupportedFeatureError, r"manifestry\.concat\(missing='fill'\) does"),
    "virtual and in memory": (lambda d, _: xr.concat([d.t, xr.zeros_like(d.t, "i2", chunks=None).copy(data=np.zeros((1, 6), "i2"))],
                                                     "time", compat="override", coords="minimal", join="override"),
                              mf.UnsupportedFeatureError, "joining virtual arrays and values in memory"),
    "a format that is none": (lambda d, _: d.manifestry.write("c.xyz"), mf.UnknownFormatError, "say which format"),
    "a netCDF file": (lambda d, _: d.to_netcdf("c.nc"), mf.UnsupportedFeatureError, "the data are in the archive"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_said(case, days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    action, error, message = ERRORS[case]

    def other(units="days since 2000-01-01", **attributes):
        return virtual(write_day(tmp_path / "other.nc", 3, units, **attributes))

    with pytest.raises(error, match=message):
        action(virtual(days[0]), other)


def test_bounds_count_in_the_units_of_their_variable(days, tmp_path):
    """Times that were decoded hide that their bounds, which have no units of their own, count from another day."""
    other = write_day(tmp_path / "other.nc", 0, "days since 2000-01-04")
    sets = [virtual(path, load=["time"]) for path in (days[0], other)]
    with pytest.raises(mf.IncompatibleArraysError, match="the attribute units is 'days since 2000-01-04'"):
        xr.concat(sets, "time", **TAKE_FIRST)
    xr.concat([virtual(path, load=["time"]) for path in days], "time", **TAKE_FIRST)


def test_a_variable_without_values_takes_no_memory(days):
    t = virtual(days[0]).t
    empty = xr.full_like(t, -1)
    tree = empty.to_dataset(name="t").manifestry.to_tree()
    assert tree["t"].manifest.stored_count == 0
    assert (np.asarray(xr.open_dataset(tree, engine="manifestry", mask_and_scale=False).t) == -1).all()


def test_single_elements_of_uncompressed_arrays(tmp_path):
    data = np.arange(60, dtype="i4").reshape(3, 4, 5)
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for dim, n in zip("zyx", data.shape, strict=True):
            file.createDimension(dim, n)
        file.createVariable("v", "i4", ("z", "y", "x"))[:] = data
    dataset = virtual(tmp_path / "a.nc")
    for key in ({"z": 1}, {"z": -1}, {"z": 2, "y": 3}, {"z": 0, "y": slice(1, 3)}, {"z": 1, "y": 1, "x": 4}):
        found = dataset.isel(key).manifestry.to_tree()
        np.testing.assert_array_equal(xr.open_dataset(found, engine="manifestry").v, data[tuple(key.values())])


def test_another_process_computes_from_the_pickled_dataset(days, tmp_path):
    dataset = xr.open_mfdataset(days, engine="manifestry", combine="nested", concat_dim="time", **TAKE_FIRST)
    lazily = xr.open_dataset(days[1], engine="manifestry")
    (tmp_path / "pickled").write_bytes(pickle.dumps([dataset, lazily, xr.open_datatree(days[2], engine="manifestry")]))
    code = (
        "import pickle, sys\n"
        f"many, one, tree = pickle.load(open({str(tmp_path / 'pickled')!r}, 'rb'))\n"
        "print(float(many.t.sum().compute()), one.t.values.tolist(), float(tree['t'].sum()), len(many.t.chunks[0]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "31.5 [[0.5, 1.0, 1.5, 2.0, 2.5, 3.0]] 13.5 3", done.stderr


def test_many_files_through_dask(days):
    how = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "outer"}
    with (
        xr.open_mfdataset(days, engine="netcdf4", **how) as truth,
        xr.open_mfdataset(days, engine="manifestry", **how) as found,
    ):
        xr.testing.assert_identical(found.load(), truth.load())
    with xr.open_mfdataset(days, engine="manifestry", parallel=True, chunks={"time": 1}, **how) as found:
        assert found.t.chunks == ((1, 1, 1), (3, 3))
        xr.testing.assert_equal(found.load(), truth)
