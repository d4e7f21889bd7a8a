"""Random archives come together as `xr.open_mfdataset` opens them: at once, in slabs, and appended file by file.

Many of them: ``uv run python -m tests.test_random_archives 0 1000``.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

NESTED = {
    "combine": "nested",
    "concat_dim": "time",
    "data_vars": "minimal",
    "coords": "minimal",
    "compat": "override",
    "join": "override",
    "combine_attrs": "override",
}
FORMATS = ("NETCDF4", "NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET")


def archive(directory, rng):
    """Some files that follow each other, and the options with which they come together."""
    plan = {
        "format": FORMATS[rng.integers(len(FORMATS))],
        "epochs": rng.integers(3),
        "type": ["i4", "f8", "f4"][rng.integers(3)],
        "bounds": rng.random() < 0.3,
        "ranges": rng.random() < 0.4,
        "unlimited": rng.random() < 0.6,
        "variables": [variable(rng) for _ in range(rng.integers(1, 4))],
        "lacking": rng.random() < 0.3,
        "static": rng.random() < 0.5,
    }
    paths, day = [], 0
    for position in range(rng.integers(1, 5)):
        steps = int(rng.integers(1, 4))
        paths.append(directory / f"f{position}.nc")
        write(paths[-1], plan, day, steps, position, rng)
        day += steps + int(rng.random() < 0.2)
    return paths, {"combine": {"missing": "fill"}} if plan["lacking"] else {}


def variable(rng):
    dims = [("time",), ("time", "x"), ("time", "y", "x"), ("x", "time")][rng.integers(4)]
    kind = ["f4", "f8", "packed", "marked", "nan"][rng.integers(5)]
    return {
        "dims": dims,
        "kind": kind,
        "zlib": bool(rng.random() < 0.6),
        "shuffle": bool(rng.random() < 0.5),
        "chunk": int(rng.integers(1, 4)),
    }


def write(path, plan, day, steps, position, rng):
    with netCDF4.Dataset(path, "w", format=plan["format"]) as file:
        file.set_auto_maskandscale(False)
        for name, size in {"time": None if plan["unlimited"] else steps, "y": 2, "x": 3, "two": 2}.items():
            file.createDimension(name, size)
        numbers, units = times(plan["epochs"], day, steps)
        time = file.createVariable("time", plan["type"], ("time",))
        time.setncatts({"units": units, **({"bounds": "time_bnds"} if plan["bounds"] else {})})
        time[:] = numbers
        if plan["bounds"]:
            file.createVariable("time_bnds", plan["type"], ("time", "two"))[:] = np.add.outer(numbers, [0, 1])
        x = file.createVariable("x", "f4", ("x",))
        x[:] = [1, 2, 3]
        if plan["static"]:  # another tool may have written it
            double = position % 2 == 1
            height = file.createVariable("height", "f8" if double else "f4", ("y", "x"))
            height[:] = np.arange(6).reshape(2, 3) / 4
            height.units = "meters" if double else "m"
        for number, one in enumerate(plan["variables"]):
            if not (plan["lacking"] and number and rng.random() < 0.4):
                write_variable(file, f"v{number}", one, steps, plan, rng)


def times(epochs, day, steps):
    """Times in one unit, each file from its own day, or in hours and days by turns."""
    days = np.arange(day, day + steps)
    if epochs == 0:
        return days, "days since 2000-01-01"
    if epochs == 1:
        return days - day, f"days since {np.datetime64('2000-01-01') + np.timedelta64(day, 'D')}"
    return (days * 24, "hours since 2000-01-01") if day % 2 else (days, "days since 2000-01-01 00:00:00")


def write_variable(file, name, one, steps, plan, rng):
    dims = (
        one["dims"]
        if plan["format"] == "NETCDF4" or not plan["unlimited"]
        else sorted(one["dims"], key=("time", "y", "x").index)
    )
    shape = [{"time": steps, "y": 2, "x": 3}[dim] for dim in dims]
    dtype = {"packed": "i2", "marked": "i2", "nan": "f4"}.get(one["kind"], one["kind"])
    fill = {"packed": -999, "marked": -1, "nan": np.nan}.get(one["kind"])
    layout = {}
    if plan["format"].startswith("NETCDF4"):
        sizes = {"time": min(one["chunk"], steps) if not plan["unlimited"] else one["chunk"], "y": 1, "x": 3}
        layout = {
            "zlib": one["zlib"], "shuffle": one["shuffle"], "complevel": int(rng.integers(1, 9)),
            "chunksizes": [sizes[dim] for dim in dims],
        }  # fmt: skip
    created = file.createVariable(name, dtype, dims, fill_value=fill, **layout)
    created.set_auto_maskandscale(False)
    if one["kind"] == "packed":
        created.setncatts({"scale_factor": 0.5, "add_offset": 10.0})
    values = rng.integers(0, 100, shape).astype(dtype)
    if fill is not None:
        values[rng.random(shape) < 0.2] = fill
    if plan["ranges"]:
        created.valid_range = np.array([0, rng.integers(100, 200)], dtype)
    created[...] = values


def check(directory, seed):
    """One archive, put together in every way; how many ways were refused, as they may be."""
    refused = 0
    rng = np.random.default_rng(seed)
    paths, options = archive(directory, rng)
    shuffled = [paths[i] for i in rng.permutation(len(paths))]
    common = {"concat_dim": "time", **options}
    ways = {
        "once.json": lambda target: mf.convert(paths, target, **common),
        "once.parq": lambda target: mf.convert(paths, target, to="kerchunk-parquet", **common),
        "sorted.icechunk": lambda target: mf.convert(shuffled, target, sort=True, **common),
        "slabs.icechunk": lambda target: mf.convert(paths, target, slab_files=int(rng.integers(1, 3)), **common),
        "appended.icechunk": lambda target: [mf.convert(path, target, resume=True, **common) for path in paths],
    }
    with xr.open_mfdataset(paths, **NESTED) as lazy:
        expected = lazy.load()
    for name, way in ways.items():
        try:
            way(directory / name)
        except mf.IncompatibleArraysError as error:
            if not may_refuse(str(error)):
                raise
            refused += 1
            continue
        with xr.open_dataset(directory / name, engine="manifestry") as found:
            xr.testing.assert_equal(found.load(), expected)
            for variable in expected.variables:
                assert found[variable].attrs.get("units") == expected[variable].attrs.get("units"), variable
    return refused


def may_refuse(message):
    """What is refused on purpose: whole numbers have no value that means missing, or chunks already read as another one."""
    return "means missing" in message or "missing chunks" in message


@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")
@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_random_archives(seed):
    with tempfile.TemporaryDirectory() as directory:
        check(Path(directory), seed)


if __name__ == "__main__":
    warnings.simplefilter("ignore", xr.SerializationWarning)
    first, last = map(int, sys.argv[1:])
    wrong, refusals = [], 0
    for number in range(first, last):
        with tempfile.TemporaryDirectory() as place:
            try:
                refusals += check(Path(place), number)
            except Exception as problem:  # all are counted
                wrong.append(number)
                sys.stdout.write(f"{number} {type(problem).__name__} {str(problem)[:1500]}\n")
    said = f"{last - first} archives, {len(wrong)} differ: {wrong[:20]}; {refusals} refusals of {5 * (last - first)}"
    sys.stdout.write(f"{said}\n")
    sys.exit(bool(wrong))
