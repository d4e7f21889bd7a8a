"""Random files, as xarray decodes them: the same from every output, read without our packages, as from the file itself.

netCDF files are compared with xarray's own reading of them, GeoTIFFs level by level with GDAL's. What differs has to be
said by an issue of the parse or the report that names the variable. Many more files:
``uv run python -m tests.test_random_views netcdf 0 2000``, or ``geotiff``.
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

import manifestry as mf
import numpy as np
import pyproj
import pytest
import rasterio
import xarray as xr

from tests.support.printed_lines import view_of, view_printed
from tests.support.random_geotiff import levels_of, write_random_geotiff
from tests.support.random_netcdf import write_random_netcdf

OUTPUTS = {"icechunk": {}, "json": {"zarr_format": 2}, "v3.json": {"zarr_format": 3}, "parq": {}}
ORDINARY = 8


class Netcdf:
    """netCDF files, as xarray decodes them itself."""

    suffix = ".nc"
    write = staticmethod(write_random_netcdf)

    @staticmethod
    def truth(source):
        with xr.open_datatree(source, engine="netcdf4") as opened:
            return view_of(opened)

    @staticmethod
    def differences(truth, view):
        return _tree_differences(truth, view)


class Geotiff:
    """GeoTIFFs, as GDAL reads their levels."""

    suffix = ".tif"
    write = staticmethod(write_random_geotiff)
    truth = staticmethod(levels_of)

    @staticmethod
    def differences(truth, view):
        groups = [f"/{n}" for n in range(len(truth))] if len(truth) > 1 else ["/"]
        if {path for path in view if view[path][1]} != set(groups):
            return [("", f"groups {sorted(view)} instead of {groups}")]
        found = []
        for level, group in zip(truth, groups, strict=True):
            name = "data" if len(truth) > 1 else "0"
            found += [(f"{group}/{name}".strip("/"), what) for what in _level_differences(level, view[group][1], name)]
        return found


KINDS = {"netcdf": Netcdf, "geotiff": Geotiff}


def written(kind, seeds, folder):
    """Sources of seeds and their outputs: the view of each source, the issues and the printed lines of each output."""
    truth, issues, lines = {}, {}, {}
    for seed in seeds:
        source = folder / f"{seed}{kind.suffix}"
        kind.write(source, seed)
        truth[seed] = kind.truth(source)
        tree = mf.parse(source)
        for output, options in OUTPUTS.items():
            report = mf.write(tree, folder / f"{seed}.{output}", **options)
            issues[f"{seed} {output}"] = [*tree.issues, *report.issues]
            lines[f"{seed} {output}"] = report.reader
    return truth, issues, lines


def differences(kind, seeds, folder):
    """What an output shows that its source does not, one line each, unless an issue names the variable."""
    truth, issues, lines = written(kind, seeds, folder)
    found = []
    for job, view in view_printed(lines, folder).items():
        said = {issue.path.partition("@")[0] for issue in issues[job]}
        differing = [("", view)] if isinstance(view, str) else kind.differences(truth[int(job.split()[0])], view)
        for path, what in differing:
            if path not in said:
                found.append(f"{job}: {path}: {what}")
    return found


def _level_differences(level, variables, name):
    dims, values, _, _ = variables[name]
    bands = len(level.values)
    if dims != (("band", "y", "x") if bands > 1 else ("y", "x")):
        yield f"dimensions {dims} of {bands} bands"
    elif not np.allclose(values.reshape(level.values.shape), level.values, rtol=1e-6, atol=0, equal_nan=True):
        yield f"{values.ravel()[:8].tolist()} instead of {level.values.ravel()[:8].tolist()}"
    for axis, centres in (("x", level.x), ("y", level.y)):
        if (centres is None) != (axis not in variables):
            yield f"variables {sorted(variables)}"
        elif centres is not None and not np.allclose(variables[axis][1], centres, rtol=1e-12, atol=1e-9):
            yield f"{axis} {variables[axis][1][:3]} instead of {centres[:3]}"
    if level.crs is not None:
        seen = rasterio.crs.CRS.from_wkt(variables["spatial_ref"][2]["crs_wkt"])
        if seen != level.crs and not _same_positions(seen, level.crs):
            yield f"system {seen} instead of {level.crs}"
    if (level.mask is not None) != ("mask" in variables):
        yield f"variables {sorted(variables)}"
    elif level.mask is not None and not np.array_equal(variables["mask"][1].astype(bool), level.mask):
        yield "another mask"


def _same_positions(seen, crs):
    """Whether two systems mean the same by other words: they have one base, and put points of their area in one place."""
    mine, theirs = pyproj.CRS(seen.to_wkt()), pyproj.CRS(crs.to_wkt())
    if (
        mine.is_geographic != theirs.is_geographic
        or mine.ellipsoid.semi_major_metre != theirs.ellipsoid.semi_major_metre
    ):
        return False
    if mine.is_geographic:
        return np.isclose(mine.ellipsoid.inverse_flattening, theirs.ellipsoid.inverse_flattening, rtol=1e-10)
    west, south, east, north = theirs.area_of_use.bounds if theirs.area_of_use else (20, 40, 22, 42)
    at = np.linspace(west, east, 3), np.linspace(south, north, 3)
    both = [pyproj.Transformer.from_crs(c.geodetic_crs, c, always_xy=True).transform(*at) for c in (mine, theirs)]
    return np.allclose(*both, rtol=1e-9, atol=1e-5)


def _tree_differences(truth, view):
    found = []
    if truth.keys() != view.keys():
        found.append(("", f"groups {sorted(view)} instead of {sorted(truth)}"))
    for group in truth.keys() & view.keys():
        (attributes, variables), (seen_attributes, seen) = truth[group], view[group]
        prefix = group.strip("/") and group.strip("/") + "/"
        if _plain(attributes) != _plain(seen_attributes):
            found.append((prefix.rstrip("/"), f"attributes {seen_attributes} instead of {attributes}"))
        if variables.keys() != seen.keys():
            found.append((prefix.rstrip("/"), f"variables {sorted(seen)} instead of {sorted(variables)}"))
        for name in variables.keys() & seen.keys():
            found += [(prefix + name, what) for what in _of_variables(variables[name], seen[name])]
    return found


def _of_variables(truth, seen):
    for what, expected, got in zip(("dimensions", "", "", "coordinate"), truth, seen, strict=True):
        if what and expected != got:
            yield f"{what} {got} instead of {expected}"
    values, got = truth[1], seen[1]
    if _plain(truth[2]) != _plain(seen[2]):
        yield f"attributes {seen[2]} instead of {truth[2]}"
    if _type(values) != _type(got):
        yield f"type {got.dtype} instead of {values.dtype}"
    if values.shape != got.shape or not _equal(values, got):
        yield f"{got.ravel()[:8].tolist()} of {got.shape} instead of {values.ravel()[:8].tolist()} of {values.shape}"


def _type(values):
    """The type whatever the byte order; texts have several in NumPy."""
    return "text" if values.dtype.kind in "OUT" else values.dtype.newbyteorder("=")


def _equal(values, got):
    if values.dtype.kind in "biufcmM" and got.dtype.kind in "biufcmM":
        return np.array_equal(values, got, equal_nan=True)
    return str(values.tolist()) == str(got.tolist())


def _plain(attributes):
    """Attributes as JSON has them, not-a-number equal to itself."""
    return {name: str(np.asarray(value).tolist()) for name, value in attributes.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_random_files_are_decoded_as_by_their_own_libraries(kind, tmp_path):
    assert differences(KINDS[kind], range(ORDINARY), tmp_path) == []


def many(kind, first, stop):
    """What differs in the files of many seeds, fifty at a time."""
    for start in range(first, stop, 50):
        with tempfile.TemporaryDirectory() as folder:
            yield from differences(KINDS[kind], range(start, min(start + 50, stop)), Path(folder))


@pytest.mark.skipif("MANIFESTRY_LONG_TESTS" not in os.environ, reason="long: set MANIFESTRY_LONG_TESTS to run it")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_random_files(kind):
    assert list(many(kind, 0, 1000)) == []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("first", type=int)
    parser.add_argument("stop", type=int)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    total = 0
    for line in many(given.kind, given.first, given.stop):
        total += 1
        sys.stdout.write(line + "\n")
    sys.exit(bool(total))
