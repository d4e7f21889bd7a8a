"""Values, dimensions and attributes equal those that netCDF-C reads."""

from __future__ import annotations

import hypothesis
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import zarr
from examples import examples
from hypothesis import HealthCheck, settings, strategies as st

FORMATS = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
CLASSIC_TYPES = ["i1", "S1", "i2", "i4", "f4", "f8"]
ALL_TYPES = [*CLASSIC_TYPES, "u1", "u2", "u4", "i8", "u8"]


def types_of(fmt):
    return ALL_TYPES if fmt == "NETCDF3_64BIT_DATA" else CLASSIC_TYPES


def some(dtype, shape, seed=0):
    raw = np.random.default_rng(seed).integers(65, 90, (*shape, np.dtype(dtype).itemsize), "u1")
    return raw.view(dtype).reshape(shape)


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_type_as_scalar_fixed_and_record_variable(tmp_path, check, fmt):
    path = tmp_path / "all.nc"
    with netCDF4.Dataset(path, "w", format=fmt) as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", 3)
        nc.createDimension("y", 5)
        for dtype in types_of(fmt):
            nc.createVariable(f"s_{dtype}", dtype, ())[...] = some(dtype, ())
            nc.createVariable(f"f_{dtype}", dtype, ("x", "y"))[...] = some(dtype, (3, 5))
            nc.createVariable(f"r_{dtype}", dtype, ("t", "y"))[0:4] = some(dtype, (4, 5))
            nc.createVariable(f"q_{dtype}", dtype, ("t",))[0:4] = some(dtype, (4,))
    tree = mf.parse(path)
    check(tree, path)
    assert tree["f_i2"].dims == ("x", "y")
    assert tree["r_f8"].dims == ("t", "y")
    assert not tree.issues


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("dtype", ["i1", "i2", "f8", "S1"])
def test_one_record_variable_has_no_padding_and_its_records_are_grouped(tmp_path, check, fmt, dtype):
    path = tmp_path / "one.nc"
    with netCDF4.Dataset(path, "w", format=fmt) as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", 3)
        nc.createVariable("r", dtype, ("t", "x"))[0:7] = some(dtype, (7, 3))
        nc.createVariable("f", dtype, ("x",))[...] = some(dtype, (3,))
    tree = mf.parse(path)
    assert tree["r"].metadata.chunk_shape == (7, 3)
    check(tree, path)
    check(mf.parse(path, records_per_chunk=1), path)
    with pytest.raises(mf.OptionError, match="does not divide the 7 records"):
        mf.parse(path, records_per_chunk=2)


def test_attributes_keep_their_types(tmp_path):
    path = tmp_path / "attrs.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        v = nc.createVariable("v", "i2", (), fill_value=-5)
        for dtype in ALL_TYPES:
            if dtype != "S1":
                v.setncattr(f"one_{dtype}", np.array(7, dtype)[()])
                v.setncattr(f"two_{dtype}", np.array([7, 9], dtype))
        v.text = "grüße"
        v.empty = ""
        nc.title = "root"
    tree = mf.parse(path)
    got = tree["v"].attributes
    for dtype in ALL_TYPES:
        if dtype != "S1":
            assert got[f"one_{dtype}"].dtype == np.dtype(dtype)
            assert got[f"one_{dtype}"] == 7
            assert got[f"two_{dtype}"].dtype == np.dtype(dtype)
            assert got[f"two_{dtype}"].tolist() == [7, 9]
    assert (got["text"], got["empty"], tree.attributes["title"]) == ("grüße", "", "root")
    assert got["_FillValue"] == np.int16(-5)
    assert tree["v"].metadata.fill_value == -5


def test_default_fill_values_are_those_of_netcdf_c(tmp_path):
    path = tmp_path / "fill.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        nc.createDimension("t", None)
        for dtype in ALL_TYPES:
            nc.createVariable(dtype, dtype, ("t",))
        nc.createVariable("last", "i1", ("t",))[2] = 1
    tree = mf.parse(path)
    for dtype in ALL_TYPES:
        expected = b"" if dtype == "S1" else netCDF4.default_fillvals[dtype]
        assert tree[dtype].metadata.fill_value == np.array(expected, dtype)


@pytest.mark.parametrize(
    ("dtype", "given", "fill"),
    [
        ("i2", np.float64(np.nan), -32767),
        ("i2", np.float64(-9.0), -9),
        ("i2", np.int32(70000), -32767),
        ("i2", np.array([1, 2], "i4"), -32767),
        ("f4", np.int32(-1), -1),
        ("f4", "-999", 9.969209968386869e36),
        ("S1", "x", b"x"),
        ("S1", "long", b""),
        ("S1", np.int16(3), b""),
    ],
)
def test_fill_values_of_another_type_are_tolerated(tmp_path, dtype, given, fill):
    path = tmp_path / "odd.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createVariable("v", dtype, ()).setncattr("_Fill_alue", given)  # netCDF-C refuses to write the real name
    path.write_bytes(path.read_bytes().replace(b"_Fill_alue", b"_FillValue"))
    tree = mf.parse(path)
    assert tree["v"].metadata.fill_value == np.array(fill, dtype)
    assert "_FillValue" in tree["v"].attributes


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@hypothesis.given(data=st.data())
def test_any_mix_of_variables(tmp_path, check, data):
    fmt = data.draw(st.sampled_from(FORMATS))
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    records = data.draw(st.integers(0, 4))
    path = tmp_path / "mix.nc"
    with netCDF4.Dataset(path, "w", format=fmt) as nc:
        nc.createDimension("t", None)
        for i, length in enumerate(lengths):
            nc.createDimension(f"d{i}", length)
        for i in range(data.draw(st.integers(1, 6))):
            dims = data.draw(st.lists(st.sampled_from([f"d{i}" for i in range(len(lengths))]), max_size=3))
            is_record = data.draw(st.booleans())
            dtype = data.draw(st.sampled_from(types_of(fmt)))
            variable = nc.createVariable(f"v{i}", dtype, ("t", *dims) if is_record else tuple(dims))
            shape = tuple(lengths[int(d[1:])] for d in dims)
            if is_record and records:
                variable[0:records] = some(dtype, (records, *shape), i)
            elif not is_record:
                variable[...] = some(dtype, shape, i)
    chunk_bytes = data.draw(st.sampled_from([None, 1, 8, 40]))
    inline_below = data.draw(st.sampled_from([None, 20, 1000]))
    check(mf.parse(path, chunk_bytes=chunk_bytes, inline_below=inline_below), path)


def test_selection_names_groups_and_inlining(tmp_path, check):
    path = tmp_path / "pick.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", 100)
        nc.createVariable("time", "f8", ("t",))[0:50] = np.arange(50)
        nc.createVariable("big", "f4", ("t", "x"))[0:50] = np.arange(5000).reshape(50, 100)
        nc.createVariable("__unnamed", "i4", ())[...] = 3
        nc.createVariable("dot", "i4", ())[...] = 3
    path.write_bytes(path.read_bytes().replace(b"dot", b"..."))
    assert list(mf.parse(path, include=["time"]).arrays) == ["time"]
    with pytest.raises(mf.UnsupportedFeatureError, match=r"the name '\.\.\.'"):
        mf.parse(path)
    tree = mf.parse(path, exclude=["..."], inline_below=1000)
    assert tree["time"].manifest.to_dict().keys() == {"0"}
    assert tree["time"].manifest[0].data == np.arange(50, dtype=">f8").tobytes()
    assert tree["big"].manifest.inline == b""
    assert zarr.open_group(mf.open_store(tree), mode="r")["__unnamed"][()] == 3
    with pytest.raises(mf.OptionError, match="have no groups"):
        mf.parse(path, group="g")


def test_native_reader_reads_what_netcdf_c_reads(tmp_path):
    from manifestry_netcdf3.options import NetCDF3Options
    from manifestry_netcdf3.parser import NetCDF3Parser
    from obstore.store import MemoryStore

    path = tmp_path / "native.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("x", 10)
        v = nc.createVariable("v", "i2", ("x",), fill_value=3)
        v.scale_factor = 0.5
        v.set_auto_maskandscale(False)
        v[...] = np.arange(10)
    memory = MemoryStore()
    memory.put("native.nc", path.read_bytes())
    for source in (mf.Source(path), mf.Source("memory://m/native.nc", {"memory://m": memory})):
        reader = NetCDF3Parser().open_native(source, NetCDF3Options())
        assert reader.read("v", (slice(2, 5),)).tolist() == [2, 3, 4]
        with pytest.raises(mf.SourceError, match="cannot read w"):
            reader.read("w", ())
        reader.close()
    path.write_bytes(b"nothing")
    with pytest.raises(mf.SourceError, match="cannot open"):
        NetCDF3Parser().open_native(mf.Source(path), NetCDF3Options())
