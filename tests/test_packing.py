"""Packing that is not finite: from every format and in every output, listed and left out, and the store opens."""

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

OUTPUTS = {
    "a.icechunk": {},
    "a.json": {},
    "three.json": {"zarr_format": 3},
    "a.parq": {},
}


def netcdf(path, file_format):
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        file.createDimension("x", 3)
        for name, scale, offset in (
            ("nan", np.nan, None),
            ("infinite", 2.0, np.float32(np.inf)),
            ("finite", np.float32(0.5), 1.0),
        ):
            variable = file.createVariable(name, "i2", ("x",), fill_value=-1)
            variable.set_auto_maskandscale(False)
            variable[:] = [1, 2, 3]
            variable.scale_factor = scale
            if offset is not None:
                variable.add_offset = offset
    return path


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")  # fsspec asks pandas for it
@pytest.mark.parametrize("file_format", ["NETCDF4", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_netcdf(tmp_path, output, file_format):
    source = netcdf(tmp_path / "a.nc", file_format)
    report = mf.write(mf.parse(source), tmp_path / output, **OUTPUTS[output])
    listed = {issue.path for issue in report.issues if issue.feature == "packing that cannot be computed"}
    assert listed == {"nan@scale_factor", "infinite@scale_factor", "infinite@add_offset"}
    found = {}
    exec(report.reader, found)
    for name, expected in (("nan", [1, 2, 3]), ("infinite", [1, 2, 3]), ("finite", [1.5, 2.0, 2.5])):
        np.testing.assert_array_equal(found["ds"][name].values, expected)


def test_our_engine_has_the_numbers(tmp_path):
    source = netcdf(tmp_path / "a.nc", "NETCDF4")
    with xr.open_dataset(source, engine="manifestry") as found, xr.open_dataset(source, engine="netcdf4") as truth:
        xr.testing.assert_identical(found.load(), truth.load())


def test_our_engine_reads_the_texts_of_json(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name, scale in (("a", "NaN"), ("b", "Infinity"), ("c", 0.5)):
        array = group.create_array(name, shape=(3,), dtype="i2", dimension_names=["x"])
        array[:] = [1, 2, 3]
        array.attrs["scale_factor"] = scale
    with xr.open_dataset(tmp_path / "a.zarr", engine="manifestry") as found:
        np.testing.assert_array_equal(found.a, [np.nan] * 3)
        np.testing.assert_array_equal(found.b, [np.inf] * 3)
        np.testing.assert_array_equal(found.c, [0.5, 1.0, 1.5])


@pytest.mark.parametrize("bands", [1, 2])
@pytest.mark.parametrize("kind", ["scales", "offsets"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_tiff(tmp_path, kind, number, bands):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=4, height=4, count=bands, dtype="int16",
        transform=rasterio.transform.from_origin(10, 20, 2, 2),
    ) as file:  # fmt: skip
        file.write(np.ones((bands, 4, 4), "i2"))
        setattr(file, kind, (number,) * bands)
    for output in ("a.json", "a.icechunk"):
        report = mf.write(mf.parse(tmp_path / "a.tif"), tmp_path / output)
        assert any("@" in issue.path and issue.severity == "reported" for issue in report.issues)
        found = {}
        exec(report.reader, found)
        assert (found["ds"]["0"].values == 1).all()
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    with rasterio.open(tmp_path / "b.tif", "r+") as file:
        setattr(file, kind, (number, 1.0)[:bands])
    attributes = mf.parse(tmp_path / "b.tif")["0"].attributes
    assert bands == 1 or {"scales", "offsets", "scale_factor"}.isdisjoint(attributes)
