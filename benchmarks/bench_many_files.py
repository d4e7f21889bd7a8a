"""1,000 netCDF4 files to Icechunk from the command line, beside VirtualiZarr in one process, in one run.

.venv/bin/python benchmarks/bench_many_files.py [files] [rounds]

The files are made by netCDF4-python and shaped as daily fields: an unlimited time, packed and plain variables with
deflate and shuffle, fixed coordinates, a scalar grid mapping. Imports count: this is what a user waits for. The result
is compared with ``xr.open_mfdataset``.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import PEER_PYTHON

PEER = """
import sys, warnings
warnings.simplefilter("ignore")
import icechunk, glob
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_mfdataset
from virtualizarr.parsers import HDFParser
if __name__ == "__main__":
    here, target = sys.argv[1:]
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    ds = open_virtual_mfdataset(sorted(glob.glob(here + "/*.nc")), registry=registry, parser=HDFParser(),
        combine="nested", concat_dim="time", data_vars="minimal", coords="minimal", compat="override", join="override",
        loadable_variables=["time", "lat", "lon"])
    prefix = f"file://{here}/"
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(here)))
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(target), config)
    session = repository.writable_session("main")
    ds.vz.to_icechunk(session.store)
    session.commit("done")
"""

MAKE = """
import sys
import netCDF4, numpy as np
here, count = sys.argv[1], int(sys.argv[2])
noise = np.random.default_rng(0)
for day in range(count):
    with netCDF4.Dataset(f"{here}/field_{day:05}.nc", "w") as f:
        f.createDimension("time", None); f.createDimension("lat", 90); f.createDimension("lon", 180)
        f.title = "daily fields"; f.Conventions = "CF-1.8"; f.history = f"made on day {day}"
        t = f.createVariable("time", "f8", ("time",)); t.units = "days since 2000-01-01"; t.calendar = "standard"
        for name, n in (("lat", 90), ("lon", 180)):
            v = f.createVariable(name, "f4", (name,)); v[:] = np.linspace(-90, 90, n); v.units = "degrees"
        f.createVariable("crs", "i4").grid_mapping_name = "latitude_longitude"
        for name in ("t2m", "u10", "v10", "precipitation"):
            v = f.createVariable(name, "i2", ("time", "lat", "lon"), zlib=True, complevel=1, shuffle=True,
                                 chunksizes=(1, 30, 60), fill_value=-32767)
            v.scale_factor = np.float32(0.01); v.add_offset = np.float32(273.15)
            v.long_name = name; v.units = "K"; v.grid_mapping = "crs"
            v.set_auto_maskandscale(False)
            v[:] = noise.integers(-3000, 3000, (1, 90, 180))
        t[:] = [day]
"""

CHECK = """
import glob, sys, warnings
warnings.simplefilter("ignore")
import xarray as xr, numpy as np
here, target = sys.argv[1:]
ours = xr.open_dataset(target, engine="manifestry", chunks={}, mask_and_scale=False)
truth = xr.open_mfdataset(sorted(glob.glob(here + "/*.nc")), combine="nested", concat_dim="time", data_vars="minimal",
                          coords="minimal", compat="override", join="override", engine="h5netcdf", mask_and_scale=False)
assert set(ours.variables) == set(truth.variables), (set(ours.variables), set(truth.variables))
for name in truth.variables:
    assert ours[name].dims == truth[name].dims and ours[name].shape == truth[name].shape, name
    picks = sorted({0, 1, len(truth.time) // 2, len(truth.time) - 1})
    mine, other = (d[name].isel(time=picks) if "time" in d[name].dims else d[name] for d in (ours, truth))
    np.testing.assert_array_equal(mine.values, other.values, name)
print("equal")
"""


def timed(command: list[str]) -> tuple[float, float]:
    """Wall clock and processor time, that of all processes, in seconds."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, timeout=1800)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, busy


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    spent: dict[str, list[tuple[float, float]]] = {
        "manifestry -j 1": [],
        "manifestry -j 2": [],
        "VirtualiZarr 2.8.0": [],
    }
    command = [str(Path(sys.executable).with_name("manifestry")), "convert", "--quiet", "--concat-dim", "time"]
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch, "in")
        here.mkdir()
        subprocess.run([sys.executable, "-c", MAKE, str(here), str(count)], check=True)
        peer = Path(scratch, "peer.py")
        peer.write_text(PEER)
        for _ in range(rounds):
            for jobs in ("1", "2"):
                shutil.rmtree(Path(scratch, "out.icechunk"), ignore_errors=True)
                ours = [*command, "-j", jobs, f"{here}/*.nc", f"{scratch}/out.icechunk"]
                spent[f"manifestry -j {jobs}"].append(timed(ours))
            shutil.rmtree(Path(scratch, "peer.icechunk"), ignore_errors=True)
            spent["VirtualiZarr 2.8.0"].append(timed([PEER_PYTHON, str(peer), str(here), f"{scratch}/peer.icechunk"]))
        print(f"### {count:,} netCDF4 files to Icechunk, {rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
        print("| | wall clock (median) | fastest | times manifestry -j 1 | processor time (median) | times |")
        print("|---|---|---|---|---|---|")
        wall, busy = (statistics.median(column) for column in zip(*spent["manifestry -j 1"], strict=True))
        for name, found in spent.items():
            walls, busies = zip(*found, strict=True)
            print(
                f"| {name} | {statistics.median(walls):.1f} s | {min(walls):.1f} s "
                f"| {statistics.median(walls) / wall:.2f} | {statistics.median(busies):.1f} s "
                f"| {statistics.median(busies) / busy:.2f} |"
            )
        done = subprocess.run(
            [sys.executable, "-c", CHECK, str(here), f"{scratch}/out.icechunk"],
            capture_output=True,
            text=True,
            check=False,
        )
        print("\nagainst xr.open_mfdataset:", done.stdout.strip() or done.stderr[-1500:])


if __name__ == "__main__":
    main()
