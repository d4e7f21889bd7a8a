"""What looks the same and is not: signs, marks that numbers only round to, packed times, chunks of other lengths."""

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from manifestry.combine.chunking import join_along
from manifestry.combine.compatibility.times import TimeUnit
from manifestry.combine.options import CombineOptions
from manifestry.model.codecs import serializer
from manifestry.model.files import SourceFile
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray
from manifestry.storage.registry import StoreRegistry


def write(path, number, variables, units="days since 2000-01-01", dtype="i4", **time):
    """A file of one time and of variables: data type, dimensions, stored value, attributes."""
    with netCDF4.Dataset(path, "w") as file:
        file.set_auto_maskandscale(False)
        file.createDimension("time", None)
        coordinate = file.createVariable("time", dtype, ("time",), fill_value=time.pop("_FillValue", None))
        coordinate.set_auto_maskandscale(False)
        coordinate.setncatts({"units": units, **time})
        coordinate[:] = [number]
        for name, (kind, dims, value, attributes) in variables.items():
            variable = file.createVariable(name, kind, dims, **({"chunksizes": (1,)} if dims else {}))
            variable.set_auto_maskandscale(False)
            variable.setncatts(attributes)
            variable[...] = value
    return path


@pytest.mark.parametrize(("one", "other"), [("i2", "i1"), ("i1", "i2"), ("i4", "i1")])
def test_signed_numbers_that_stand_for_unsigned_ones_keep_their_type(one, other, tmp_path):
    paths = [
        write(tmp_path / f"{i}.nc", i, {"v": (kind, ("time",), -1, {"_Unsigned": "true"})})
        for i, kind in enumerate((one, other))
    ]
    with pytest.raises(mf.IncompatibleArraysError, match="_Unsigned"):
        mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time", combine={"on_conflict": "harmonise"})


@pytest.mark.parametrize("name", ["missing_value", "_FillValue"])
@pytest.mark.parametrize("mark", [-999.9, 1e-60, np.nan, 0.5])
def test_a_variable_that_a_source_lacks_is_missing_there(name, mark, tmp_path):
    attributes = {"missing_value": np.float64(mark)} if name == "missing_value" else {}
    v = {"v": ("f4", ("time",), 7, attributes), "w": ("f4", ("time",), 1, {})}
    paths = [write(tmp_path / "0.nc", 0, v), write(tmp_path / "1.nc", 1, {"w": v["w"]})]
    mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time", combine={"missing": "fill"})
    with xr.open_zarr(mf.open_store(mf.parse(tmp_path / "o.icechunk")), consolidated=False) as found:
        np.testing.assert_array_equal(found.v, [7, np.nan])


@pytest.mark.parametrize("attributes", [{"scale_factor": 2.0}, {"_Unsigned": "true"}])
def test_packed_times_of_other_units_are_not_the_same(attributes, tmp_path):
    def files(*units):
        reference = [("i4", (), 3, {"units": one, **attributes}) for one in units]
        return [write(tmp_path / f"{i}.nc", i, {"reference": one}) for i, one in enumerate(reference)]

    with pytest.raises(mf.IncompatibleArraysError, match="times with"):
        mf.merge([mf.parse(path) for path in files("hours since 2000-01-01", "hours since 2000-01-02")])
    trees = [mf.parse(path) for path in files("hours since 2000-01-01", "hours since 2000-01-01 00:00")]
    assert mf.concat(trees, "time")["reference"].shape == ()


@pytest.mark.filterwarnings("ignore:variable .time. has multiple fill values")
def test_a_time_never_looks_like_one_of_several_marks_of_missing_ones(tmp_path):
    paths = [
        write(tmp_path / "0.nc", 0, {}, "hours since 2000-01-01", _FillValue=-9, missing_value=np.int32(-24)),
        write(tmp_path / "1.nc", -1, {}, "days since 2000-01-01"),
    ]
    mf.convert(paths, tmp_path / "o.icechunk", concat_dim="time")
    with xr.open_zarr(mf.open_store(mf.parse(tmp_path / "o.icechunk")), consolidated=False) as found:
        assert found.time.values.tolist() == [np.datetime64(d, "ns").astype("i8") for d in ("2000-01-01", "1999-12-31")]


@pytest.mark.parametrize(
    ("date", "calendar"),
    [
        ("2001-02-29", "standard"),
        ("2000-02-29", "noleap"),
        ("1900-02-29", "standard"),
        ("2000-02-31", "360_day"),
        ("2001-04-31", "julian"),
        ("2001-02-30", "all_leap"),
    ],
)
def test_days_that_a_calendar_does_not_have_are_no_reference_dates(date, calendar):
    with pytest.raises(ValueError, match="is not a date"):
        TimeUnit.of({"units": f"days since {date}", "calendar": calendar})


@pytest.mark.parametrize(
    ("date", "calendar"), [("1900-02-29", "julian"), ("1500-02-29", "standard"), ("2001-02-29", "all_leap")]
)
def test_days_that_it_has_are(date, calendar):
    later = TimeUnit.of({"units": f"days since {date[:5]}03-01", "calendar": calendar})
    assert later.epoch - TimeUnit.of({"units": f"days since {date}", "calendar": calendar}).epoch == 86_400 * 10**9


def test_chunks_are_split_only_where_they_have_the_bytes_of_their_elements():
    def array(length, chunk, nbytes):
        metadata = ArrayMetadata(
            shape=(length,),
            dtype=np.dtype("i4"),
            chunk_grid=RegularGrid((chunk,)),
            codecs=(serializer(np.dtype("i4")),),
            fill_value=np.int32(0),
            dims=("time",),
        )
        return VirtualArray(metadata, ChunkManifest.single(SourceFile("file:///f"), 0, nbytes, (1,)))

    common = {"options": CombineOptions(), "stores": StoreRegistry.of(None)}
    assert join_along([array(6, 6, 24), array(4, 4, 16)], 0, "v", **common).metadata.chunk_shape == (2,)
    with pytest.raises(mf.MalformedFileError, match="has 20 bytes, and its elements take 24"):
        join_along([array(6, 6, 20), array(4, 4, 16)], 0, "v", **common)
