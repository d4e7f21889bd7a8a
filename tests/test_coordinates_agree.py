"""What is a coordinate is the same in virtual datasets, in the engine, and in opened stores and outputs."""

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def tiff(path, *, crs="EPSG:32633", masked=False, count=1, overviews=()):
    profile = {"driver": "GTiff", "width": 64, "height": 48, "count": count, "dtype": "uint8"}
    place = {"crs": crs, "transform": from_origin(0, 0, 10, 10)} if crs else {}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile, **place) as file:
        file.write(np.ones((count, 48, 64), "u1"))
        if masked:
            file.write_mask(np.full((48, 64), 255, "u1"))
    if overviews:
        with rasterio.open(path, "r+") as file:
            file.build_overviews(overviews)
    return path


LINKS = {
    "coordinates": "lat lon",
    "missing coordinates": "lat nowhere",
    "grid_mapping": "crs",
    "bounds": "bounds",
    "ancillary_variables": "quality",
    "cell_measures": "area: area",
}


def variables(links):
    """Variables as ``(dimensions, values, attributes)``."""
    attributes = {name.removeprefix("missing "): LINKS[name] for name in links}
    return {
        "t": (("y", "x"), np.ones((2, 3), "f4"), attributes),
        "x": (("x",), np.arange(3.0), {"bounds": "x_bounds"}),
        "x_bounds": (("x", "two"), np.ones((3, 2)), {}),
        **{name: (("y", "x"), np.ones((2, 3), "f4"), {}) for name in ("lat", "lon", "quality", "area", "bounds")},
        "crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
    }


def netcdf(path, fmt, links, listed):
    with netCDF4.Dataset(path, "w", format=fmt) as file:
        for dim, size in (("y", 2), ("x", 3), ("two", 2)):
            file.createDimension(dim, size)
        for name, (dims, values, attributes) in variables(links).items():
            variable = file.createVariable(name, np.asarray(values).dtype, dims)
            variable[...] = values
            variable.setncatts(attributes)
        file.setncatts(listed)
    return path


def check(path, tmp_path):
    tree = mf.parse(path)
    expected = set(mf.to_xarray(tree).coords)
    with xr.open_dataset(path, engine="manifestry") as opened:
        assert set(opened.coords) == expected
    group = "0" if "0" in tree.groups else ""
    with xr.open_zarr(mf.open_store(tree), group=group, consolidated=False) as opened:
        assert set(opened.coords) == expected
    out = tmp_path / "out.json"
    mf.write(mf.to_xarray(tree).manifestry.to_tree(), out, format="kerchunk-json", overwrite=True)
    written = mf.parse(out, allow=[f"{tmp_path}/"])
    with xr.open_zarr(mf.open_store(written), consolidated=False) as opened:
        assert set(opened.coords) == expected
    return expected


@pytest.mark.parametrize("fmt", ["NETCDF4", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("listed", [{}, {"coordinates": "area"}])
def test_netcdf(tmp_path, fmt, listed):
    for i, links in enumerate([(), *((link,) for link in LINKS), tuple(link for link in LINKS if " " not in link)]):
        found = check(netcdf(tmp_path / f"{i}.nc", fmt, links, listed), tmp_path)
        assert "x" in found
        assert ("lon" in found) == ("coordinates" in links)
        assert not found & {"crs", "quality", "x_bounds"}


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("overviews", [(), (2,)])
def test_tiff(tmp_path, crs, masked, overviews):
    found = check(tiff(tmp_path / "a.tif", crs=crs, masked=masked, overviews=overviews), tmp_path)
    assert found == ({"x", "y", "spatial_ref"} if crs else set())
