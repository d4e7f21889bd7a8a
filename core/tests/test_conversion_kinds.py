"""Sources beside each other: several variables in several files, and two dimensions; as xarray combines them by coordinates."""

import itertools

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr

BY_COORDS = {
    "combine": "by_coords",
    "compat": "no_conflicts",
    "data_vars": "minimal",
    "coords": "minimal",
    "join": "outer",
}


def write(path, name, days, *, member=None, number=0, extra=False, scalar=False):
    """Some days of one variable, with bounds; a member as a dimension or a scalar."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("two", 2)
        file.createDimension("x", 3)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.bounds = "days since 2000-01-01", "time_bnds"
        time[:] = days
        file.createVariable("time_bnds", "f8", ("time", "two"))[:] = np.add.outer(days, [0, 1])
        file.createVariable("x", "f4", ("x",))[:] = np.arange(3)
        dims = ("time", "x")
        if member is not None:
            if not scalar:
                file.createDimension("member", 1)
                dims = ("member", *dims)
            file.createVariable("member", "i4", () if scalar else ("member",))[...] = member
        values = np.arange(len(days) * 3).reshape(len(days), 3) + 100 * number
        for one in (name, "shared") if extra else (name,):
            variable = file.createVariable(one, "f4", dims, zlib=True, chunksizes=(1,) * (len(dims) - 1) + (3,))
            stored = values if one == name else np.add.outer(days, np.zeros(3))
            variable[...] = stored.reshape((1,) * (len(dims) - 2) + stored.shape)
    return path


def columns(directory, **how):
    return [
        write(directory / f"{name}_{year}.nc", name, [2 * year, 2 * year + 1], number=10 * i + year, **how)
        for i, name in enumerate(("pr", "tas", "uas"))
        for year in range(3)
    ]


def check(target, paths):
    with (
        xr.open_mfdataset(paths, **BY_COORDS) as expected,
        xr.open_dataset(target, engine="manifestry") as found,
    ):
        xr.testing.assert_equal(found.transpose(*expected.sizes), expected.load().transpose(*expected.sizes))


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("order", ["by variable", "by year", "mixed"])
@pytest.mark.parametrize("executor", [None, 2])
def test_several_variables_in_several_files(executor, order, extra, tmp_path):
    paths = columns(tmp_path, extra=extra)
    given = {
        "by variable": paths,
        "by year": [paths[3 * name + year] for year in range(3) for name in range(3)],
        "mixed": [paths[i] for i in (3, 0, 1, 6, 7, 4, 8, 2, 5)],
    }[order]
    report = mf.convert(given, tmp_path / "o.icechunk", concat_dim="time", executor=executor)
    check(tmp_path / "o.icechunk", paths)
    assert not report.issues


def test_they_are_appended_together(tmp_path):
    paths = columns(tmp_path)
    target = tmp_path / "o.icechunk"
    mf.convert([p for p in paths if "_2" not in p.name], target, concat_dim="time")
    mf.convert(paths, target, append_dim="time")
    check(target, paths)
    more = write(tmp_path / "tas_3.nc", "tas", [6, 7])
    with pytest.raises(mf.IncompatibleArraysError, match=r"pr: is not in .*tas_3"):
        mf.convert(more, target, append_dim="time")
    check(target, paths)


def test_variables_with_other_times_are_not_put_beside_each_other(tmp_path):
    paths = [write(tmp_path / "tas.nc", "tas", [0, 1]), write(tmp_path / "pr.nc", "pr", [2, 3])]
    with pytest.raises(mf.IncompatibleArraysError, match=r"is not in .*missing='fill'"):
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time")
    assert not (tmp_path / "o.icechunk").exists()


def test_a_variable_that_some_files_lack_is_no_column(tmp_path):
    paths = [write(tmp_path / "0.nc", "tas", [0], extra=True), write(tmp_path / "1.nc", "tas", [1])]
    with pytest.raises(mf.IncompatibleArraysError, match=r"shared: is not in .*1\.nc"):
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time")


@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("dims", [("time", "member"), ("member", "time")])
def test_two_dimensions(dims, scalar, tmp_path):
    paths = [
        write(
            tmp_path / f"{m}_{year}.nc", "tas", [2 * year, 2 * year + 1], member=m, number=10 * m + year, scalar=scalar
        )
        for m, year in itertools.product((10, 1, 2), range(3))
    ]
    if not scalar or dims[0] == "time":
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim=dims)
        with xr.open_dataset(tmp_path / "o.icechunk", engine="manifestry") as found:
            assert found.member.values.tolist() == ([1, 2, 10] if dims[0] == "time" else [10, 1, 2])
            for path in paths:
                with xr.open_dataset(path) as one:
                    m = int(one.member.item() if scalar else one.member[0])
                    part = found.tas.sel(member=m).sel(time=one.time)
                    np.testing.assert_array_equal(part.transpose("time", "x"), one.tas.values.reshape(2, 3))


def test_two_dimensions_from_names_with_two_variables(tmp_path):
    paths = [
        write(tmp_path / f"{name}_r{m}_{year}.nc", name, [year], number=10 * m + year)
        for name, m, year in itertools.product(("pr", "tas"), (1, 2), range(3))
    ]
    target = tmp_path / "o.json"
    mf.convert(paths, target, concat_dim=["time", "member"], coords=[r"member=regex:_r(\d+)_"])
    with xr.open_dataset(target, engine="manifestry") as found:
        assert found.sizes == {"time": 3, "member": 2, "x": 3, "two": 2}
        assert found.tas.sel(member=2).isel(time=1, x=0).item() == 2100
        assert found.pr.sel(member=1).isel(time=2, x=1).item() == 1201


def test_a_block_that_is_not_there_is_refused(tmp_path):
    paths = [write(tmp_path / f"{m}_{t}.nc", "tas", [t], member=m) for m, t in ((1, 0), (1, 1), (2, 0))]
    with pytest.raises(mf.IncompatibleArraysError, match=r"shape|values"):
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim=["time", "member"])
    with pytest.raises(mf.OptionError, match=r"no coordinate 'level'.*--coord"):
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim=["time", "level"])
    with pytest.raises(mf.OptionError, match="a dimension twice"):
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim=["time", "time"])
