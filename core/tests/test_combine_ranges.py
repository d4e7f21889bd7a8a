"""Ranges that sources state of themselves become those of the whole: at once, in slabs and appended; and are never wrong."""

import itertools

import manifestry as mf
import netCDF4
import numpy as np
import pytest
from manifestry.combine.compatibility.ranges import united_ranges

I2, F4 = np.dtype("i2"), np.dtype("f4")


def write(path, number, units="days since 2000-01-01", time_ranges=(), packed=True, **attributes):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        time = file.createVariable("time", "i4", ("time",))
        time.setncatts({"units": units, **dict(time_ranges)})
        time[:] = [number]
        v = file.createVariable("v", "i2", ("time",), chunksizes=(1,))
        v.set_auto_maskandscale(False)
        v.setncatts({**({"scale_factor": 0.5} if packed else {}), **attributes})
        v[:] = [number]
    return path


def short(*values):
    return np.array(values, "i2") if len(values) > 1 else np.int16(values[0])


ARCHIVES = {
    # name: attributes of each file; those of the whole
    "valid_range": ([{"valid_range": short(0, 5)}, {"valid_range": short(2, 9)}], {"valid_range": [0, 9]}),
    "valid_min and valid_max": (
        [{"valid_min": short(1), "valid_max": short(5)}, {"valid_min": short(0), "valid_max": short(5)}],
        {"valid_min": 0, "valid_max": 5},
    ),
    "one side": ([{"valid_min": short(1)}, {"valid_min": short(-3)}], {"valid_min": -3}),
    "in two forms": (
        [{"valid_range": short(1, 5)}, {"valid_min": short(0), "valid_max": short(3)}],
        {"valid_range": [0, 5]},
    ),
    "no limit in one": ([{"valid_range": short(0, 5)}, {}], {}),
    "no upper limit in one": ([{"valid_range": short(0, 5)}, {"valid_min": short(2)}], {"valid_min": 0}),
    "actual_range": (
        [{"actual_range": np.array([0.5, 1])}, {"actual_range": np.array([-2.5, 0])}],
        {"actual_range": [-2.5, 1.0]},
    ),
    "actual_range unknown in one": ([{"actual_range": np.array([0.5, 1])}, {}], {}),
    "actual_range of nothing": (
        [{"actual_range": np.array([0.5, 1])}, {"actual_range": np.array([np.nan, np.nan])}],
        {},
    ),
    "unsigned": (
        [{"_Unsigned": "true", "valid_range": short(0, 5)}, {"_Unsigned": "true", "valid_range": short(1, -2)}],
        {"valid_range": [0, -2]},
    ),
}


@pytest.mark.parametrize("how", ["at once", "in slabs", "appended", "written"])
@pytest.mark.parametrize("name", ARCHIVES)
def test_the_range_of_the_whole(name, how, tmp_path):
    files, expected = ARCHIVES[name]
    for number, order in enumerate(itertools.permutations(range(len(files)))):
        paths = [write(tmp_path / f"{number}_{position}.nc", position, **files[i]) for position, i in enumerate(order)]
        target = tmp_path / f"{number}.icechunk"
        if how == "written":
            for path in paths:
                mf.write(mf.parse(path), target, **({"append_dim": "time"} if target.exists() else {}))
        elif how == "appended":
            for path in paths:
                report = mf.convert(path, target, concat_dim="time", resume=True)
        else:
            report = mf.convert(paths, target, concat_dim="time", slab_files=1 if how == "in slabs" else None)
        found = mf.parse(target)["v"].attributes
        wanted = {"scale_factor": 0.5, **{n: v for n, v in files[0].items() if n == "_Unsigned"}}
        ranges = {n: np.asarray(v).tolist() for n, v in found.items() if n not in wanted}
        if name != "in two forms":
            assert ranges == expected
        else:
            assert ranges in (expected, {"valid_min": 0, "valid_max": 5})
        if how != "written":
            assert {i.feature for i in report.issues} <= {"ranges united", "attribute left out"}
            assert report.issues


@pytest.mark.parametrize(
    ("sign", "dtype", "first", "second", "whole"),
    [
        ("true", "i1", [0, 5], [1, -2], [0, -2]),
        (b"true", "i1", [0, 5], [1, -2], [0, -2]),
        ("false", "u1", [255, 3], [0, 5], [255, 5]),
    ],
)
def test_limits_are_compared_as_readers_take_them(sign, dtype, first, second, whole):
    parts = [{"_Unsigned": sign, "valid_range": np.array(limits, dtype)} for limits in (first, second)]
    for order in (parts, parts[::-1]):
        found = united_ranges([(attributes, np.dtype(dtype)) for attributes in order])
        assert found["valid_range"].tolist() == whole


def test_of_packed_values_whole_numbers_are_not_fractions(tmp_path):
    paths = [
        write(tmp_path / "a.nc", 0, valid_range=short(0, 5)),
        write(tmp_path / "b.nc", 1, valid_range=np.array([0.0, 2.5], "f4")),
        write(tmp_path / "c.nc", 1, valid_range=np.array([0.0, 5.0], "f4")),
    ]
    for other in paths[1:]:
        with pytest.raises(mf.IncompatibleArraysError, match="valid_range is"):
            mf.convert([paths[0], other], tmp_path / "o.icechunk", concat_dim="time")


@pytest.mark.parametrize("slab_files", [None, 1])
def test_ranges_of_times_in_other_units_are_left_out(slab_files, tmp_path):
    ranges = {"valid_min": np.int32(0), "valid_max": np.int32(20), "actual_range": np.array([1, 1], "i4")}
    paths = [
        write(tmp_path / "a.nc", 1, time_ranges=ranges),
        write(tmp_path / "b.nc", 1, "hours since 2000-01-02", time_ranges=ranges),
    ]
    report = mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time", slab_files=slab_files)
    tree = mf.parse(tmp_path / "o.icechunk")
    assert tree["time"].attributes == {"units": "hours since 2000-01-01"}
    left = {i.path for i in report.issues if i.feature == "attribute left out"}
    assert left == {f"time@{name}" for name in ranges}


def test_a_region_takes_away_an_actual_range_that_may_be_wrong(tmp_path):
    target = tmp_path / "o.icechunk"
    mf.write(mf.parse(write(tmp_path / "a.nc", 9, actual_range=np.array([9.0, 9.0]), valid_max=short(9))), target)
    other = mf.parse(write(tmp_path / "b.nc", 3, actual_range=np.array([3.0, 3.0]), valid_max=short(12)))
    mf.write(other, target, region={"time": (0, 1)})
    assert mf.parse(target)["v"].attributes == {"scale_factor": 0.5, "valid_max": 12}


def test_what_is_the_same_or_not_understood_stays():
    same = {"valid_range": [0, 5], "actual_range": [1.0, 2.0]}
    assert united_ranges([(same, F4), (dict(same), F4)]) == {}
    assert united_ranges([({"valid_range": "0 to 5"}, I2), ({"valid_range": [0, 6]}, I2)]) == {}
    assert united_ranges([({"valid_min": np.nan}, F4), ({"valid_min": 0.5}, F4)]) == {}
    assert united_ranges([({"valid_min": 1, "valid_range": [0, 5]}, I2), ({"valid_min": 1}, I2)]) == {}


@pytest.mark.parametrize("how", ["at once", "in slabs", "appended"])
def test_ranges_of_a_variable_that_the_first_source_lacks(how, tmp_path):
    for number in range(3):
        with netCDF4.Dataset(tmp_path / f"{number}.nc", "w") as file:
            file.createDimension("time", 1)
            file.createVariable("time", "i4", ("time",))[:] = [number]
            for name in ("v", "w") if number else ("v",):
                file.createVariable(name, "f4", ("time",))[:] = number
                file[name].valid_range = np.array([0, 10 * number], "f4")
    options = {"concat_dim": "time", "combine": {"missing": "fill"}, "slab_files": 1 if how == "in slabs" else None}
    for sources in [f"{tmp_path}/{n}.nc" for n in range(3)] if how == "appended" else [f"{tmp_path}/*.nc"]:
        mf.convert(sources, tmp_path / "o.icechunk", resume=True, **options)
    assert [mf.parse(tmp_path / "o.icechunk")[name].attributes["valid_range"] for name in ("v", "w")] == [
        [0, 20],
        [0, 20],
    ]
