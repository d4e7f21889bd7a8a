"""The rules that every parser keeps, on netCDF classic files of the three versions."""

from __future__ import annotations

import netCDF4
import numpy as np
from manifestry.testing.conformance import ParserCase, ParserTests


class TestNetCDF3(ParserTests):
    format = "netcdf3"

    def make_cases(self, directory):
        values = {
            "scalar": np.array(-3, "i4"),
            "fixed": np.arange(6, dtype="f4").reshape(2, 3),
            "record": np.arange(12, dtype="i2").reshape(4, 3),
            "time": np.arange(4, dtype="f8"),
            "letters": np.array([[b"a", b"b", b"c"], [b"d", b"", b"f"]]),
        }
        dims = {"scalar": (), "fixed": ("y", "x"), "record": ("t", "x"), "time": ("t",), "letters": ("y", "x")}
        for kind in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"):
            path = directory / f"{kind.lower()}.nc"
            with netCDF4.Dataset(path, "w", format=kind) as nc:
                nc.title = "conformance"
                for name, length in {"t": None, "y": 2, "x": 3}.items():
                    nc.createDimension(name, length)
                for name, data in values.items():
                    variable = nc.createVariable(name, data.dtype, dims[name])
                    variable.long_name = name
                    variable[...] = data
            yield ParserCase(path, values)
            yield ParserCase(path, values, {"chunk_bytes": 8})

    def make_pointers(self, directory, url):
        return ()  # a file of netCDF classic names none
