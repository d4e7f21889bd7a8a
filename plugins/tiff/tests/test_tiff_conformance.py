"""The rules that every parser keeps, on TIFF files of each structure."""

from __future__ import annotations

import numpy as np
import rasterio
import tifffile
from manifestry.testing.conformance import ParserCase, ParserTests
from rasterio.enums import Resampling
from rasterio.transform import from_origin

RNG = np.random.default_rng(4)
GREY = RNG.integers(0, 999, (40, 50), dtype="u2")
BANDS = RNG.integers(0, 255, (3, 40, 50), dtype="u1")
FLOATS = RNG.random((40, 50), dtype="f4")
BITS = RNG.integers(0, 2, (9, 21)).astype(bool)


class TestTiff(ParserTests):
    format = "tiff"

    def make_cases(self, directory):
        path = directory / "strips.tif"
        tifffile.imwrite(path, GREY, byteorder=">", rowsperstrip=15, metadata=None)
        yield ParserCase(path, {"0": GREY})
        path = directory / "predictor.tif"
        tifffile.imwrite(path, FLOATS, bigtiff=True, tile=(16, 32), compression="deflate", predictor=3, metadata=None)
        yield ParserCase(path, {"0": FLOATS})
        path = directory / "bits.tif"
        tifffile.imwrite(path, BITS, metadata=None)
        yield ParserCase(path, {"0": BITS})
        path = directory / "series.ome.tif"
        tifffile.imwrite(path, np.stack([GREY, GREY + 1]), metadata={"axes": "TYX"}, ome=True, compression="lzw")
        yield ParserCase(path, {"0": np.stack([GREY, GREY + 1])})
        yield self._georeferenced(directory / "cog.tif")

    def _georeferenced(self, path):
        with rasterio.open(
            path, "w", driver="GTiff", width=50, height=40, count=3, dtype="uint8", nodata=7, crs="EPSG:32633",
            transform=from_origin(5, 5, 1, 1), compress="deflate", tiled=True, blockxsize=16, blockysize=16,
        ) as file:  # fmt: skip
            file.write(BANDS)
            file.build_overviews([2], Resampling.nearest)
        return ParserCase(path, {"0/data": BANDS})

    def make_pointers(self, directory, url):
        return ()  # files beside a TIFF are found by its name, not by what it says
