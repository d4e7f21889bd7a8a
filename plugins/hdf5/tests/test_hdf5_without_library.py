"""Parsing, writing and reading through stores need no libhdf5."""

import subprocess
import sys

import netCDF4
import numpy as np

from plugins.hdf5.tests.test_hdf5_features import FEATURES

READ_ALL = """
import sys
from pathlib import Path
import manifestry as mf
import zarr

count = 0
for path in sorted(Path(sys.argv[1]).glob("*/file.*")):
    tree = mf.parse(path, on_unsupported="skip")
    assert "h5py" not in sys.modules, f"parsing {path}"
    mf.write(tree, path.parent / "out.json", on_unsupported="skip")
    store = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    for name, array in tree.walk_arrays():
        store[name][...]
        count += 1
    assert "h5py" not in sys.modules, f"reading {path}"
print(count)
"""


def test_no_file_needs_libhdf5(tmp_path):
    features = [feature for feature in FEATURES if "blosc" not in feature.name]  # those need a process of their own
    for number, feature in enumerate(features):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        feature.make(folder / "file.h5")
    (tmp_path / "netcdf").mkdir()
    with netCDF4.Dataset(tmp_path / "netcdf" / "file.nc", "w") as file:
        file.createDimension("time", None)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(3)
        file.createVariable("words", str, ("time",))[:] = np.array(["a", "b", "c"], object)
    command = [sys.executable, "-c", READ_ALL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > len(features) / 2
