"""Makes ``sea_surface.nc``: a small netCDF-4 file as netCDF-C writes it.

Run it with ``uv run python samples/make_sea_surface.py``. It holds what ordinary archives hold: packed and plain
variables, an unlimited dimension, deflate with shuffle, a checksum, fill values, a scalar, big-endian numbers, text and
a group.
"""

from pathlib import Path

import netCDF4
import numpy as np

HERE = Path(__file__).parent


def main() -> None:
    """Write the file beside this script; the numbers do not depend on anything."""
    rng = np.random.default_rng(20261120)
    with netCDF4.Dataset(HERE / "sea_surface.nc", "w", format="NETCDF4") as nc:
        nc.title = "Synthetic sea surface temperature"
        nc.Conventions = "CF-1.11"
        nc.revision = np.int32(3)
        nc.createDimension("time", None)
        nc.createDimension("lat", 45)
        nc.createDimension("lon", 90)

        time = nc.createVariable("time", "f8", ("time",), chunksizes=(4,))
        time.units, time.calendar, time.standard_name = "days since 2026-01-01", "standard", "time"
        lat = nc.createVariable("lat", "f4", ("lat",))
        lat.units, lat.standard_name = "degrees_north", "latitude"
        lon = nc.createVariable("lon", "f4", ("lon",))
        lon.units, lon.standard_name = "degrees_east", "longitude"
        time[:] = np.arange(10) + 0.5
        lat[:] = np.linspace(-88, 88, 45)
        lon[:] = np.arange(90) * 4.0

        sst = nc.createVariable(
            "sst", "i2", ("time", "lat", "lon"), zlib=True, shuffle=True, chunksizes=(4, 20, 45), fill_value=-32768
        )
        sst.units, sst.long_name, sst.grid_mapping = "degC", "sea surface temperature", "crs"
        sst.scale_factor, sst.add_offset = np.float32(0.01), np.float32(10.0)
        sst.valid_range = np.array([-3000, 3500], "i2")
        field = 20 * np.cos(np.radians(lat[:]))[None, :, None] + rng.normal(0, 0.5, (10, 45, 90))
        land = (np.sin(np.radians(lon[:]) * 3)[None, :] * np.cos(np.radians(lat[:]))[:, None]) > 0.6
        sst[:] = np.ma.masked_array(field, np.broadcast_to(land, field.shape))

        ice = nc.createVariable("ice", "u1", ("time", "lat", "lon"), zlib=True, fletcher32=True, chunksizes=(5, 45, 90))
        ice.flag_values, ice.flag_meanings = np.array([0, 1], "u1"), "water ice"
        ice[:] = (field < 2).astype("u1")

        crs = nc.createVariable("crs", "i4")
        crs.grid_mapping_name, crs.semi_major_axis = "latitude_longitude", 6378137.0
        crs[...] = 42

        quality = nc.createGroup("quality")
        count = quality.createVariable("count", ">i4", ("time", "lat", "lon"), endian="big", zlib=True)
        count[:] = rng.integers(0, 50, field.shape)
        error = quality.createVariable("error", "f4", ("time",), fill_value=np.float32(1e20))
        error[:] = np.where(np.arange(10) % 3, np.arange(10) / 8, 1e20)


if __name__ == "__main__":
    main()
