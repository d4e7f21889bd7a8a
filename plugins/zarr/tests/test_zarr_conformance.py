"""The core's conformance kit."""

from __future__ import annotations

import numpy as np
import zarr
from manifestry.testing.conformance import ParserCase, ParserTests


class TestZarrParser(ParserTests):
    format = "zarr"

    def make_cases(self, directory):
        values = np.arange(42, dtype="i4").reshape(6, 7)
        for version in (2, 3):
            path = directory / f"v{version}.zarr"
            root = zarr.open_group(path, mode="w", zarr_format=version, attributes={"title": "x"})
            root.create_array("plain", data=values, chunks=(4, 4), compressors=None)
            root.create_array("deep/packed", data=values, chunks=(2, 7))
            root.create_array("deep/missing", shape=(6, 7), dtype="i4", chunks=(4, 4), fill_value=9)
            missing = np.full((6, 7), 9, "i4")
            yield ParserCase(path, {"plain": values, "deep/packed": values, "deep/missing": missing})
        path = directory / "sharded.zarr"
        zarr.open_group(path, mode="w").create_array("v", data=values, shards=(4, 4), chunks=(2, 2))
        yield ParserCase(path, {"v": values})

    def make_pointers(self, directory, url):
        return ()  # chunks are objects of the store itself
