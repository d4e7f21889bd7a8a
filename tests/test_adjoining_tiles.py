"""GeoTIFFs of one grid side by side are one image, and images of other places are not one array."""

import manifestry as mf
import numpy as np
import pytest
import rasterio
import xarray as xr

VALUES = np.arange(32 * 64, dtype="i2").reshape(32, 64)


def tile(path, left, values):
    with rasterio.open(
        path, "w", driver="GTiff", width=32, height=32, count=1, dtype="int16", crs="EPSG:32633",
        transform=rasterio.transform.from_origin(left, 40, 10, 10), tiled=True, blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


@pytest.mark.parametrize("target", ["o.json", "o.icechunk"])
def test_tiles_are_joined(tmp_path, target):
    tiles = [tile(tmp_path / f"{n}.tif", 320 * n, VALUES[:, 32 * n : 32 * n + 32]) for n in (0, 1)]
    report = mf.convert(tiles, tmp_path / target, concat_dim="x")
    assert "place of a group left out" in {issue.feature for issue in report.issues}
    with xr.open_dataset(tmp_path / target, engine="manifestry") as found:
        np.testing.assert_array_equal(found["0"].values, VALUES)
        np.testing.assert_array_equal(found.x, np.arange(64) * 10 + 5)
        assert found["0"].attrs["spatial:transform"] == [10.0, 0.0, 0.0, 0.0, -10.0, 40.0]
        assert found["0"].attrs["spatial:bbox"] == [0.0, -280.0, 640.0, 40.0]


def test_other_places_are_not_one_array(tmp_path):
    tiles = [tile(tmp_path / f"{n}.tif", 7 * n, VALUES[:, :32]) for n in (0, 1)]
    with pytest.raises(mf.IncompatibleArraysError):
        mf.stack([mf.parse(path) for path in tiles], "time")
    with pytest.raises(mf.IncompatibleArraysError):
        mf.convert(tiles, tmp_path / "o.json", concat_dim="x")
