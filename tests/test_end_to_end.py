"""The main job: a real netCDF-4 file becomes a virtual store, and readers without our packages see the same."""

import pickle
import subprocess
import sys
from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
import xarray as xr

GROUPS = ["/", "quality"]
SUFFIX = {"icechunk": ".icechunk", "kerchunk-json": ".json", "kerchunk-parquet": ".parq"}


def read_elsewhere(fmt: str, target: Path, result: Path) -> dict[str, dict]:
    script = Path(__file__).with_name("reader_process.py")
    command = [sys.executable, script, fmt, target, result, *GROUPS]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return pickle.loads(result.read_bytes())


def assert_same(expected: xr.Dataset, found: dict) -> None:
    """Values, types, dimensions and attributes; numbers in attributes by value, since JSON has one kind of float."""
    variables = {**found["coords"], **found["data_vars"]}
    assert set(variables) == {str(name) for name in expected.variables}
    assert plain(expected.attrs) == found["attrs"]
    for name, variable in variables.items():
        truth = expected[name]
        assert tuple(variable["dims"]) == truth.dims, name
        values = np.asarray(variable["data"])
        assert values.dtype.newbyteorder("=") == truth.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(values, truth.values, err_msg=name)
        assert variable["attrs"] == plain(truth.attrs), name


def plain(attributes: dict) -> dict:
    return {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in attributes.items()}


@pytest.mark.parametrize("fmt", SUFFIX)
def test_sample_reads_back_exactly_elsewhere(fmt, sample, tmp_path):
    target = tmp_path / f"sea{SUFFIX[fmt]}"
    report = mf.convert(sample, target)
    assert report.format == fmt
    found = read_elsewhere(fmt, target, tmp_path / "found.pickle")
    for group in GROUPS:
        with xr.open_dataset(sample, engine="h5netcdf", group=group) as truth:
            assert_same(truth.load(), found[group])


def test_values_that_formats_tend_to_lose(sample, tmp_path):
    """Zeros stay zeros, the scalar keeps its value, the fill value masks, a float32 factor equals itself."""
    target = tmp_path / "sea.json"
    mf.convert(sample, target)
    found = read_elsewhere("kerchunk-json", target, tmp_path / "found.pickle")["/"]["data_vars"]
    assert int(found["crs"]["data"]) == 42
    ice = np.asarray(found["ice"]["data"])
    assert ice.dtype == np.uint8
    assert (ice == 0).any()
    assert np.isnan(np.asarray(found["sst"]["data"])).any()
    raw = xr.open_dataset(target, engine="kerchunk", mask_and_scale=False)
    assert raw.sst.attrs["scale_factor"] == np.float32(0.01)
    assert raw.sst.attrs["_FillValue"] == -32768


def test_the_model_itself_opens_with_xarray(sample):
    tree = mf.parse(sample)
    with xr.open_dataset(sample, engine="h5netcdf") as truth:
        found = xr.open_zarr(tree.store(), consolidated=False).load()
        assert_same(truth.load(), found.to_dict(data="array", encoding=False))
