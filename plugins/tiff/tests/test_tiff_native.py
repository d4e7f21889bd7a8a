"""tifffile as the oracle: the same values as through zarr, region by region."""

import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from manifestry.plugin import Source
from manifestry_tiff.options import TiffOptions
from manifestry_tiff.parser import TiffParser
from rasterio.enums import Resampling
from rasterio.transform import from_origin

RNG = np.random.default_rng(9)


def gdal(path, **options):
    with rasterio.open(
        path, "w", driver="GTiff", width=150, height=130, count=3, dtype="int16", nodata=-1, sparse_ok=True,
        crs="EPSG:32633", transform=from_origin(5, 5, 1, 1), compress="deflate", **options,
    ) as file:  # fmt: skip
        file.write(RNG.integers(0, 999, (3, 64, 64), dtype="i2"), window=((0, 64), (64, 128)))
        file.build_overviews([2], Resampling.nearest)


def pages(path):
    with tifffile.TiffWriter(path) as file:
        for _ in range(4):
            page = RNG.integers(0, 255, (40, 50), dtype="u1")
            file.write(page, contiguous=False, metadata=None, compression="lzw", rowsperstrip=15)


def ome(path):
    tifffile.imwrite(
        path,
        RNG.integers(0, 255, (2, 3, 32, 32, 3), dtype="u1"),
        metadata={"axes": "TZYXS"},
        photometric="rgb",
        ome=True,
    )


WRITERS = {
    "tiles in planes": lambda p: gdal(p, tiled=True, blockxsize=64, blockysize=64, interleave="band"),
    "chunky tiles": lambda p: gdal(p, tiled=True, blockxsize=64, blockysize=64, interleave="pixel"),
    "strips": lambda p: gdal(p, blockysize=24),
    "pages": pages,
    "ome": ome,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_regions_are_those_that_zarr_reads(tmp_path, kind):
    path = tmp_path / "a.tif"
    WRITERS[kind](path)
    tree = mf.parse(path)
    root = zarr.open_group(mf.open_store(tree), mode="r")
    reader = TiffParser().open_native(Source(path), TiffOptions())
    for name, array in tree.walk_arrays():
        regions = [tuple(slice(0, n) for n in array.shape), tuple(slice(n // 3, n // 2 + 1) for n in array.shape)]
        for region in regions:
            found = reader.read(name, region)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, root[name][region])
    reader.close()


def test_a_file_that_was_cut_off_is_named(make_tiff):
    good = make_tiff([make_tiff.gray(1000, 1000, [], [], (273, 4, 50_000), (279, 4, 1_000_000))], bytes(1_050_000))
    reader = TiffParser().open_native(Source(good), TiffOptions())
    with good.open("r+b") as file:
        file.truncate(500_000)
    with pytest.raises(mf.MalformedFileError, match=r"ends after \d+ of 1000000 bytes"):
        reader.read("0", (slice(0, 8), slice(0, 8)))
    reader.close()
