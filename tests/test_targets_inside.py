"""Nothing is written into the directory of another output."""

import manifestry as mf
import netCDF4
import pytest
import zarr
from obstore.store import MemoryStore

OUTPUTS = ["p.parq", "plain", "i.icechunk", "z.zarr"]


@pytest.fixture
def source(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 3)
        file.createVariable("v", "i4", ("x",))[:] = [1, 2, 3]
    return tmp_path / "a.nc"


def make(source, target):
    if target.endswith(".zarr"):
        zarr.open_group(target, mode="w")
    else:
        mf.convert(source, target, to="icechunk" if target.endswith(".icechunk") else "kerchunk-parquet")


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.name != ".manifestry.lock")


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("inside", ["sub.json", "v/sub.json", "sub.parq", "sub.icechunk"])
def test_local_outputs(source, tmp_path, output, inside):
    place = tmp_path / output
    make(source, str(place))
    (place / "v").mkdir(exist_ok=True)
    before = files(place)
    for write in (mf.convert, lambda source, target: mf.write(mf.parse(source), target)):
        with pytest.raises(mf.TargetExistsError, match=rf"lies inside file://.*/{output}, which is a"):
            write(source, place / inside)
    assert files(place) == before


def test_a_directory_that_is_no_output(source, tmp_path):
    (tmp_path / "archive.parq" / "snapshots").mkdir(parents=True)
    mf.convert(source, tmp_path / "archive.parq" / "a.json")


def test_remote_outputs(source):
    stores = {"memory://here": MemoryStore()}
    mf.convert(source, "memory://here/p.parq", stores=stores)
    for inside in ("sub.json", "v/sub.json", "sub.parq"):
        with pytest.raises(mf.TargetExistsError, match=r"lies inside memory://here/p\.parq, which is"):
            mf.convert(source, f"memory://here/p.parq/{inside}", stores=stores)
    mf.convert(source, "memory://here/other.parq/a.json", stores=stores)
