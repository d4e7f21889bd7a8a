"""`missing=fill` gives the same in whatever order the sources come, at once, in slabs and appended."""

import itertools

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr


def write(path, number, *, lacking=False, sparse=False, fill=None):
    """One step of `v` and, unless it is lacking, `w`."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 4)
        for name in ("v",) if lacking else ("v", "w"):
            variable = file.createVariable(name, "f4", ("time", "x"), zlib=True, chunksizes=(1, 2), fill_value=fill)
            variable[0, : 2 if sparse and name == "w" else 4] = number
        time = file.createVariable("time", "i4", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = [number]
    return path


def check(target, paths, lacking):
    with xr.open_dataset(target, engine="manifestry") as found:
        for position, path in enumerate(paths):
            number = int(path.stem[1:])
            expected = np.full(4, np.nan if number in lacking else number)
            np.testing.assert_array_equal(found.w.values[position], expected)
            np.testing.assert_array_equal(found.v.values[position], np.full(4, number))


@pytest.mark.parametrize("fill", [None, -9.0])
@pytest.mark.parametrize("slab_files", [None, 2])
@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 1, 2, 3), (3, 2, 0, 1)])
def test_any_order_at_once_and_in_slabs(order, slab_files, fill, tmp_path):
    paths = [write(tmp_path / f"f{i}.nc", i, lacking=i in (1, 3), fill=fill) for i in order]
    target = tmp_path / "o.icechunk"
    mf.convert(paths, target, concat_dim="time", combine={"missing": "fill"}, slab_files=slab_files)
    check(target, paths, (1, 3))


def test_appended(tmp_path):
    paths = [write(tmp_path / f"f{i}.nc", i, lacking=i in (1, 2)) for i in range(4)]
    target = tmp_path / "o.icechunk"
    for count in range(1, 5):
        mf.convert(paths[:count], target, concat_dim="time", resume=True, combine={"missing": "fill"})
    check(target, paths, (1, 2))


@pytest.mark.parametrize("fill", [None, -9.0])
@pytest.mark.parametrize("lacking", [(0,), (0, 1), (0, 2), (0, 1, 3)])
@pytest.mark.parametrize("how", ["appended", "in slabs", "two at a time"])
def test_a_variable_that_appears_later(how, lacking, fill, tmp_path):
    paths = [write(tmp_path / f"f{i}.nc", i, lacking=i in lacking, fill=fill) for i in range(4)]
    options = {"concat_dim": "time", "combine": {"missing": "fill"}}
    mf.convert(paths, tmp_path / "once.json", **options)
    target = tmp_path / "o.icechunk"
    if how == "in slabs":
        mf.convert(paths, target, slab_files=1, **options)
    else:
        for stop in (2, 4) if how == "two at a time" else range(1, 5):
            report = mf.convert(paths[:stop], target, resume=True, verify="all", **options)
            assert report.verified.ok
    check(target, paths, lacking)
    one, other = mf.parse(target), mf.parse(tmp_path / "once.json")
    for path in ("v", "w"):
        assert one[path].metadata.fill_value == other[path].metadata.fill_value or np.isnan(
            one[path].metadata.fill_value
        )
        assert one[path].attributes.keys() == other[path].attributes.keys()


def test_chunks_that_begin_before_it_are_copied(tmp_path):
    def long(name, start, names):
        with netCDF4.Dataset(tmp_path / name, "w") as file:
            file.createDimension("time", 3)
            for one in names:
                file.createVariable(one, "f4", ("time",), zlib=True, chunksizes=(2,))[:] = start + np.arange(3)
            file.createDimension("level", 2)
            if "w" in names:
                file.createVariable("level", "f4", ("level",))[:] = [1, 2]
            file.createVariable("time", "i4", ("time",))[:] = start + np.arange(3)
        return tmp_path / name

    first, later = long("0.nc", 0, ["v"]), long("1.nc", 3, ["v", "w"])
    target = tmp_path / "o.icechunk"
    mf.convert(first, target, concat_dim="time")
    with pytest.raises(mf.IncompatibleArraysError, match=r"level: is in .*missing='fill'"):
        mf.convert(later, target, append_dim="time")
    mf.convert(later, target, append_dim="time", combine={"missing": "fill"})
    with xr.open_zarr(mf.open_store(mf.parse(target)), consolidated=False) as found:
        np.testing.assert_array_equal(found.w, [np.nan, np.nan, np.nan, 3, 4, 5])
        np.testing.assert_array_equal(found.v, np.arange(6))
        np.testing.assert_array_equal(found.level, [1, 2])


def test_whole_numbers_without_a_missing_value_are_not_filled_before_they_appear(tmp_path):
    for number, names in enumerate((["v"], ["v", "w"])):
        with netCDF4.Dataset(tmp_path / f"{number}.nc", "w") as file:
            file.createDimension("time", 1)
            for name in names:
                file.createVariable(name, "i4", ("time",))[:] = number
    mf.convert(tmp_path / "0.nc", tmp_path / "o.icechunk", concat_dim="time")
    with pytest.raises(
        mf.IncompatibleArraysError, match=r"w: is not in the output, and no value of int32 means missing"
    ):
        mf.convert(tmp_path / "1.nc", tmp_path / "o.icechunk", append_dim="time", combine={"missing": "fill"})


def test_an_output_keeps_what_its_missing_chunks_read_as(tmp_path):
    paths = [write(tmp_path / "f0.nc", 0), write(tmp_path / "f1.nc", 1, lacking=True)]
    mf.convert(paths[0], tmp_path / "o.icechunk", concat_dim="time")
    with pytest.raises(mf.IncompatibleArraysError, match=r"^w: is not in .*f1\.nc, and missing chunks .*missing=fill"):
        mf.convert(paths[1], tmp_path / "o.icechunk", append_dim="time", combine={"missing": "fill"})


def test_chunks_that_read_as_something_else_are_never_filled(tmp_path):
    for order in itertools.permutations(range(3)):
        paths = [write(tmp_path / f"f{i}.nc", i, lacking=i == 1, sparse=i == 2) for i in order]
        with pytest.raises(
            mf.IncompatibleArraysError, match=r"^w: .*missing chunks read as|^w: chunks that are missing"
        ):
            mf.convert(paths, tmp_path / "o.json", concat_dim="time", combine={"missing": "fill"})
