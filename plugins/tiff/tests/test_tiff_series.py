"""Axes of tifffile's own files, by size; what ImageJ says of distances, as coordinates."""

import manifestry as mf
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from manifestry.plugin import Source
from manifestry_tiff.options import TiffOptions
from manifestry_tiff.parser import TiffParser

pytestmark = pytest.mark.filterwarnings("ignore:<tifffile.TiffWriter.write> data with shape:DeprecationWarning")
CASES = [
    ((2, 3, 8, 9), "TZYX", "tzyx"),
    ((2, 4, 8, 9), "TZYX", "tzyx"),
    ((2, 3, 4, 8, 9), "TCZYX", "tczyx"),
    ((2, 2, 8, 9, 3), "TZYXC", "tzcyx"),
    ((3, 8, 9), "ZYX", "zyx"),
    ((8, 9, 3), "YXC", "cyx"),
    ((1, 3, 8, 9), "TZYX", "tzyx"),
]


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=["plain", "zlib", "tiles"])
@pytest.mark.parametrize(("shape", "axes", "dims"), CASES)
def test_components_of_a_page_have_the_axis_of_the_series(tmp_path, shape, axes, dims, options):
    values = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, metadata={"axes": axes}, **options)
    tree = mf.parse(path)
    assert tree["0"].dims == tuple(dims)
    assert tree.issues == ()
    ordered = values.transpose([axes.lower().index(dim) for dim in dims])
    np.testing.assert_array_equal(zarr.open_group(mf.open_store(tree), mode="r")["0"][...], ordered)
    if "tile" in options:
        reader = TiffParser().open_native(Source(path), TiffOptions())
        np.testing.assert_array_equal(reader.read("0", (slice(None),) * len(dims)), ordered)
        reader.close()


def test_a_name_twice_gets_a_number(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 8, 9), "u1"), metadata={"axes": "CCYX"})
    assert mf.parse(tmp_path / "a.tif")["0"].dims == ("c", "c_1", "y", "x")


def test_an_axis_of_length_one_that_pages_do_not_have(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 8, 9, 1), "u1"), metadata={"axes": "TYXC"})
    tree = mf.parse(tmp_path / "a.tif")
    assert tree["0"].dims == ("t", "y", "x")
    assert [(i.severity, i.feature, i.message) for i in tree.issues] == [
        ("reported", "axes of length one left out", "c: pages have no such axis")
    ]


def imagej(path, **metadata):
    values = np.arange(2 * 3 * 8 * 9, dtype="u2").reshape(2, 3, 8, 9)
    tifffile.imwrite(path, values, imagej=True, resolution=(4.0, 2.0), metadata={"axes": "TZYX", **metadata})
    return path


@pytest.mark.parametrize(
    ("unit", "name"), [("um", "micrometer"), ("micron", "micrometer"), ("mm", "mm"), ("inch", "inch")]
)
def test_measures_of_imagej_are_coordinates(tmp_path, unit, name):
    path = imagej(tmp_path / "a.tif", spacing=3.5, unit=unit, finterval=0.25)
    with xr.open_dataset(mf.open_store(mf.parse(path)), engine="zarr", consolidated=False) as dataset:
        expected = {"x": (0.25, 9, name), "y": (0.5, 8, name), "z": (3.5, 3, name), "t": (0.25, 2, "second")}
        for dim, (step, size, unit_name) in expected.items():
            np.testing.assert_array_equal(dataset[dim], step * np.arange(size))
            assert dataset[dim].attrs["units"] == unit_name
    assert set(mf.parse(path, coordinates=False).arrays) == {"0"}
    assert set(mf.parse(path, include=["0", "z"]).arrays) == {"0", "z"}


def test_origins_of_imagej_are_in_pixels(tmp_path):
    tree = mf.parse(imagej(tmp_path / "a.tif", unit="um", xorigin=2.0, zorigin=1.0, spacing=2.0, fps=4.0))
    group = zarr.open_group(mf.open_store(tree), mode="r")
    assert group["x"][:2].tolist() == [-0.5, -0.25]
    assert group["z"][...].tolist() == [-2.0, 0.0, 2.0]
    assert group["t"][...].tolist() == [0.0, 0.25]


@pytest.mark.parametrize("metadata", [{}, {"unit": "pixel"}, {"unit": "pixel", "spacing": 0}])
def test_pixels_are_no_measure(tmp_path, metadata):
    assert set(mf.parse(imagej(tmp_path / "a.tif", **metadata)).arrays) == {"0"}
