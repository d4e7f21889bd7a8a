"""The main job: a real netCDF-4 file becomes a virtual store, and readers without our packages see the same."""

from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
import xarray as xr
from decoded_groups import Group, decoded_groups

GROUPS = ["/", "quality"]
SUFFIX = {"icechunk": ".icechunk", "kerchunk-json": ".json", "kerchunk-parquet": ".parq"}


def assert_same(expected: xr.Dataset, found: Group) -> None:
    """Values, types, dimensions and attributes; numbers in attributes by value, since JSON has one kind of float."""
    attributes, variables = found
    assert set(variables) == {str(name) for name in expected.variables}
    assert attributes == plain(expected.attrs)
    for name, (dims, values, attrs) in variables.items():
        truth = expected[name]
        assert tuple(dims) == truth.dims, name
        assert values.dtype.newbyteorder("=") == truth.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(values, truth.values, err_msg=name)
        assert attrs == plain(truth.attrs), name


def plain(attributes: dict) -> dict:
    return {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in attributes.items()}


def truth_of(source: Path, group: str) -> xr.Dataset:
    """The source through h5netcdf, decoded with numbers as JSON types them: a float32 factor is the float64 it equals."""
    with xr.open_dataset(source, engine="h5netcdf", group=group, decode_cf=False) as raw:
        typed = raw.load()
    for variable in typed.variables.values():
        fill = {k: v for k, v in variable.attrs.items() if k == "_FillValue"}
        variable.attrs = plain(variable.attrs) | fill
    return xr.decode_cf(typed)


@pytest.mark.parametrize("fmt", SUFFIX)
def test_sample_reads_back_exactly_elsewhere(fmt, sample, tmp_path):
    target = tmp_path / f"sea{SUFFIX[fmt]}"
    report = mf.convert(sample, target)
    assert report.written.format == fmt
    found = decoded_groups(fmt, target, *GROUPS)
    for group in GROUPS:
        assert_same(truth_of(sample, group), found[group])


def test_values_that_formats_tend_to_lose(sample, tmp_path):
    """Zeros stay zeros, the scalar keeps its value, the fill value masks, a float32 factor equals itself."""
    target = tmp_path / "sea.json"
    mf.convert(sample, target)
    _, variables = decoded_groups("kerchunk-json", target, "/")["/"]
    assert int(variables["crs"][1]) == 42
    ice = variables["ice"][1]
    assert ice.dtype == np.uint8
    assert (ice == 0).any()
    assert np.isnan(variables["sst"][1]).any()
    with xr.open_dataset(str(target), engine="kerchunk", mask_and_scale=False) as raw:
        assert raw.sst.attrs["scale_factor"] == np.float32(0.01)
        assert raw.sst.attrs["_FillValue"] == -32768


def test_the_model_itself_opens_with_xarray(sample):
    tree = mf.parse(sample)
    found = xr.open_zarr(mf.open_store(tree), consolidated=False).load()
    variables = {str(name): (v.dims, v.values, v.attrs) for name, v in found.variables.items()}
    assert_same(truth_of(sample, "/"), (found.attrs, variables))


def test_our_own_engine_keeps_the_types_of_attributes(sample):
    """Without JSON in between nothing is widened: the same as h5netcdf, packed variables included."""
    with xr.open_dataset(sample, engine="h5netcdf") as truth, xr.open_dataset(sample, engine="manifestry") as found:
        xr.testing.assert_identical(found.load(), truth.load())
        assert found.sst.dtype == truth.sst.dtype == np.float32
