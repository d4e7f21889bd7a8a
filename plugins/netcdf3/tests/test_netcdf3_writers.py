"""netCDF classic files through every writer, read in a process that has none of our packages."""

from __future__ import annotations

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from decoded_groups import decoded_groups

SUFFIX = {"icechunk": ".icechunk", "kerchunk-json": ".json", "kerchunk-parquet": ".parq"}


def make_file(path, kind):
    with netCDF4.Dataset(path, "w", format=kind) as nc:
        nc.title = "three kinds of variables"
        nc.createDimension("time", None)
        nc.createDimension("y", 60)
        nc.createDimension("x", 50)
        nc.createDimension("letters", 4)
        time = nc.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[0:5] = np.arange(5)
        t2m = nc.createVariable("t2m", "i2", ("time", "y", "x"), fill_value=-32768)
        t2m.setncatts(
            {"scale_factor": np.float32(0.01), "add_offset": np.float64(273.15), "flags": np.array([1, 2], "i1")}
        )
        t2m.set_auto_maskandscale(False)
        t2m[0:5] = np.arange(15000).reshape(5, 60, 50) % 30000
        t2m[1, 2, 3] = -32768
        nc.createVariable("height", "f4", ("y", "x"))[...] = np.arange(3000).reshape(60, 50)
        nc.createVariable("crs", "i4", ()).setncatts({"epsg": np.int32(4326)})
        nc["crs"][...] = 42
        nc.createVariable("names", "S1", ("y", "letters"))[...] = np.full((60, 4), b"n")
    return path


@pytest.mark.parametrize("fmt", SUFFIX)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("NETCDF3_CLASSIC", {}), ("NETCDF3_64BIT_DATA", {"chunk_bytes": 1000, "inline_below": 100})],
)
def test_outputs_read_back_exactly(fmt, kind, options, tmp_path):
    classic_file = make_file(tmp_path / "classic.nc", kind)
    target = tmp_path / f"out{SUFFIX[fmt]}"
    report = mf.write(mf.parse(classic_file, **options), target, format=fmt)
    assert report.arrays == 5
    attributes, variables = decoded_groups(fmt, target, "/")["/"]
    with xr.open_dataset(classic_file, engine="netcdf4") as truth:
        assert attributes == truth.attrs
        assert set(variables) == set(map(str, truth.variables))
        for name, (dims, values, attrs) in variables.items():
            assert tuple(dims) == truth[name].dims, name
            assert values.dtype.newbyteorder("=") == truth[name].dtype.newbyteorder("="), name
            np.testing.assert_array_equal(values, truth[name].values, err_msg=name)
            plain = {
                k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in truth[name].attrs.items()
            }
            assert attrs == plain, name
