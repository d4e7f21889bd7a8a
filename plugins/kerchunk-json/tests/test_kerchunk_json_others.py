"""References that other software makes: tifffile's documents, and the kerchunk package's combinations in memory."""

from __future__ import annotations

import manifestry as mf
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from manifestry_kerchunk_json import from_references

PLANE = (np.arange(64 * 48) * 7 % 251).astype("u1").reshape(64, 48)
TILED = {"tile": (16, 16)}
IMAGES = {
    "strips": (PLANE, {}),
    "deflate": (PLANE, {"compression": "zlib", **TILED}),
    "lzw, predictor 2": (PLANE.astype("u2"), {"compression": "lzw", "predictor": 2, **TILED}),
    "rgb": (np.stack([PLANE] * 3, -1), {"compression": "zlib", "predictor": 2, "photometric": "rgb", **TILED}),
    "predictor 3": (PLANE.astype("f4"), {"compression": "zlib", "predictor": 3, **TILED}),
    "packbits": (PLANE, {"compression": "packbits", "rowsperstrip": 16}),
    "big-endian": (PLANE.astype("u2"), {"byteorder": ">", "compression": "zlib", **TILED}),
    "jpeg": (np.stack([PLANE] * 3, -1), {"compression": "jpeg", "photometric": "rgb", **TILED}),
}


@pytest.mark.parametrize("name", IMAGES)
def test_documents_of_tifffile(tmp_path, name):
    values, options = IMAGES[name]
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with tifffile.imread(tmp_path / "a.tif", aszarr=True) as store:
        store.write_fsspec(str(tmp_path / "a.json"), f"file://{tmp_path}", groupname="image")
    tree = mf.parse(tmp_path / "a.json")
    found = zarr.open_group(mf.open_store(tree), mode="r")["image"][...]
    assert np.array_equal(found, tifffile.imread(tmp_path / "a.tif"))
    mf.write(tree, tmp_path / "again.json")
    again = mf.parse(tmp_path / "again.json")
    assert again["image"].metadata == tree["image"].metadata
    assert again["image"].manifest == tree["image"].manifest


@pytest.mark.parametrize("threshold", [0, 100])
def test_combinations_of_the_kerchunk_package(tmp_path, threshold):
    from kerchunk.combine import MultiZarrToZarr
    from kerchunk.hdf import SingleHdf5ToZarr

    parts = []
    for i in range(3):
        values = np.arange(6.0).reshape(2, 3) + 10 * i
        part = xr.Dataset({"a": (("time", "x"), values)}, coords={"time": [2 * i, 2 * i + 1], "x": [1, 2, 3]})
        part.to_netcdf(tmp_path / f"{i}.nc", engine="h5netcdf")
        parts.append(SingleHdf5ToZarr(str(tmp_path / f"{i}.nc"), inline_threshold=threshold).translate())
    both = MultiZarrToZarr(parts, concat_dims=["time"], remote_protocol="file", inline_threshold=threshold)
    tree = from_references(both.translate())
    assert (tree["a"].dims, tree["a"].manifest.grid_shape) == (("time", "x"), (3, 1))
    assert len(tree.files) == (0 if threshold else 3)
    root = zarr.open_group(mf.open_store(tree), mode="r")
    assert root["a"][...].tolist() == [[10.0 * i + 3 * j + k for k in range(3)] for i in range(3) for j in range(2)]
    assert root["time"][...].tolist() == list(range(6))
