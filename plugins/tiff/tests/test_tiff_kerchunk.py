"""What the codecs of TIFF become in Kerchunk (Zarr v2): the values are the same."""

import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
import xarray as xr
import zarr
from rasterio.transform import from_origin

pytestmark = pytest.mark.filterwarnings(
    "ignore:Object at .manifestry:UserWarning", "ignore::rasterio.errors.NotGeoreferencedWarning"
)
RNG = np.random.default_rng(11)
IMAGE = RNG.integers(0, 60_000, (3, 50, 70), dtype="u2")


def write_tifffile(path, values, planar=False, **options):
    image = values if planar else np.moveaxis(values, 0, -1)
    config = "separate" if planar else "contig"
    tifffile.imwrite(path, image, planarconfig=config, photometric="rgb", metadata=None, **options)


def write_gdal(path, values, **options):
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype, **options
    ) as file:
        file.write(values)


def write_complex(path):
    with rasterio.open(
        path, "w", driver="GTiff", width=7, height=5, count=1, dtype="complex_int16", transform=from_origin(5, 5, 1, 1)
    ) as file:
        file.write(RNG.integers(-99, 99, (1, 5, 7)).astype("c8"))


def write_pages(path):
    with tifffile.TiffWriter(path) as file:
        for band in IMAGE:
            file.write(band, contiguous=False, metadata=None, compression="zlib", predictor=2, rowsperstrip=20)


def with_holes(count):
    values = RNG.normal(size=(count, 50, 70)).astype("f4")
    values[0, 3:9] = np.nan
    return values


WRITERS = {
    "lerc with a mask": lambda p: write_gdal(p, with_holes(3), compress="lerc_zstd", interleave="pixel", blockysize=12),
    "predictor of complex numbers": lambda p: write_gdal(
        p, (with_holes(2) + 1j).astype("c8"), compress="deflate", predictor=2, interleave="pixel", blockysize=12
    ),
    "plain": lambda p: write_tifffile(p, IMAGE),
    "big-endian predictor 2": lambda p: write_tifffile(p, IMAGE, byteorder=">", compression="zlib", predictor=2),
    "planar lzw, short strip": lambda p: write_tifffile(p, IMAGE, planar=True, compression="lzw", rowsperstrip=12),
    "predictor 3": lambda p: write_tifffile(
        p, RNG.normal(size=(3, 50, 70)).astype("f4"), compression="zstd", predictor=3, tile=(32, 32)
    ),
    "packed": lambda p: write_gdal(p, IMAGE[:1] % 4096, nbits=12, compress="deflate", blockysize=12),
    "bilevel": lambda p: write_gdal(p, (IMAGE[:1] % 2).astype("u1"), nbits=1, compress="ccittfax4", blockysize=12),
    "jpeg": lambda p: write_gdal(
        p, (IMAGE % 256).astype("u1"), compress="jpeg", photometric="ycbcr", blockysize=16, interleave="pixel"
    ),
    "sparse": lambda p: write_gdal(
        p, IMAGE * 0, tiled=True, blockxsize=32, blockysize=32, sparse_ok=True, nodata=7, compress="packbits"
    ),
    "complex integers": write_complex,
    "pages": write_pages,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_values_through_kerchunk(tmp_path, kind):
    path, target = tmp_path / "a.tif", tmp_path / "a.json"
    WRITERS[kind](path)
    tree = mf.parse(path)
    expected = zarr.open_group(mf.open_store(tree), mode="r")["0"][...]
    mf.write(tree, target, format="kerchunk-json")
    with xr.open_dataset(
        str(target), engine="kerchunk", storage_options={"remote_protocol": "file"}, mask_and_scale=False
    ) as dataset:
        np.testing.assert_array_equal(dataset["0"].values, expected)


def test_gdal_reads_pixels_and_georeferencing(tmp_path):
    path, target = tmp_path / "a.tif", tmp_path / "a.json"
    write_gdal(
        path, IMAGE[:1], crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10), compress="deflate", tiled=True,
        blockxsize=32, blockysize=32,
    )  # fmt: skip
    mf.write(mf.parse(path), target, format="kerchunk-json")
    with rasterio.open(f'ZARR:"{target}":/0') as found, rasterio.open(path) as expected:
        assert (found.crs, found.transform) == (expected.crs, expected.transform)
        np.testing.assert_array_equal(found.read(), expected.read())


@pytest.mark.parametrize(
    ("kind", "packages"),
    [
        ("planar lzw, short strip", ("imagecodecs-numcodecs",)),
        ("complex integers", ("manifestry-codecs",)),
    ],
)
def test_the_report_names_the_packages_of_zarr_v2_readers(tmp_path, kind, packages):
    path = tmp_path / "a.tif"
    WRITERS[kind](path)
    assert mf.write(mf.parse(path), tmp_path / "a.json", format="kerchunk-json").packages == packages


def test_rectilinear_grids_are_refused_before_writing(tmp_path):
    path, target = tmp_path / "a.tif", tmp_path / "a.json"
    write_tifffile(path, IMAGE, compression="zlib", rowsperstrip=12)
    with pytest.raises(mf.UnsupportedFeatureError, match="rectilinear"):
        mf.write(mf.parse(path, rectilinear=True), target, format="kerchunk-json")
    assert not target.exists()
