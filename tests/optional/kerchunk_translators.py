"""What the kerchunk package makes of GRIB2 and netCDF classic, written to Icechunk and Kerchunk JSON through us.

An environment of its own, since eccodes and rasterio bring different builds of the same libraries (see CONTRIBUTING):
cfgrib, eccodes, scipy, kerchunk, fsspec, aiohttp, pytest, and of manifestry the core, codecs and these two writers.
"""

from __future__ import annotations

import json
import subprocess
import sys

import eccodes
import manifestry as mf
import numpy as np
import pytest
import zarr
from kerchunk.grib2 import scan_grib
from kerchunk.netCDF3 import NetCDF3ToZarr
from kerchunk.utils import refs_as_store
from manifestry_kerchunk_json import from_references
from scipy.io import netcdf_file


def message(values, level, missing=None):
    """One GRIB2 message of temperatures on a grid of 31 x 16."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    grid = {"Ni": 16, "Nj": 31, "latitudeOfFirstGridPointInDegrees": 15, "latitudeOfLastGridPointInDegrees": -15}
    grid |= {"longitudeOfFirstGridPointInDegrees": 0, "longitudeOfLastGridPointInDegrees": 15, "level": level}
    grid |= {"iDirectionIncrementInDegrees": 1, "jDirectionIncrementInDegrees": 1, "dataDate": 20200101}
    for key, value in grid.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set(handle, "shortName", "t")
    if missing is not None:
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set(handle, "missingValue", missing)
    eccodes.codes_set_values(handle, values.ravel())
    data = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return data


READ = """
import json, sys
import icechunk, numpy as np, zarr
sys.modules["manifestry"] = None
prefix, place, out = sys.argv[1:]
access = icechunk.containers_credentials({prefix: icechunk.Credentials.LocalFileSystemAccess()})
storage = icechunk.local_filesystem_storage(place)
repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
group = zarr.open_group(repository.readonly_session("main").store, mode="r")
np.savez(out, **{name: array[...] for name, array in group.arrays()})
"""


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_grib2(tmp_path):
    warm = 200 + np.arange(31 * 16).reshape(31, 16) * 0.25
    holes = np.where(np.arange(31 * 16).reshape(31, 16) % 7 == 0, 9999.0, warm + 30)
    (tmp_path / "a.grib2").write_bytes(message(warm, 850) + message(holes, 500, missing=9999))
    parts = scan_grib(str(tmp_path / "a.grib2"))
    assert len(parts) == 2
    for number, references in enumerate(parts):
        tree = from_references(references)
        right = {
            name: array[...]
            for name, array in zarr.open_group(
                refs_as_store(references, remote_protocol="file"), mode="r", zarr_format=2
            ).arrays()
        }
        assert np.isnan(right["t"]).sum() == (0, 71)[number]
        report = mf.write(tree, tmp_path / f"{number}.icechunk")
        assert report.packages == ("eccodes", "kerchunk", "manifestry-codecs")
        place, out = tmp_path / f"{number}.icechunk", tmp_path / f"{number}.npz"
        subprocess.run([sys.executable, "-c", READ, f"file://{tmp_path}/", place, out], check=True)
        with np.load(out) as found:
            assert sorted(found) == sorted(right)
            for name, values in right.items():
                assert found[name].dtype == values.dtype
                assert np.array_equal(found[name], values, equal_nan=True)
        mf.write(tree, tmp_path / f"{number}.json")
        again = json.loads((tmp_path / f"{number}.json").read_bytes())["refs"]
        assert json.loads(again["t/.zarray"]) == json.loads(references["refs"]["t/.zarray"])


def test_netcdf_classic(tmp_path):
    values = np.arange(12).reshape(4, 3) * 1.5
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 3)
        file.createVariable("a", "f8", ("time", "x"))[:] = values
        file.createVariable("time", "i4", ("time",))[:] = [1, 2, 3, 5]
    references = NetCDF3ToZarr(str(tmp_path / "a.nc"), inline_threshold=0).translate()
    mf.write(from_references(references), tmp_path / "a.icechunk")
    found = zarr.open_group(mf.open_store(mf.parse(tmp_path / "a.icechunk")), mode="r")
    assert np.array_equal(found["a"][...], values)
    assert found["time"][...].tolist() == [1, 2, 3, 5]
