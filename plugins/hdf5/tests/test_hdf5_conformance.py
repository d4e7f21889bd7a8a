"""The rules that every parser keeps, on HDF5 files of the oldest and of the latest structures."""

from __future__ import annotations

import h5py
import netCDF4
import numpy as np
from manifestry.testing.conformance import ParserCase, ParserTests, Pointer

RECORD = np.dtype([("a", "<i4"), ("b", "<f8", (2,))])
VALUES = {
    "contiguous": np.arange(12, dtype="f4").reshape(3, 4),
    "scalar": np.array(-7, "i2"),
    "packed": np.arange(70, dtype="i4").reshape(10, 7),
    "group/deep/big": np.arange(5, dtype=">i8"),
    "records": np.array([(1, (2, 3)), (4, (5, 6))], RECORD),
    "padded": np.array([b"ab", b"c"]),
    "flags": np.array([True, False]),
    "growing": np.arange(24, dtype="u1").reshape(6, 4),
    "sparse": np.full((4, 4), 9, "f8"),
}
CREATED = {
    "packed": {"chunks": (4, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "growing": {"chunks": (1, 2), "maxshape": (None, None)},
    "records": {"chunks": (1,), "compression": "lzf"},
}


class TestHdf5(ParserTests):
    format = "hdf5"

    def make_cases(self, directory):
        for version in ("earliest", "latest"):
            path = directory / f"{version}.h5"
            with h5py.File(path, "w", libver=version) as file:
                for name, data in VALUES.items():
                    if name != "sparse":
                        file.create_dataset(name, data=data, **CREATED.get(name, {}))
                file.create_dataset("sparse", (4, 4), "f8", chunks=(2, 2), fillvalue=9)
                file["packed"].attrs.update(units="K", limits=np.array([0.5, np.nan]), count=np.uint64(2**63))
                file["packed"].dims[0].label = "x"
                file.create_dataset("texts", data=["one", "zwölf"], dtype=h5py.string_dtype())
                file.create_dataset("arrays", (5,), np.dtype(("<i2", (6,))))[...] = np.arange(30).reshape(5, 6)
                file["nothing"] = h5py.Empty("f4")
                file.attrs["title"] = "conformance"
            native = {"arrays": np.arange(30, dtype="i2").reshape(5, 6)} | {
                name: data.astype(data.dtype.newbyteorder("=")) for name, data in VALUES.items()
            }
            yield ParserCase(path, native)
        path = directory / "netcdf.nc"
        with netCDF4.Dataset(path, "w") as nc:
            nc.createDimension("t", None)
            nc.createDimension("x", 3)
            time = nc.createVariable("t", "f8", ("t",))
            time.units = "days since 2000-01-01"
            time[:] = np.arange(4)
            nc.createVariable("v", "i2", ("t", "x"), zlib=True, fill_value=-1)[:] = np.arange(12).reshape(4, 3)
        yield ParserCase(path, {"t": np.arange(4.0), "v": np.arange(12, dtype="i2").reshape(4, 3)})
        yield ParserCase(path, options={"inline_below": 1000})

    def make_pointers(self, directory, url):
        with h5py.File(directory / "target.h5", "w") as file:
            file["x"] = np.arange(8)
        target = (directory / "target.h5").read_bytes()
        (directory / "target.h5").unlink()
        with h5py.File(directory / "link.h5", "w") as file:
            file["v"] = h5py.ExternalLink(url, "/x")
        with h5py.File(directory / "raw.h5", "w") as file:
            file.create_dataset("v", (64,), "u1", external=[(url, 0, 64)])
        layout = h5py.VirtualLayout((8,), "i8")
        layout[:] = h5py.VirtualSource(url, "x", (8,))
        with h5py.File(directory / "virtual.h5", "w", libver="latest") as file:
            file.create_virtual_dataset("v", layout)
        return [Pointer(path=path, target=target) for path in sorted(directory.iterdir())]
