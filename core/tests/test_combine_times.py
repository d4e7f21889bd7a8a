"""Times that count differently in each file become one coordinate, as xarray decodes them; or are refused by value."""

import itertools
import json

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.combine.compatibility.common_times import TimeSeries, common_times, renewed_times
from manifestry.combine.compatibility.spellings import mean_the_same
from manifestry.combine.compatibility.times import TimeUnit
from manifestry.errors import IncompatibleArraysError

DAY = "days since 2021-02-21"


def write(path, number, values, units=DAY, dtype="i8", *, bounds=False, fill=None, **attributes):
    """A file of some times, `v` along them and, if asked for, bounds without units of their own."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("nv", 2)
        time = file.createVariable("time", dtype, ("time",), fill_value=fill)
        time.setncatts({"units": units, **attributes})
        time.set_auto_mask(False)
        file.createVariable("v", "f4", ("time",), zlib=True, chunksizes=(1,))[:] = number + np.arange(len(values)) / 10
        if bounds:
            time.bounds = "time_bnds"
            edges = np.asarray(values)[:, None] + np.array([0, 1])
            file.createVariable("time_bnds", dtype, ("time", "nv"), zlib=True)[:] = edges
        time[:] = values
    return path


def archive(directory, *files, **common):
    return [write(directory / f"f{i}.nc", i, *file[:-1], **{**common, **file[-1]}) for i, file in enumerate(files)]


ARCHIVES = {
    # name: files (values, further arguments)
    "xarray's own, six-hourly": [([0], {"units": f"days since 2021-02-21 {h:02}:00:00"}) for h in (0, 6, 12, 18)],
    "days, then hours": [([0, 1], {}), ([0, 6, 12], {"units": "hours since 2021-02-23"})],
    "each from its own day": [([0, 0.5], {"units": f"days since 2021-02-{d}", "dtype": "f8"}) for d in (21, 22, 23)],
    "single, then double precision": [([0.5], {"dtype": "f4"}), ([40000.0625], {"dtype": "f8"})],
    "whole numbers, then fractions": [([0], {"dtype": "i4"}), ([1.25], {"dtype": "f8"})],
    "small, then large integers": [([0], {"dtype": "i2"}), ([70000], {"dtype": "i4"})],
    "epochs far apart": [([0], {"units": "days since 1900-01-01"}), ([0], {"units": "seconds since 1970-01-01 00:00:01"})],
    "milliseconds": [([0], {}), ([86_400_001], {"units": "milliseconds since 2021-02-21"})],
    "hours in fractions of days": [([h / 24 for h in range(24)], {"units": f"days since 2021-02-{d}", "dtype": "f8"})
                                   for d in (21, 22, 23)],
    "missing times": [([0, -9], {"fill": -9}), ([5, -1], {"units": "days since 2021-02-22", "fill": -1})],
    "missing times of another type": [([0.0, np.nan], {"dtype": "f8", "fill": np.nan}),
                                      ([1, -1], {"units": "hours since 2021-02-22", "fill": -1})],
    "zones": [([0], {}), ([0], {"units": "days since 2021-02-22 02:00 +02:00"})],
    "another calendar": [([0], {"calendar": "noleap"}), ([10], {"calendar": "365_day", "units": "hours since 2021-02-22"})],
    "both names of one calendar": [([0], {"calendar": "standard"}), ([0], {"calendar": "proleptic_gregorian", "units": "days since 2021-02-22"})],
    "before the reform": [([0], {"units": "days since 0001-01-01", "calendar": "standard"}),
                          ([36], {"units": "hours since 0001-01-02", "calendar": "gregorian"})],
}  # fmt: skip


def truth(paths):
    coder = xr.coders.CFDatetimeCoder()
    opened = [xr.open_dataset(path, decode_times=coder) for path in paths]
    try:
        return np.concatenate([ds.time.values for ds in opened]), np.concatenate([ds.v.values for ds in opened])
    finally:
        for ds in opened:
            ds.close()


def check(target, paths):
    with xr.open_dataset(target, engine="manifestry") as found:
        times, values = truth(paths)
        np.testing.assert_array_equal(found.time.values, times)
        np.testing.assert_array_equal(found.v.values, values)


@pytest.mark.filterwarnings("ignore:Unable to decode time axis")
@pytest.mark.parametrize("name", ARCHIVES)
def test_times_are_harmonised_by_default(name, tmp_path):
    paths = archive(tmp_path, *ARCHIVES[name])
    report = mf.convert(paths, tmp_path / "o.json", concat_dim="time", verify="all")
    assert report.verified.ok, report.verified.summary()
    assert [i.feature for i in report.issues if i.path == "time" and i.feature == "times harmonised"] == [
        "times harmonised"
    ]
    check(tmp_path / "o.json", paths)
    mf.convert(paths, tmp_path / "slabs.icechunk", concat_dim="time", slab_files=1)
    check(tmp_path / "slabs.icechunk", paths)
    for count in range(1, len(paths) + 1):
        mf.convert(paths[:count], tmp_path / "appended.icechunk", concat_dim="time", resume=True)
    check(tmp_path / "appended.icechunk", paths)


@pytest.mark.parametrize("files", list(itertools.permutations([
    ([0], {}), ([6], {"units": "hours since 2021-02-22"}), ([90], {"units": "minutes since 2021-02-23"})])))  # fmt: skip
def test_an_output_is_given_the_unit_that_what_is_appended_needs(files, tmp_path):
    paths = archive(tmp_path, *files, bounds=True)
    target = tmp_path / "o.icechunk"
    for count in (1, 2, 3):
        report = mf.convert(paths[:count], target, concat_dim="time", resume=True, verify="all")
        assert report.verified.ok, report.verified.summary()
        check(target, paths[:count])
    with xr.open_dataset(target, engine="manifestry", decode_times=False) as raw:
        assert raw.time.attrs["units"].partition(" since ")[0] in ("minutes", "days", "hours")
        np.testing.assert_array_equal(raw.time_bnds.values[:, 0], raw.time.values)
        assert "units" not in raw.time_bnds.attrs
    with xr.open_dataset(target, engine="manifestry") as found, xr.open_mfdataset(
        paths, combine="nested", concat_dim="time"
    ) as expected:  # fmt: skip
        np.testing.assert_array_equal(found.time_bnds.values, expected.time_bnds.values)


def test_order_is_looked_at_in_one_unit(tmp_path):
    paths = archive(tmp_path, ([2, 3], {}), ([71], {"units": "hours since 2021-02-21"}))
    for options in ({}, {"slab_files": 1}):
        report = mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time", overwrite=True, **options)
        (issue,) = [issue for issue in report.issues if issue.feature == "coordinate not monotonic"]
        assert "first 71 in" in issue.message
        assert " after 72 in " in issue.message


@pytest.mark.parametrize("order", [1, -1])
def test_what_a_file_says_of_its_own_times_is_not_said_of_all(order, tmp_path):
    """Equal numbers, in units that are not."""
    span = {"actual_range": np.array([0, 12.0])}
    files = [
        ([0, 12], {"units": "hours since 2021-02-21", **span}),
        ([0, 12], {"units": "hours since 2021-02-22", **span}),
    ]
    paths = archive(tmp_path, *files[::order])
    report = mf.convert(paths, tmp_path / "o.json", concat_dim="time")
    assert ("time@actual_range", "reported") in {(issue.path, issue.severity) for issue in report.issues}
    with xr.open_dataset(tmp_path / "o.json", engine="manifestry") as found:
        assert "actual_range" not in found.time.attrs
    check(tmp_path / "o.json", paths)


def test_bounds_that_differ_while_times_do_not(tmp_path):
    """An unset and a named calendar are the same, and one more type of bounds is copied."""
    paths = archive(tmp_path, ([0], {"calendar": "standard"}), ([1], {}), bounds=True)
    report = mf.convert(paths, tmp_path / "o.json", concat_dim="time")
    assert "times harmonised" not in {issue.feature for issue in report.issues}
    with open(tmp_path / "o.json") as file:
        references = json.load(file)["refs"]
    assert all(isinstance(v, list) for k, v in references.items() if k.startswith(("v/0", "v/1", "time_bnds/0")))


REFUSED = {
    "calendars": ([([0], {}), ([1], {"calendar": "noleap"})], "times of the calendar noleap are not times of standard"),
    "before the reform": (
        [([0], {"units": "days since 1500-01-01", "calendar": "standard"}),
         ([0], {"units": "days since 1500-01-01", "calendar": "proleptic_gregorian"})],
        "before the Gregorian reform is not the same"),
    "months": ([([0], {}), ([1], {"units": "months since 2021-02-21"})], "is not a time unit of fixed length"),
    "fractions of a nanosecond": (
        [([0.0], {"dtype": "f8", "units": "days since 1900-01-01"}),
         ([1 / 3], {"dtype": "f8", "units": "microseconds since 2021-02-21 00:00:01"})], r"the time 0\.33"),
    "packed": ([([0], {"scale_factor": 0.5}), ([0], {"scale_factor": 0.5, "units": "hours since 2021-02-21"})],
               "times with scale_factor"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exact_is_refused_with_the_value(name, tmp_path):
    files, message = REFUSED[name]
    with pytest.raises(IncompatibleArraysError, match=rf"^time: .*f\d\.nc.*{message}"):
        mf.convert(archive(tmp_path, *files), tmp_path / "o.json", concat_dim="time")


UNITS = st.sampled_from(["days", "hours", "minutes", "seconds", "milliseconds"])
EPOCHS = st.sampled_from(["1970-01-01", "2000-02-29 12:00", "2001-03-01T06:30:15", "1999-12-31 23:59:59.5"])
TYPES = st.sampled_from(["i4", "i8", "f8"])


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(
        st.tuples(UNITS, EPOCHS, TYPES, st.lists(st.integers(-4000, 4000), min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_common_times_decode_as_before(files):
    parts = [(np.array(v, d), {"units": f"{u} since {e}"}) for u, e, d, v in files]
    (common,) = common_times([TimeSeries(dtype=parts[0][0].dtype, attributes=parts[0][1], parts=parts, labels=str)])
    for (numbers, attributes), given_numbers in zip(parts, common.parts, strict=True):
        assert given_numbers.dtype == common.dtype
        a, b = (xr.conventions.decode_cf_variable("t", xr.Variable("t", *one)).values
                for one in ((numbers, attributes), (given_numbers, common.attributes)))  # fmt: skip
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("values", "have", "want", "expected"),
    [
        (np.array([0, 36], "i4"), "hours since 2000-02-28", "minutes since 2000-02-28 12:00", [-720, 1440]),
        (np.array([1], "i8"), "days since 2000-02-29", "seconds since 2000-03-01T00:00:00Z", [0]),
        (np.array([0], "i4"), "days since 1582-10-15", "days since 1582-10-04", [1]),
        (np.array([1.5]), "days since 1999-12-31 00:00:00 +01:00", "hours since 2000-01-01", [11.0]),
    ],
)
def test_times(values, have, want, expected):
    np.testing.assert_array_equal(renewed_times(values, {"units": have}, {"units": want}, values.dtype), expected)


def test_times_keep_missing_values_and_calendars():
    have = {"units": "days since 2001-03-01", "calendar": "noleap", "_FillValue": np.int32(-9)}
    want = {"units": "days since 2000-01-01", "calendar": "365_day", "_FillValue": np.int32(-1)}
    assert renewed_times(np.array([0, -9], "i4"), have, want, np.dtype("i4")).tolist() == [365 + 59, -1]
    with pytest.raises(ValueError, match="calendar noleap are not times of 360_day"):
        renewed_times(np.array([0], "i4"), have, {**want, "calendar": "360_day"}, np.dtype("i4"))
    with pytest.raises(ValueError, match="not a time unit of fixed length"):
        renewed_times(np.array([0], "i4"), {"units": "months since 2000-01-01"}, want, np.dtype("i4"))
    with pytest.raises(ValueError, match="before the Gregorian reform"):
        renewed_times(np.array([-900000.0]), {"units": "days since 2000-01-01"},
                      {"units": "days since 2000-01-01", "calendar": "proleptic_gregorian"}, np.dtype("f8"))  # fmt: skip


@pytest.mark.parametrize("date", ["2001-13-01", "2001-00-01", "2001-01-32", "2001-01-01 24:00", "2001-01-01 00:60"])
def test_times_since_no_date(date):
    with pytest.raises(ValueError, match="is not a date"):
        renewed_times(
            np.array([0.0]), {"units": f"days since {date}"}, {"units": "days since 2000-01-01"}, np.dtype("f8")
        )


def test_times_that_no_number_is():
    unit = {"units": "days since 2000-01-01"}
    with pytest.raises(ValueError, match="infinite numbers are not times"):
        renewed_times(np.array([1.0, np.inf]), unit, {"units": "days since 2001-01-01"}, np.dtype("f8"))
    with pytest.raises(ValueError, match=r"the time 3\.0.*e\+38 .* has no exact number"):
        renewed_times(np.array([3e38], "f4"), unit, {"units": "hours since 2000-01-01"}, np.dtype("f4"))


def test_epochs_are_those_of_cftime():
    cftime = pytest.importorskip("cftime")
    for calendar in ("standard", "proleptic_gregorian", "noleap", "all_leap", "360_day", "julian"):
        for date in ("0001-01-01", "1582-10-04", "1582-10-15", "1900-03-01", "2000-12-30"):
            epochs = [
                TimeUnit.of({"units": f"days since {d}", "calendar": calendar}).epoch for d in (date, "2000-01-01")
            ]
            day = cftime.date2num(cftime.num2date(0, f"days since {date}", calendar), "days since 2000-01-01", calendar)
            assert (epochs[0] - epochs[1]) // 86_400_000_000_000 == day, (calendar, date)


@pytest.mark.parametrize(("name", "a", "b", "same"), [
    ("units", "m", "meters", True), ("units", "Mm", "mm", False), ("units", "Meters", "metre", True),
    ("units", "W m-2", "W/m^2", True), ("units", "K", "k", False), ("units", "degC", "degrees_Celsius", True),
    ("units", "days since 2000-01-01", "day since 2000-1-1 00:00:00", True),
    ("units", "days since 2000-01-01", "hours since 2000-01-01", False),
    ("units", "months since 2000-01-01", "months since 2000-02-01", False), ("units", "m", None, False),
    ("calendar", None, "gregorian", True), ("calendar", "standard", "proleptic_gregorian", False),
    ("_FillValue", None, np.float32("nan"), True), ("_FillValue", np.float32(1), None, False),
    ("scale_factor", None, 1.0, True), ("scale_factor", 0.5, None, False), ("scale_factor", np.float32(1), 1, True),
    ("add_offset", 0, None, True), ("positive", "up", "UP", True), ("positive", "up", "down", False),
    ("_Unsigned", None, "false", False), ("flag_values", None, 1, False),
])  # fmt: skip
def test_spellings(name, a, b, same):
    sides = [{} if value is None else {name: value} for value in (a, b)]
    types = (np.dtype("f4"), np.dtype("f4"))
    assert mean_the_same(name, *sides, types) is same
    assert mean_the_same(name, *reversed(sides), types) is same


def test_marks_count_together():
    types = (np.dtype("i2"), np.dtype("i2"))
    both = {"_FillValue": np.int16(-9), "missing_value": np.int16(-9)}
    for one in ({"_FillValue": np.int16(-9)}, {"missing_value": np.int16(-9)}):
        assert mean_the_same("missing_value", both, one, types)
        assert mean_the_same("_FillValue", one, both, types)
    assert not mean_the_same("missing_value", both, {**both, "missing_value": np.int16(-8)}, types)
    assert mean_the_same("_Unsigned", {}, {"_Unsigned": "false"}, types)


@pytest.mark.parametrize("how", ["at once", "in slabs", "appended"])
def test_bounds_of_all_sources_count_in_the_finer_unit(how, tmp_path):
    paths = archive(
        tmp_path, ([0, 1], {}), ([2], {}), ([4, 5], {}), ([168, 192], {"units": "hours since 2021-02-21"}), bounds=True
    )
    target = tmp_path / "o.icechunk"
    for sources in [[path] for path in paths] if how == "appended" else [paths]:
        mf.convert(sources, target, concat_dim="time", resume=True, slab_files=2 if how == "in slabs" else None)
    with (
        xr.open_dataset(target, engine="manifestry") as found,
        xr.open_mfdataset(paths, combine="nested", concat_dim="time", data_vars="minimal", coords="minimal", compat="override", join="override") as expected,
    ):  # fmt: skip
        np.testing.assert_array_equal(found.time, expected.time)
        np.testing.assert_array_equal(found.time_bnds, expected.time_bnds)
