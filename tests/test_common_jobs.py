"""The table of common jobs in the docs: each command is run on files as archives write them, and gives what xarray gives.

Files have what decides how they come together: dimensions, coordinates, units, packing and chunks of the real products.
"""

import re
import shlex
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
from manifestry.cli.application import program
from rasterio.transform import from_origin

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "common-jobs.md"
JOBS = dict(re.findall(r"^\| ([^|]+) \| `manifestry ([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
BESIDE = {
    "data_vars": "minimal",
    "coords": "minimal",
    "compat": "override",
    "join": "override",
    "combine_attrs": "override",
}


def netcdf(path, dims, *variables, fmt="NETCDF4", **attributes):
    """A file of dimensions and of variables: name, data type, dimensions, stored values, attributes."""
    with netCDF4.Dataset(path, "w", format=fmt) as file:
        file.setncatts(attributes)
        for name, size in dims.items():
            file.createDimension(name, size)
        for name, dtype, along, values, own in variables:
            layout = {}
            if len(along) > 1 and fmt == "NETCDF4":
                sizes = (1 if i == 0 else len(file.dimensions[dim]) for i, dim in enumerate(along))
                layout = {"zlib": True, "shuffle": True, "chunksizes": [*sizes]}
            fill = own.pop("_FillValue", None)
            variable = file.createVariable(name, dtype, along, fill_value=fill, **layout)
            variable.set_auto_maskandscale(False)
            variable.setncatts(own)
            variable[...] = values


def grid(shape, number, dtype="f4"):
    return (np.arange(np.prod(shape)).reshape(shape) + 100 * number).astype(dtype)


LAT = ("lat", "f8", ("lat",), [10.0, 20.0], {"units": "degrees_north"})
LON = ("lon", "f8", ("lon",), [0.0, 1.0, 2.0], {"units": "degrees_east"})
HORIZONTAL = {"lat": 2, "lon": 3}


def cmip(name, year, number, member="r1i1p1f1"):
    days = 365 * (year - 2000) + np.arange(3) * 30 + 15.0
    netcdf(
        f"{name}_Amon_MODEL_historical_{member}_{year}.nc", {"time": None, **HORIZONTAL, "bnds": 2},
        ("time", "f8", ("time",), days, {"units": "days since 2000-01-01", "calendar": "noleap", "bounds": "time_bnds"}),
        ("time_bnds", "f8", ("time", "bnds"), np.add.outer(days, [-15, 15]), {}),
        ("height", "f8", (), 2.0, {"units": "m"}), LAT, LON,
        (name, "f4", ("time", "lat", "lon"), grid((3, 2, 3), number), {"_FillValue": 1e20, "coordinates": "height"}),
        tracking_id=f"{name}{year}",
    )  # fmt: skip


def cmip_years():
    for year in range(2000, 2003):
        cmip("tas", year, year)


def cmip_variables():
    for year in range(2000, 2002):
        cmip("tas", year, year)
        cmip("pr", year, year + 50)


def cmip_members():
    for member in (1, 2, 10):
        for year in (2000, 2001):
            cmip("tas", year, 10 * member + year, f"r{member}i1p1f1")


def era5():
    for month in range(3):
        netcdf(
            f"era5_2020{month + 1:02}.nc", {"valid_time": 4, "latitude": 2, "longitude": 3},
            ("valid_time", "i8", ("valid_time",), 1577836800 + 3600 * (4 * month + np.arange(4)), {"units": "seconds since 1970-01-01"}),
            ("latitude", "f8", ("latitude",), [90.0, 89.75], {"units": "degrees_north"}),
            ("longitude", "f8", ("longitude",), [0.0, 0.25, 0.5], {"units": "degrees_east"}),
            ("number", "i8", (), 0, {}),
            ("t2m", "f4", ("valid_time", "latitude", "longitude"), grid((4, 2, 3), month), {"_FillValue": np.nan, "units": "K"}),
        )  # fmt: skip


def gfs():
    for step in (0, 3, 6, 9):
        netcdf(
            f"gfs.t00z.f{step:03}.nc", {"time": None, **HORIZONTAL},
            ("time", "f8", ("time",), [0.0], {"units": f"hours since 2024-01-01 {step:02}:00:00"}),
            ("reftime", "f8", (), 0.0, {"units": "hours since 2024-01-01 00:00:00"}), LAT, LON,
            ("tmp2m", "f4", ("time", "lat", "lon"), grid((1, 2, 3), step), {"_FillValue": 9.999e20}),
        )  # fmt: skip


def goes():
    for scan in range(3):
        netcdf(
            f"OR_ABI-L2-CMIPF-M6C13_G16_s2020{scan}.nc", {"y": 2, "x": 3},
            ("t", "f8", (), 6.3e8 + 600 * scan, {"units": "seconds since 2000-01-01 12:00:00"}),
            ("y", "i2", ("y",), [0, 1], {"scale_factor": np.float32(-5.6e-05), "add_offset": np.float32(0.15)}),
            ("x", "i2", ("x",), [0, 1, 2], {"scale_factor": np.float32(5.6e-05), "add_offset": np.float32(-0.15)}),
            ("CMI", "i2", ("y", "x"), grid((2, 3), scan, "i2"),
             {"_FillValue": -1, "_Unsigned": "true", "scale_factor": np.float32(0.06), "add_offset": np.float32(89.6), "valid_range": np.array([0, 4095], "i2")}),
        )  # fmt: skip


def mur():
    for day in range(3):
        netcdf(
            f"2020010{day + 1}-JPL-MUR.nc", {"time": None, **HORIZONTAL},
            ("time", "i4", ("time",), [1230800400 + 86400 * day], {"units": "seconds since 1981-01-01 00:00:00 UTC"}), LAT, LON,
            ("analysed_sst", "i2", ("time", "lat", "lon"), grid((1, 2, 3), day, "i2"),
             {"_FillValue": -32768, "scale_factor": 0.001, "add_offset": 298.15, "valid_min": np.int16(-32767), "valid_max": np.int16(32767)}),
            time_coverage_start=f"2020010{day + 1}",
        )  # fmt: skip


def imerg():
    for half in range(3):
        netcdf(
            f"3B-HHR.{half}.nc", {"time": 1, "lon": 3, "lat": 2},
            ("time", "i4", ("time",), [1577836800 + 1800 * half], {"units": "seconds since 1970-01-01 00:00:00 UTC", "calendar": "julian"}),
            LON, LAT,
            ("precipitation", "f4", ("time", "lon", "lat"), grid((1, 3, 2), half), {"_FillValue": -9999.9}),
        )  # fmt: skip


def oisst():
    for day in range(3):
        netcdf(
            f"oisst-avhrr.2020010{day + 1}.nc", {"time": None, "zlev": 1, **HORIZONTAL},
            ("time", "f4", ("time",), [15340.0 + day], {"units": "days since 1978-01-01 12:00:00"}),
            ("zlev", "f4", ("zlev",), [0.0], {"units": "meters", "positive": "down", "actual_range": "0, 0"}), LAT, LON,
            ("sst", "i2", ("time", "zlev", "lat", "lon"), grid((1, 1, 2, 3), day, "i2"), {"_FillValue": -999, "scale_factor": np.float32(0.01), "add_offset": np.float32(0.0)}),
        )  # fmt: skip


def roms():
    for part in range(2):
        seconds = 86400.0 * (2 * part + np.arange(2))
        netcdf(
            f"roms_his_{part}.nc", {"ocean_time": None, "s_rho": 2, "eta_rho": 2, "xi_rho": 3},
            ("ocean_time", "f8", ("ocean_time",), seconds, {"units": "seconds since 2010-01-01 00:00:00", "field": "time"}),
            ("s_rho", "f8", ("s_rho",), [-0.75, -0.25], {"standard_name": "ocean_s_coordinate_g2"}),
            ("h", "f8", ("eta_rho", "xi_rho"), grid((2, 3), 1, "f8"), {"units": "meter"}),
            ("zeta", "f4", ("ocean_time", "eta_rho", "xi_rho"), grid((2, 2, 3), part), {"_FillValue": 1e37}),
            ("temp", "f4", ("ocean_time", "s_rho", "eta_rho", "xi_rho"), grid((2, 2, 2, 3), part), {"_FillValue": 1e37}),
            fmt="NETCDF3_64BIT_OFFSET",
        )  # fmt: skip


def wrf():
    for hour in range(3):
        letters = np.array([list(f"2020-01-01_{hour:02}:00:00")], "S1")
        netcdf(
            f"wrfout_d01_2020-01-01_{hour:02}", {"Time": None, "DateStrLen": 19, "south_north": 2, "west_east": 3},
            ("Times", "S1", ("Time", "DateStrLen"), letters, {}),
            ("XLAT", "f4", ("Time", "south_north", "west_east"), grid((1, 2, 3), 0), {"units": "degree_north"}),
            ("T2", "f4", ("Time", "south_north", "west_east"), grid((1, 2, 3), hour), {"units": "K"}),
        )  # fmt: skip


def argo():
    for number in range(3):
        netcdf(
            f"R590000{number}_001.nc", {"N_PROF": 1, "N_LEVELS": 4},
            ("JULD", "f8", ("N_PROF",), [20000.25 + number], {"units": "days since 1950-01-01 00:00:00 UTC", "_FillValue": 999999.0}),
            ("LATITUDE", "f8", ("N_PROF",), [10.0 + number], {"units": "degree_north", "_FillValue": 99999.0}),
            ("TEMP", "f4", ("N_PROF", "N_LEVELS"), grid((1, 4), number), {"_FillValue": 99999.0, "valid_min": np.float32(-2.5)}),
        )  # fmt: skip


def scenes():
    for day in (1, 2, 3):
        place = {
            "crs": "EPSG:32633",
            "transform": from_origin(0, 0, 10, 10),
            "tiled": True,
            "blockxsize": 16,
            "blockysize": 16,
        }
        with rasterio.open(
            f"T33_2020010{day}T100000_B04.tif",
            "w",
            driver="GTiff",
            width=32,
            height=16,
            count=1,
            dtype="uint16",
            compress="deflate",
            **place,
        ) as file:
            file.write(grid((1, 16, 32), day, "u2"))


def along(dim, pattern):
    def expected():
        return xr.open_mfdataset(sorted(map(str, Path().glob(pattern))), combine="nested", concat_dim=dim, **BESIDE)

    return expected


def by_members():
    paths = {m: [f"tas_Amon_MODEL_historical_r{m}i1p1f1_{year}.nc" for year in (2000, 2001)] for m in (1, 2, 10)}
    whole = [xr.open_mfdataset(some, combine="nested", concat_dim="time", **BESIDE) for some in paths.values()]
    found = xr.concat(whole, "member", **(BESIDE | {"data_vars": ["tas"]}))
    return found.assign_coords(member=[*paths])


def by_scans():
    def prepare(dataset):
        return dataset.set_coords("t").expand_dims("t")

    return xr.open_mfdataset("OR_*.nc", combine="nested", concat_dim="t", preprocess=prepare, **BESIDE)


def by_scenes():
    values = np.stack([rasterio.open(path).read(1) for path in sorted(map(str, Path().glob("T33_*.tif")))])
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]")
    return xr.Dataset({"image": (("time", "y", "x"), values)}, {"time": days})


MADE = {
    "CMIP, one variable, years": (cmip_years, along("time", "tas_*.nc")),
    "CMIP, several variables": (cmip_variables, lambda: xr.merge([along("time", f"{n}_*.nc")() for n in ("tas", "pr")], compat="override", join="override")),
    "CMIP, members and years": (cmip_members, by_members),
    "ERA5, months": (era5, along("valid_time", "era5_*.nc")),
    "GFS, forecast hours": (gfs, along("time", "gfs*.nc")),
    "GOES ABI, scans": (goes, by_scans),
    "MUR SST, days": (mur, along("time", "2020*.nc")),
    "IMERG, half hours": (imerg, along("time", "3B*.nc")),
    "OISST, days": (oisst, along("time", "oisst*.nc")),
    "ROMS, history files": (roms, along("ocean_time", "roms*.nc")),
    "WRF, output files": (wrf, along("Time", "wrfout*")),
    "Argo, profiles": (argo, along("N_PROF", "R*.nc")),
    "Sentinel-2 or Landsat, scenes": (scenes, by_scenes),
}  # fmt: skip


def test_every_job_of_the_page_is_made():
    assert JOBS.keys() == MADE.keys()


@pytest.mark.filterwarnings("ignore::xarray.SerializationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("job", MADE)
def test_job(job, tmp_path, monkeypatch):
    make, expect = MADE[job]
    monkeypatch.chdir(tmp_path)
    make()
    program.main([*shlex.split(JOBS[job]), "-q", "-j", "1"], standalone_mode=False)
    with xr.open_dataset("cube.icechunk", engine="manifestry") as found:
        expected = expect().load()
        assert expected.data_vars
        for name, variable in expected.variables.items():
            same = next(iter(found.data_vars)) if name == "image" else name
            values = found.variables[same].transpose(*variable.dims).load()
            if values.dtype == variable.dtype:
                xr.testing.assert_equal(values, variable)
            else:  # a scale_factor of single precision is one of double precision in JSON
                assert {values.dtype, variable.dtype} == {np.dtype("f8"), np.dtype("f4")}, (
                    values.dtype,
                    variable.dtype,
                )
                xr.testing.assert_allclose(values, variable, rtol=1e-6)
