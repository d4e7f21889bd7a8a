"""Sources in the order of their coordinate, and values that occur twice: at once, in slabs, appended; values as xarray has them."""

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from examples import examples
from hypothesis import HealthCheck, given, settings, strategies as st


def write(path, hours, number, *, units="hours since 2000-01-01", chunk=1, zlib=True, dtype="f8"):
    """Some hours of `v`, whose values say which file they are of."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(hours))
        file.createDimension("x", 2)
        time = file.createVariable("time", dtype, ("time",))
        time.units = units
        time[:] = hours
        v = file.createVariable("v", "f4", ("time", "x"), zlib=zlib, chunksizes=(min(chunk, len(hours)), 2))
        v[:] = 1000 * number + np.asarray(hours)[:, None] + np.zeros(2)
    return path


def archive(directory, *parts, **how):
    return [write(directory / f"f{i}.nc", hours, i, **how) for i, hours in enumerate(parts)]


def read(target):
    with xr.open_dataset(target, engine="manifestry", decode_times=False) as found:
        return found.time.values.tolist(), (found.v.values[:, 0] // 1000).tolist()


@pytest.mark.parametrize("slab_files", [None, 2])
@pytest.mark.parametrize("executor", [None, 2])
def test_sorted(slab_files, executor, tmp_path):
    paths = archive(tmp_path, [4, 5], [0, 1], [6, 7], [2, 3])
    report = mf.convert(
        paths, tmp_path / "o.icechunk", concat_dim="time", sort=True, slab_files=slab_files, executor=executor
    )
    assert read(tmp_path / "o.icechunk") == ([*range(8)], [1, 1, 3, 3, 0, 0, 2, 2])
    assert not report.issues
    assert [source.url for source in report.sources] == [path.as_uri() for path in paths]


def test_sorted_by_what_the_numbers_mean(tmp_path):
    paths = [
        write(tmp_path / "late.nc", [0], 0, units="hours since 2000-01-03"),
        write(tmp_path / "early.nc", [1], 1, units="days since 2000-01-01"),
        write(tmp_path / "first.nc", [30], 2, units="minutes since 2000-01-01"),
    ]
    mf.convert(paths, tmp_path / "o.json", concat_dim="time", sort=True)
    with xr.open_dataset(tmp_path / "o.json", engine="manifestry") as found:
        assert (found.v.values[:, 0] // 1000).tolist() == [2, 1, 0]
        assert found.indexes["time"].is_monotonic_increasing


def test_files_whose_own_values_go_down_are_sorted_down(tmp_path):
    paths = archive(tmp_path, [3, 2], [7, 6], [5, 4])
    mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time", sort=True)
    assert read(tmp_path / "o.icechunk")[0] == [7, 6, 5, 4, 3, 2]


TWICE = {
    # name: parts, first kept, replaced: times and files of each element
    "a day again": ([[0], [1], [2], [1]], ([0, 1, 2], [0, 1, 2]), ([0, 1, 2], [0, 3, 2])),
    "overlap": ([[0, 1, 2], [2, 3, 4]], ([0, 1, 2, 3, 4], [0, 0, 0, 1, 1]), ([0, 1, 2, 3, 4], [0, 0, 1, 1, 1])),
    "all again": ([[0, 1], [0, 1]], ([0, 1], [0, 0]), ([0, 1], [1, 1])),
    "longer again": ([[0, 1], [0, 1, 2]], ([0, 1, 2], [0, 0, 1]), ([0, 1, 2], [1, 1, 1])),
    "down": ([[9, 8], [8, 7]], ([9, 8, 7], [0, 0, 1]), ([9, 8, 7], [0, 1, 1])),
}


@pytest.mark.parametrize("chunk", [1, 2, 3])
@pytest.mark.parametrize("zlib", [True, False])
@pytest.mark.parametrize("name", TWICE)
def test_values_twice(name, zlib, chunk, tmp_path):
    parts, first, last = TWICE[name]
    paths = archive(tmp_path, *parts, chunk=chunk, zlib=zlib)
    for way, expected in (("keep-first", first), ("replace", last)):
        target = tmp_path / f"{way}.icechunk"
        report = mf.convert(paths, target, concat_dim="time", on_duplicate=way, verify="all")
        assert read(target) == expected
        assert report.verified.ok
        assert {i.feature for i in report.issues} == {"duplicate values left out"}
        again = mf.convert(paths, target, append_dim="time", on_duplicate=way)
        assert again.count("present") == len(paths)
        assert read(target) == expected
    with pytest.raises(mf.IncompatibleArraysError, match=r"^time: \d\.0 hours since 2000-01-01 is in .* and in "):
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time", on_duplicate="raise")
    assert not (tmp_path / "o.icechunk").exists()


@pytest.mark.parametrize("name", sorted(TWICE.keys() - {"down"}))
def test_values_that_the_output_has(name, tmp_path):
    parts, first, last = TWICE[name]
    paths = archive(tmp_path, *parts)
    for way, expected in (("keep-first", first), ("replace", last)):
        target = tmp_path / f"{way}.icechunk"
        mf.convert(paths[:-1], target, concat_dim="time", on_duplicate=way)
        report = mf.convert(paths[-1], target, append_dim="time", on_duplicate=way)
        assert read(target) == expected
        assert report.issues[0].feature == ("values replaced" if way == "replace" else "duplicate values left out")
        before = read(target)
        again = mf.convert(paths, target, append_dim="time", on_duplicate=way)
        assert again.count("written") == 0
        assert read(target) == before
    target = tmp_path / "raise.icechunk"
    mf.convert(paths[:-1], target, concat_dim="time")
    with pytest.raises(mf.IncompatibleArraysError, match=r"is in .* and in "):
        mf.convert(paths[-1], target, append_dim="time", on_duplicate="raise")


def test_copying_a_part_has_a_limit(tmp_path):
    paths = archive(tmp_path, [0, 1, 2], [2, 3, 4], chunk=3)
    with pytest.raises(mf.IncompatibleArraysError, match=r"v: .*16 bytes would have to be copied"):
        mf.convert(
            paths, tmp_path / "o.json", concat_dim="time", on_duplicate="keep-first", combine={"inline_limit": 15}
        )


def test_what_cannot_be_replaced_is_said_before_anything_changes(tmp_path):
    paths = archive(tmp_path, [0, 1], [1, 2], chunk=2)
    mf.convert(paths[0], tmp_path / "o.icechunk", concat_dim="time", write={"rewrite_below": 0})
    with pytest.raises(mf.IncompatibleArraysError, match="chunk"):
        mf.convert(
            paths[1], tmp_path / "o.icechunk", append_dim="time", on_duplicate="replace", write={"rewrite_below": 0}
        )
    assert read(tmp_path / "o.icechunk") == ([0, 1], [0, 0])


def test_what_has_no_coordinate(tmp_path):
    for name in ("a", "b"):
        with netCDF4.Dataset(tmp_path / f"{name}.nc", "w") as file:
            file.createDimension("time", 1)
            file.createVariable("v", "f4", ("time",))[:] = 1
    with pytest.raises(mf.OptionError, match="there is no coordinate 'time'"):
        mf.convert(tmp_path / "*.nc", tmp_path / "o.json", concat_dim="time", sort=True)
    with pytest.raises(mf.OptionError, match="need a concat_dim"):
        mf.convert(tmp_path / "*.nc", tmp_path / "o.json", sort=True)
    with pytest.raises(mf.OptionError, match="'keep', 'keep-first', 'replace', 'raise', not 'last'"):
        mf.convert(tmp_path / "*.nc", tmp_path / "o.json", concat_dim="time", on_duplicate="last")


def test_a_damaged_file_among_those_that_are_sorted(tmp_path):
    paths = archive(tmp_path, [2], [0], [1])
    paths[1].write_bytes(b"no file")
    report = mf.convert(paths, tmp_path / "o.json", concat_dim="time", sort=True, on_error="skip")
    assert read(tmp_path / "o.json")[0] == [1, 2]
    assert report.count("failed") == 1


@pytest.mark.parametrize("how", ["at once", "in slabs", "appended"])
def test_gaps_are_reported(how, tmp_path):
    paths = archive(tmp_path, [0, 1], [2, 3], [4, 5], [8, 9])
    target = tmp_path / "o.icechunk"
    for part in [[path] for path in paths] if how == "appended" else [paths]:
        report = mf.convert(part, target, concat_dim="time", resume=True, slab_files=1 if how == "in slabs" else None)
    (gap,) = [str(issue) for issue in report.issues]
    assert gap.startswith("time: coordinate has gaps: 1 times; first between 5.0 in ")
    assert gap.endswith("f3.nc")


def test_months_have_no_gaps(tmp_path):
    starts = [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335]
    paths = archive(tmp_path, *([day] for day in starts), units="days since 2000-01-01")
    assert not mf.convert(paths, tmp_path / "o.json", concat_dim="time").issues


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_overlaps(data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("random")
    count = data.draw(st.integers(1, 5))
    spans = [data.draw(st.tuples(st.integers(0, 12), st.integers(1, 5))) for _ in range(count)]
    chunk, zlib = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    paths = archive(directory, *([*range(start, start + n)] for start, n in spans), chunk=chunk, zlib=zlib)
    sort, way = data.draw(st.booleans()), data.draw(st.sampled_from(["keep-first", "replace"]))
    slab_files = data.draw(st.sampled_from([None, 1]))
    how = {"concat_dim": "time", "sort": sort, "on_duplicate": way, "slab_files": slab_files}
    report = mf.convert(paths, directory / "o.icechunk", verify="all", **how)
    assert report.verified.ok
    order = sorted(range(count), key=lambda i: spans[i][0]) if sort else range(count)
    owner = {}
    for i in order:
        for hour in range(spans[i][0], sum(spans[i])):
            if way == "replace" or hour not in owner:
                owner[hour] = i
    times, files = read(directory / "o.icechunk")
    assert dict(zip(times, files, strict=True)) == owner
