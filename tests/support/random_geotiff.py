"""Random GeoTIFFs as GDAL writes them: ``write_random_geotiff(path, seed)`` makes the same file of the same seed.

``levels_of(path)`` is the truth: what GDAL reads of each level, masked, scaled, and placed.
"""

import random
from dataclasses import dataclass

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Resampling

__all__ = ["Level", "levels_of", "write_random_geotiff"]

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
SYSTEMS = ("EPSG:4326", "EPSG:32633", "EPSG:3857", "EPSG:3035", "EPSG:27700", None)
COMPRESSIONS = ("none", "deflate", "lzw", "zstd", "lzma", "packbits")


@dataclass(frozen=True)
class Level:
    """An image of a file as GDAL reads it.

    Attributes
    ----------
    values
        Elements of all bands, ``(band, y, x)``, scaled in float64, not-a-number where `nodata` says so.
    x, y
        Centres of columns and rows, None where the file has no place or a turned one.
    crs
        The coordinate reference system, None without one.
    mask
        The internal mask ``(y, x)`` where the file has one: True where there is data.
    """

    values: NDArray[np.float64]
    x: NDArray[np.float64] | None
    y: NDArray[np.float64] | None
    crs: rasterio.crs.CRS | None
    mask: NDArray[np.bool_] | None


def write_random_geotiff(path, seed):
    """Make a file."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    dtype, bands = rng.choice(TYPES), rng.choice((1, 1, 2, 3))
    height, width = rng.randint(20, 90), rng.randint(20, 90)
    profile = {
        "driver": "GTiff", "dtype": dtype, "count": bands, "height": height, "width": width, "crs": rng.choice(SYSTEMS),
        "compress": rng.choice(COMPRESSIONS), "interleave": rng.choice(("pixel", "band")),
        "bigtiff": rng.choice(("yes", "no")), "endianness": rng.choice(("little", "big")),
    }  # fmt: skip
    if rng.random() < 0.8:
        profile["transform"] = rasterio.transform.from_origin(
            rng.choice((0, 500000.5)), 40, rng.choice((0.25, 10)), 0.5
        )
    if rng.random() < 0.6:
        profile |= {"tiled": True, "blockxsize": 16, "blockysize": rng.choice((16, 32))}
    else:
        profile["blockysize"] = rng.choice((1, 7, 16, height))
    if profile["compress"] in ("deflate", "lzw", "zstd") and dtype not in ("uint64", "int64") and rng.random() < 0.5:
        profile["predictor"] = 3 if dtype.startswith("float") else 2
    if rng.random() < 0.6:
        profile["nodata"] = _nodata(rng, dtype)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_NUM_THREADS=1),
        rasterio.open(path, "w", sparse_ok=rng.random() < 0.2, **profile) as file,
    ):
        file.write(_values(numbers, dtype, (bands, height, width)))
        if rng.random() < 0.25 and "nodata" not in profile:
            file.write_mask(numbers.random((height, width)) < 0.7)
        _describe(file, rng, bands)
    if rng.random() < 0.5:
        _add_overviews(path, rng)


def _add_overviews(path, rng):
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_TIFF_OVR_BLOCKSIZE="64"),
        rasterio.open(path, "r+") as file,
    ):
        file.build_overviews([2, 4][: rng.randint(1, 2)], rng.choice((Resampling.nearest, Resampling.average)))


def _describe(file, rng, bands):
    if rng.random() < 0.3:
        file.scales, file.offsets = (rng.choice((0.5, 0.01)),) * bands, (rng.choice((0.0, 10.0)),) * bands
    if rng.random() < 0.3:
        file.units = ("K",) * bands
    if rng.random() < 0.3:
        file.descriptions = tuple(f"band {n}" for n in range(bands))
    if rng.random() < 0.3:
        file.update_tags(AREA_OR_POINT="Point", note="größer")


def _nodata(rng, dtype):
    if dtype.startswith("float"):
        return rng.choice((float("nan"), -9999.0, 0.0))
    limits = np.iinfo(dtype)
    return rng.choice((0, 7, min(limits.max, 2**53), max(limits.min, -(2**53))))


def _values(numbers, dtype, shape):
    if dtype.startswith("float"):
        return numbers.choice([0.5, -9999.0, np.nan, 0.0, 3.25, 100.0], shape).astype(dtype)
    limits = np.iinfo(dtype)
    return numbers.choice([0, 1, 7, 100, min(limits.max, 2**53), max(limits.min, -(2**53))], shape).astype(dtype)


def levels_of(path):
    """Every level of an image, from the finest, as GDAL reads it."""
    with rasterio.open(path) as file:
        count = len(file.overviews(1))
        packing = (
            np.array(file.scales)[:, None, None],
            np.array(file.offsets)[:, None, None],
        )  # GDAL: of the image alone
    return [_level(path, {} if n < 0 else {"overview_level": n}, *packing) for n in range(-1, count)]


def _level(path, options, scales, offsets):
    with rasterio.open(path, **options) as file:
        raw = file.read()
        nodata = np.array(file.nodata if file.nodata is not None else np.nan)
        values = raw.astype("c16" if np.iscomplexobj(raw) else "f8")
        missing = np.isnan(values) if file.nodata is None or np.isnan(nodata) else raw == nodata.astype(raw.dtype)
        scaled = values * scales + offsets
        scaled[missing] = np.nan
        placed = not file.transform.is_identity and not (file.transform.b or file.transform.d)
        columns, rows = np.arange(file.width) + 0.5, np.arange(file.height) + 0.5
        return Level(
            values=scaled,
            x=file.transform.c + file.transform.a * columns if placed else None,
            y=file.transform.f + file.transform.e * rows if placed else None,
            crs=file.crs or None,
            mask=file.dataset_mask() > 0 if _has_mask(file) else None,
        )


def _has_mask(file):
    flags = (file.mask_flag_enums or [[]])[0]
    return rasterio.enums.MaskFlags.per_dataset in flags and rasterio.enums.MaskFlags.alpha not in flags
