"""The lines that a report prints open what was written: all of it, groups too."""

import manifestry as mf
import netCDF4
import pytest


@pytest.fixture
def grouped(tmp_path):
    with netCDF4.Dataset(tmp_path / "grouped.nc", "w") as root:
        root.createDimension("time", 2)
        root.createVariable("time", "i4", ("time",))[:] = [3, 4]
        root.createVariable("ocean/deep/t", "f4", ("time",))[:] = [0.5, 1.5]
    return mf.parse(tmp_path / "grouped.nc")


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")  # fsspec asks pandas for it
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("it's.json", {}),
        ("out.json.zst", {}),
        ("three.json", {"zarr_format": 3}),
        ("out.parq", {}),
        ("out.icechunk", {}),
    ],
)
def test_groups_are_opened_too(grouped, tmp_path, name, options):
    found = {}
    exec(mf.write(grouped, tmp_path / name, **options).reader, found)
    assert found["tree"]["ocean/deep/t"].values.tolist() == [0.5, 1.5]
    assert found["tree"]["time"].values.tolist() == [3, 4]
    exec(mf.write(grouped.select(group="ocean/deep"), tmp_path / f"flat-{name}", **options).reader, found)
    assert found["ds"]["t"].values.tolist() == [0.5, 1.5]
