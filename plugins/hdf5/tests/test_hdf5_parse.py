"""Ordinary files, end to end: what a tree reads as equals what the format's own libraries read."""

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from h5py import h5a, h5s, h5t
from manifestry.testing.refusing import refuses


def read(tree, path):
    return zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)[path][...]


def check(path, **options):
    """Every array of the tree equals h5py's reading; returns the tree."""
    tree = mf.parse(path, **options)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    with h5py.File(path) as file:
        for name, array in tree.walk_arrays():
            above, slash, last = name.rpartition("/")
            stored = f"{above}{slash}_nc4_non_coord_{last}"  # see test_hdf5_netcdf_names
            expected = file[stored if stored in file else name][()]
            assert array.dtype == np.asarray(expected).dtype.newbyteorder("="), name
            np.testing.assert_array_equal(root[name][...], expected, err_msg=name)
    return tree


@pytest.fixture
def netcdf(tmp_path):
    path = tmp_path / "sample file#1.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.title = "sample"
        nc.history = "söme text"
        nc.version = np.int32(3)
        nc.createDimension("time", None)
        nc.createDimension("lat", 5)
        nc.createDimension("lon", 7)
        nc.createDimension("nv", 2)
        time = nc.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = np.arange(4)
        lat = nc.createVariable("lat", "f4", ("lat",))
        lat[:] = np.linspace(-80, 80, 5)
        t = nc.createVariable("t", "i2", ("time", "lat", "lon"), zlib=True, shuffle=True, fill_value=-999)
        t.scale_factor = 0.01
        t.add_offset = 273.15
        t.threshold = np.float32(-0.1)
        t.valid_range = np.array([-100, 100], "i2")
        t.set_auto_scale(False)
        t[:] = np.arange(140).reshape(4, 5, 7)
        nc.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
        sub = nc.createGroup("sub")
        sub.createDimension("x", 3)
        v = sub.createVariable("v", ">f8", ("x", "lat", "nv"), fletcher32=True, endian="big")
        v[:] = np.random.default_rng(0).normal(size=(3, 5, 2))
        sub.createVariable("flag", "S1", ("x",))[:] = np.array([b"a", b"b", b"c"])
    return path


def test_netcdf_values_and_dimensions(netcdf):
    tree = check(netcdf)
    assert set(tree.arrays) == {"time", "lat", "t", "crs"}
    assert tree.arrays["t"].dims == ("time", "lat", "lon")
    assert tree["sub/v"].dims == ("x", "lat", "nv")
    assert tree.issues == ()


@pytest.mark.parametrize("group", [None, "sub"])
def test_netcdf_equals_h5netcdf_in_xarray(netcdf, group):
    tree = mf.parse(netcdf)
    ours = xr.open_zarr(mf.open_store(tree), group=group, consolidated=False, chunks=None, mask_and_scale=False)
    theirs = xr.open_dataset(netcdf, group=group, engine="h5netcdf", mask_and_scale=False)
    xr.testing.assert_identical(ours, theirs)
    for name in theirs.variables:
        assert ours[name].dtype == theirs[name].dtype
    ours = xr.open_zarr(mf.open_store(tree), group=group, consolidated=False, chunks=None)
    xr.testing.assert_identical(ours, xr.open_dataset(netcdf, group=group, engine="h5netcdf"))


def test_attributes_keep_their_types(netcdf):
    attributes = mf.parse(netcdf).arrays["t"].attributes
    assert attributes["threshold"].dtype == np.float32
    assert attributes["_FillValue"] == -999
    assert attributes["_FillValue"].dtype == np.int16
    assert attributes["valid_range"].tolist() == [-100, 100]


def test_arrays_of_one_stay_arrays_in_plain_hdf5(tmp_path):
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as file:
        file["d"] = np.arange(3)
        file["d"].attrs["one"] = np.array([1.5])
        file["d"].attrs["NAME"] = "kept"
    attributes = mf.parse(path).arrays["d"].attributes
    assert attributes["one"].shape == (1,)
    assert attributes["NAME"] == "kept"


@pytest.mark.parametrize("user_block", [0, 512, 2048, 65536, 1 << 20])
def test_user_blocks(tmp_path, user_block):
    path = tmp_path / "block.h5"
    with h5py.File(path, "w", userblock_size=user_block) as file:
        file["contiguous"] = np.arange(1000)
        file.create_dataset("chunked", data=np.arange(1000.0), chunks=(100,), compression="gzip")
    check(path)


@pytest.fixture
def many(tmp_path):
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        file["a/x"] = np.arange(10)
        file["a/y"] = np.arange(12.0).reshape(3, 4)
        file["b/x"] = np.arange(5)
        file["b/c/z"] = np.arange(6, dtype="i2")
        file.create_dataset("big", data=np.arange(6000, dtype="i4").reshape(60, 100))
    return path


def test_selection_and_group(many):
    assert {p for p, _ in mf.parse(many, include=["x"]).walk_arrays()} == {"a/x", "b/x"}
    assert {p for p, _ in mf.parse(many, exclude=["b"]).walk_arrays()} == {"a/x", "a/y", "big"}
    assert {p for p, _ in mf.parse(many, group="b").walk_arrays()} == {"x", "c/z"}
    with refuses(match="nothing"):
        mf.parse(many, group="nothing")


@pytest.mark.parametrize("chunk_bytes", [1, 99, 400, 5000, 10**9])
def test_contiguous_arrays_are_split_where_rows_end(many, chunk_bytes):
    array = check(many, chunk_bytes=chunk_bytes).arrays["big"]
    assert array.manifest.stored_count == np.prod(array.metadata.grid_shape)
    if chunk_bytes <= 5000:
        assert np.prod(array.metadata.chunk_shape) * 4 <= max(1.5 * chunk_bytes, 4)


def test_small_arrays_are_copied_on_request(many):
    tree = check(many, inline_below=200)
    assert tree["a/x"].manifest.inlined.all()
    assert not tree["big"].manifest.inlined.any()


def test_variables_of_groups_use_dimensions_of_the_groups_above(netcdf):
    assert mf.parse(netcdf, group="sub").arrays["v"].dims == ("x", "lat", "nv")


def test_native_reader_agrees(netcdf):
    from manifestry.plugin import Source
    from manifestry_hdf5.options import Hdf5Options
    from manifestry_hdf5.parser import Hdf5Parser

    tree = mf.parse(netcdf)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    native = Hdf5Parser().open_native(Source(netcdf), Hdf5Options())
    for name, array in tree.walk_arrays():
        box = tuple(slice(n // 3, n) for n in array.shape)
        np.testing.assert_array_equal(native.read(name, box), root[name][box])
    native.close()


def test_phony_dimensions_are_numbered_as_netcdf_does(tmp_path):
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as file:
        for name, shape in (("a", (4, 5)), ("b", (5, 4, 4)), ("g/c", (4, 6)), ("g/h/d", (6, 6)), ("k/e", (7, 5))):
            file[name] = np.zeros(shape)
        for name, shape in (("z/a", (0, 3)), ("z/b", (3, 0))):  # of no length
            file[name] = np.zeros(shape)
        file.create_dataset("z/c", (0, 0), maxshape=(None, None), chunks=(2, 2), dtype="i2")
        file.create_dataset("u", (4, 5), "i2", maxshape=(None, 5), chunks=(2, 2))
        file["x"] = np.arange(5)
        file["x"].make_scale("x")
        file["s"] = np.zeros(5)
        file["s"].dims[0].attach_scale(file["x"])
    tree = mf.parse(path)
    with netCDF4.Dataset(path) as nc:
        for name, array in tree.walk_arrays():
            group, _, base = name.rpartition("/")
            assert array.dims == (nc[group] if group else nc).variables[base].dimensions, name


def test_netcdf_conventions_for_dimensions(tmp_path):
    path = tmp_path / "dims.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", None), ("y", 3), ("strlen", 4), ("only", 2)):
            nc.createDimension(name, size)
        nc.createVariable("y", "S1", ("y", "strlen"))[:] = np.full((3, 4), b"a")  # a coordinate of two dimensions
        nc.createVariable("time", "f8", ("time",))  # never written
        group = nc.createGroup("g")
        group.createVariable("time", "i4", ("y",))[:] = 1  # the name of a dimension above, and not its coordinate
        group.createVariable("v", "f4", ("time", "y", "only"))
        nc.createVariable("only", "i4", ("y", "only"))[:] = 1
    tree = check(path)
    assert tree.arrays["y"].dims == ("y", "strlen")
    assert tree.arrays["time"].dims == ("time",)
    assert tree["g/time"].dims == ("y",)
    assert tree["g/v"].dims == ("time", "y", "only")
    assert "strlen" not in tree.arrays


def test_attributes_of_every_kind(tmp_path):
    path = tmp_path / "attributes.h5"
    with h5py.File(path, "w") as file:
        target = file.create_dataset("target", data=1)
        attributes = file.create_dataset("d", data=np.arange(3)).attrs
        attributes["nan"] = np.float32("nan")
        attributes["big"] = np.uint64(2**64 - 1)
        attributes["texts"] = ["a", "zwölf"]
        attributes["fixed"] = np.bytes_(b"text")
        attributes["latin"] = np.bytes_("é".encode("latin-1"))
        attributes["empty"] = h5py.Empty("f4")
        attributes["complex"] = 1 + 2j
        attributes["flag"] = True
        attributes["grid"] = np.arange(6).reshape(2, 3)
        attributes["to"] = target.ref
        attributes["record"] = np.array((1, 2.5), [("a", "i4"), ("b", "f8")])
        attributes["region"] = target.regionref[()]
        sequence = np.empty(1, object)
        sequence[0] = np.array([1, 2], "i4")
        attributes.create("sequence", sequence, dtype=h5py.vlen_dtype("i4"))
        kind = h5t.array_create(h5t.STD_I16BE, (2, 3))
        h5a.create(file["d"].id, b"arrays", kind, h5s.create_simple((2,))).write(
            np.arange(12, dtype="i2").reshape(2, 2, 3), h5t.array_create(h5t.NATIVE_INT16, (2, 3))
        )
        tagged = h5t.create(h5t.OPAQUE, 2)
        tagged.set_tag(b"two bytes")
        h5a.create(file["d"].id, b"tagged", tagged, h5s.create_simple((1,))).write(np.array([b"ab"], "V2"), tagged)
        for i in range(30):  # more than a header holds: dense storage
            file["target"].attrs[f"a{i}"] = "x" * 3000
    tree = mf.parse(path)
    got = tree.arrays["d"].attributes
    assert np.isnan(got["nan"])
    assert got["nan"].dtype == np.float32
    assert got["big"] == 2**64 - 1
    assert got["texts"] == ["a", "zwölf"]
    assert (got["fixed"], got["latin"]) == ("text", "é")
    assert got["empty"].shape == (0,)
    assert got["complex"] == 1 + 2j
    assert bool(got["flag"]) is True
    assert got["grid"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert got["to"].path == "/target"
    assert got["record"]["b"] == 2.5
    assert "region" not in got
    assert [issue.path for issue in tree.issues] == ["d@region"]
    assert [v.tolist() for v in got["sequence"]] == [[1, 2]]
    assert got["arrays"].tolist() == np.arange(12).reshape(2, 2, 3).tolist()
    assert got["tagged"][0].tobytes() == b"ab"
    assert len(tree.arrays["target"].attributes) == 30
    assert [i for i in tree.issues if i.severity == "refused"] == []


def test_long_user_blocks_are_looked_for_where_the_ending_says_hdf5(tmp_path):
    for name, found in (("a.h5", True), ("a.bin", False)):
        with h5py.File(tmp_path / name, "w", userblock_size=1 << 19) as file:
            file["d"] = np.arange(3)
        if found:
            assert list(mf.parse(tmp_path / name).arrays) == ["d"]
        else:
            with pytest.raises(mf.UnknownFormatError):
                mf.parse(tmp_path / name)
            assert list(mf.parse(tmp_path / name, format="hdf5").arrays) == ["d"]


def test_groups_that_are_not_there(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/d"] = np.arange(3)
    for group in ("nosuch", "group/d", "group/nosuch"):
        with pytest.raises(mf.OptionError, match=f"there is no group '{group}' in file:"):
            mf.parse(tmp_path / "a.h5", group=group)


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_scales_of_another_group_name_dimensions_and_labels_stay_attributes(tmp_path, version):
    """Plain HDF5: no netCDF numbers, only lists of references and labels."""
    path = tmp_path / "scales.h5"
    with h5py.File(path, "w", libver=version) as file:
        file["time"] = np.arange(4.0)
        file["time"].make_scale("time")
        data = file.create_dataset("group/data", data=np.zeros((4, 3)))
        data.dims[0].attach_scale(file["time"])
        labelled = file.create_dataset("labelled", data=np.zeros((5, 6)))
        labelled.dims[0].label, labelled.dims[1].label = "row", "column"
    tree = mf.parse(path)
    assert tree["group/data"].dims[0] == "time"
    assert tree["time"].dims == ("time",)
    assert tree["labelled"].attributes == {"DIMENSION_LABELS": ["row", "column"]}
    shown = {name for _, array in tree.walk_arrays() for name in array.attributes}
    assert not {"DIMENSION_LIST", "REFERENCE_LIST"} & shown


def test_names_with_two_underscores_are_read(tmp_path):
    """AnnData and xarray write them; Zarr's specification reserves them, and every reader takes them."""
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        file["obs/__categories/cell"] = np.arange(5.0)
    root = zarr.open_group(mf.open_store(mf.parse(path)), mode="r")
    np.testing.assert_array_equal(root["obs/__categories/cell"][...], np.arange(5.0))


@pytest.mark.parametrize("sizes", [(120, 80, 40), (4, 236), (24, 24, 192), (240,), (7, 233)])
def test_raw_files_that_divide_an_array(tmp_path, sizes):
    values = np.arange(60, dtype="<i4").reshape(5, 3, 4)
    data, start = values.tobytes(), 0
    names = [f"{n}.raw" for n in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        (tmp_path / name).write_bytes(b"head" + data[start : start + size])
        start += size
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        parts = [(name, 4, size) for name, size in zip(names, sizes, strict=True)]
        file.create_dataset("d", values.shape, "<i4", external=parts)
    tree = mf.parse(path, on_unsupported="skip")
    if sizes[0] % 4:
        assert [i.feature for i in tree.issues] == ["external raw files that end inside a chunk"]
    else:
        assert np.array_equal(read(tree, "d"), values)
        assert {url.rpartition("/")[2] for url in tree.arrays["d"].manifest.files.urls} == set(names)


def test_virtual_datasets_grow_with_their_sources(tmp_path):
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file.create_dataset("x", data=np.arange(12).reshape(3, 4), chunks=(1, 4), maxshape=(None, 4))
    layout = h5py.VirtualLayout((3, 4), "i8", maxshape=(None, 4))
    source = h5py.VirtualSource("source.h5", "x", (3, 4), maxshape=(None, 4))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    path = tmp_path / "virtual.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout)
    with h5py.File(tmp_path / "source.h5", "a") as file:
        file["x"].resize((5, 4))
        file["x"][3:] = 7
    assert check(path).arrays["d"].shape == (5, 4)


def test_values_of_variable_length_of_which_there_are_none(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("texts", (0, 3), h5py.string_dtype(), maxshape=(None, 3), chunks=(5, 3))
        file.create_dataset("sequences", (0,), h5py.vlen_dtype("c8"))
        file.create_dataset("records", (0,), [("a", h5py.string_dtype()), ("b", ">i4")])
        file["nothing"] = h5py.Empty(h5py.string_dtype())
    tree = mf.parse(path)
    found = {name: (read(tree, name).shape, tree[name].dtype.kind) for name in tree.arrays}
    assert found == {
        "texts": ((0, 3), "T"), "sequences": ((0,), "O"), "records": ((0,), "V"), "nothing": ((0,), "T"),
    }  # fmt: skip
    for target in ("a.json", "b.icechunk"):
        mf.write(tree, tmp_path / target)
        back = mf.parse(tmp_path / target)
        assert {name: array.shape for name, array in back.walk_arrays()} == {n: s for n, (s, _) in found.items()}


@pytest.mark.parametrize(
    "members",
    [
        np.array([1, -2], ">i4"),
        np.array([1 + 2j, 3j], ">c16"),
        np.array([(1, 2.5), (3, 4.5)], [("a", "<i4"), ("b", ">f8")]),
        np.array([((1, 2j),)], [("x", [("a", ">i2"), ("c", ">c8")])]),
        np.array([(0, [1, 2])], [("n", ">u2"), ("s", ">i4", (2,))]),
    ],
    ids=lambda members: str(members.dtype),
)
def test_big_endian_sequences_in_attributes(tmp_path, members):
    """Alone, in a list and in a record."""
    path, kind = tmp_path / "file.h5", h5py.vlen_dtype(members.dtype)
    alone, several = np.empty((), object), np.empty(2, object)
    alone[()] = several[1] = members
    several[0] = members[:1]
    record = np.zeros((), [("v", kind), ("n", "i4")])
    record["v"][()] = members
    with h5py.File(path, "w") as file:
        file.attrs.create("alone", alone, dtype=kind)
        file.attrs.create("several", several, dtype=kind)
        file.attrs.create("record", record, dtype=record.dtype)
    tree = mf.parse(path)
    assert not tree.issues
    got = [tree.attributes["alone"], *tree.attributes["several"], tree.attributes["record"]["v"]]
    little = members.dtype.newbyteorder("<")
    for value, expected in zip(got, [members, members[:1], members, members], strict=True):
        assert value.astype(little).tobytes() == expected.astype(little).tobytes()
