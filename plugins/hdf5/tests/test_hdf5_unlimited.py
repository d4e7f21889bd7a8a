"""Unlimited dimensions of netCDF-4: as long as their longest variable; shorter datasets read as fill values beyond their end."""

import zlib

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import zarr
from examples import examples
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given, settings, strategies as st
from manifestry_hdf5.storage import lengthening
from manifestry_hdf5.storage.chunk_bytes import encode_chunk

TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "S1", ">i2", ">f8"]


def read_all(path, **options):
    tree = mf.parse(path, **options)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    return tree, {name: np.asarray(root[name][...]) for name, _ in tree.walk_arrays()}


def variables(group, path=""):
    """All variables of a netCDF4 dataset by path."""
    for name, variable in group.variables.items():
        yield f"{path}{name}", variable
    for name, child in group.groups.items():
        yield from variables(child, f"{path}{name}/")


def default_fill(dtype):
    return np.array(netCDF4.default_fillvals[dtype.str[1:]]).astype(dtype)


def truth(path):
    """Shapes of netCDF4; values of h5py, and beyond its datasets the fill values of netCDF."""
    expected = {}
    with netCDF4.Dataset(path) as nc, h5py.File(path) as file:
        nc.set_auto_mask(False)
        for name, variable in variables(nc):
            dataset = file[name]
            chosen = dataset.id.get_create_plist().fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED
            fill = dataset.fillvalue if chosen else default_fill(dataset.dtype.newbyteorder("="))
            values = np.full(variable.shape, fill, dataset.dtype.newbyteorder("="))
            values[tuple(map(slice, dataset.shape))] = dataset[...]
            fixed = not any(dim.isunlimited() for dim in variable.get_dims()[1:])
            if fixed or dataset.shape == variable.shape:  # netCDF-C mixes up the others
                theirs = variable[...]
                np.testing.assert_array_equal(theirs.astype(values.dtype), values, err_msg=f"truth of {name}")
            expected[name] = values
    return expected


def check(path, **options):
    tree, got = read_all(path, **options)
    expected = truth(path)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert got[name].dtype == values.dtype
        np.testing.assert_array_equal(got[name], values, err_msg=name)
    assert tree.issues == () or all("fill value undefined" in issue.feature for issue in tree.issues)
    return tree


@st.composite
def contents(draw):
    """Variables: group, type, dimensions, extents of what is written, storage."""
    return [
        {
            "group": draw(st.sampled_from(["", "g", "g/h", "i"])),
            "dtype": draw(st.sampled_from(TYPES)),
            "dims": draw(
                st.sampled_from([("t",), ("t", "x"), ("x", "t"), ("t", "u"), ("u", "x", "t"), ("t", "t"), ("u",)])
            ),
            "extents": draw(st.tuples(*[st.integers(0, 7)] * 3)),
            "chunks": draw(st.tuples(*[st.integers(1, 4)] * 3)),
            "zlib": draw(st.booleans()),
            "fletcher32": draw(st.booleans()),
            "fill": draw(st.sampled_from([None, False, 7])),
        }
        for _ in range(draw(st.integers(1, 5)))
    ]


def write(path, variables):
    sizes = {"t": None, "u": None, "x": 3}
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in sizes.items():
            nc.createDimension(name, size)
        for number, item in enumerate(variables):
            group = nc.createGroup(item["group"]) if item["group"] else nc
            dtype = np.dtype(item["dtype"])
            fill = item["fill"]
            made = group.createVariable(
                f"v{number}", dtype, item["dims"], zlib=item["zlib"], fletcher32=item["fletcher32"],
                chunksizes=[min(n, sizes[dim] or n) for n, dim in zip(item["chunks"], item["dims"], strict=False)], fill_value=b"f" if fill == 7 and dtype.kind == "S" else fill,
                endian="big" if dtype.byteorder == ">" else "native",
            )  # fmt: skip
            made.set_auto_mask(False)
            extent = [n if sizes[dim] is None else 3 for n, dim in zip(item["extents"], item["dims"], strict=False)]
            if all(extent):
                values = np.arange(np.prod(extent)).reshape(extent) % 50
                made[tuple(map(slice, extent))] = values.astype("S1") if dtype.kind == "S" else values


@given(contents())
@settings(max_examples=examples(40), deadline=None)
def test_random_files_read_as_netcdf_reads_them(tmp_path_factory, variables):
    path = tmp_path_factory.mktemp("u") / "f.nc"
    write(path, variables)
    check(path)
    check(path, inline_below=100)


def test_who_is_short(tmp_path):
    """The coordinate variable itself, variables of groups above, beside and below, and one that nobody wrote."""
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createDimension("bare", None)
        nc.createDimension("x", 2)
        nc.createVariable("time", "f8", ("time",))[:] = np.arange(2)
        nc.createVariable("never", "f4", ("time", "x"), zlib=True)
        nc.createVariable("packed", "i2", ("time", "x"), fill_value=-9, zlib=True, chunksizes=(4, 2))[:3] = 5
        nc.createGroup("a/b").createVariable("long", "i4", ("time",))[:] = np.arange(7)
        nc.createGroup("c").createVariable("short", "i4", ("bare", "time"))[0:1, 0:1] = 1
        nc.createGroup("d").createVariable("bare_long", "i4", ("bare",))[0:3] = 1
    tree = check(path)
    assert {name: array.shape for name, array in tree.walk_arrays()} == {
        "time": (7,), "never": (7, 2), "packed": (7, 2), "a/b/long": (7,), "c/short": (3, 7), "d/bare_long": (3,),
    }  # fmt: skip
    assert [c.name for c in tree["never"].metadata.codecs] == ["bytes", "numcodecs.shuffle", "numcodecs.zlib"]
    assert not tree["packed"].manifest.inlined.any()
    for options in ({"group": "c"}, {"include": ["short"]}, {"group": "c", "include": ["short"]}):
        tree, got = read_all(path, **options)
        assert [array.shape for array in got.values()] == [(3, 7)], options
    assert mf.parse(path, group="a")["b/long"].shape == (7,)
    assert mf.parse(path, include=["time"])["time"].shape == (7,)


@pytest.mark.parametrize("target", ["o.json", "o.icechunk"])
def test_outputs_are_what_the_source_says(tmp_path, target):
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createVariable("time", "f8", ("time",))[:] = np.arange(5)
        nc.createVariable("short", "i2", ("time",), chunksizes=(3,), fill_value=False)[:2] = 3
        nc.createVariable("text", str, ("time",))[0] = "a"
    mf.write(mf.parse(path), tmp_path / target)
    assert mf.verify(tmp_path / target, samples="all").ok


def test_texts_sequences_and_records(tmp_path):
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createVariable("t", "i4", ("t",))[:] = np.arange(4)
        nc.createVariable("text", str, ("t",))[0:2] = np.array(["a", "bc"], object)
        nc.createVariable("filled", str, ("t",), fill_value="zz")[0] = "a"
        record = nc.createCompoundType(np.dtype([("a", "i4"), ("b", "f4")]), "record_t")
        nc.createVariable("record", record, ("t",))[0] = np.array((1, 2), record.dtype)
        sequence = nc.createVLType("i2", "sequence_t")
        nc.createVariable("sequence", sequence, ("t",))[0] = np.array([1, 2], "i2")
        labels = nc.createEnumType("u1", "label_t", {"A": 3, "B": 7})
        nc.createVariable("label", labels, ("t",), fill_value=7)[0] = 3
    got = read_all(path)[1]
    assert got["text"].tolist() == ["a", "bc", "", ""]
    assert got["filled"].tolist() == ["a", "zz", "zz", "zz"]
    assert got["record"].tolist() == [(1, 2.0), (0, 0.0), (0, 0.0), (0, 0.0)]
    assert [list(one) for one in got["sequence"]] == [[1, 2], [], [], []]
    assert got["label"].tolist() == [3, 7, 7, 7]


def with_stale_bytes(path, *, filters, rows=5, length=8):
    """A dataset of three of `length` records; what it was before reaches over the end of its second chunk."""
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", 2)
        nc.createVariable("t", "i4", ("t",))[:] = np.arange(length)
        nc.createVariable("v", "i4", ("t", "x"), fill_value=-9, chunksizes=(2, 2), zlib=filters)[0:3] = 1
    with h5py.File(path, "a") as file:
        raw = np.arange(4, dtype="<i4").reshape(2, 2)
        shuffled = np.ascontiguousarray(raw.reshape(-1).view("u1").reshape(4, 4).T).tobytes()
        stored = zlib.compress(shuffled) if filters else raw.tobytes()
        file["v"].id.write_direct_chunk((2, 0), stored)


@pytest.mark.parametrize("filters", [False, True])
def test_what_lies_in_a_chunk_beyond_the_end_is_not_read(tmp_path, filters):
    path = tmp_path / "f.nc"
    with_stale_bytes(path, filters=filters)
    tree = check(path)
    assert tree["v"].manifest.inlined.tolist() == [False, True, False, False]
    with pytest.raises(mf.UnsupportedFeatureError, match="reach over the end of a dataset"):
        mf.parse(path, limits=mf.Limits(max_inline_bytes=4))


def test_encoding_chunks_stops_at_the_limit_and_is_done_once_for_equal_ones(tmp_path, monkeypatch):
    """HDF5 reads zeros in chunks that were never written, netCDF its default beyond the end: all become chunks again."""
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createVariable("t", "i4", ("t",))[:] = np.arange(99)
    with h5py.File(path, "a") as file:
        for number, name in enumerate(("equal", "different")):
            dataset = file.create_dataset(
                name, (70, 200), "i2", maxshape=(None, 200), chunks=(64, 1), compression="gzip"
            )
            dataset[69] = 1 + np.arange(200) * number
            dataset.dims[0].attach_scale(file["t"])
    encoded = []

    def encode(dataset, plain, mask):
        encoded.append(dataset.path)
        return encode_chunk(dataset, plain, mask)

    monkeypatch.setattr(lengthening, "encode_chunk", encode)
    got = read_all(path)[1]
    with h5py.File(path) as file:
        for name in ("equal", "different"):
            expected = np.full((99, 200), -32767, "i2")
            expected[:70] = file[name]
            np.testing.assert_array_equal(got[name], expected)
        stored = sum(file["different"].id.get_chunk_info(number).size for number in range(200))
    assert encoded.count("different") == 201  # and the chunks that were never written
    assert encoded.count("equal") == 2
    encoded.clear()
    with pytest.raises(mf.UnsupportedFeatureError, match="chunks with values beyond the end of a dataset"):
        mf.parse(path, include=["different"], limits=mf.Limits(max_inline_bytes=stored))
    assert 0 < len(encoded) < 200


def test_shrunken_datasets(tmp_path):
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createVariable("t", "i4", ("t",))[:] = np.arange(9)
        nc.createVariable("v", "f4", ("t",), chunksizes=(4,))[:] = np.arange(9)
    with h5py.File(path, "a") as file:
        file["v"].resize((6,))
    assert check(path)["v"].manifest.stored.tolist() == [True, True, False]


def test_never_written_chunks_inside_and_no_fill_value(tmp_path):
    """HDF5 reads as zeros what netCDF reads as its default fill value beyond the end."""
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createVariable("t", "i4", ("t",))[:] = np.arange(9)
    with h5py.File(path, "a") as file:
        dataset = file.create_dataset("v", (5,), "i2", maxshape=(None,), chunks=(2,), compression="gzip")
        dataset.dims[0].attach_scale(file["t"])
        dataset[2:4] = 1
    got = read_all(path)[1]
    assert got["v"].tolist() == [0, 0, 1, 1, 0, -32767, -32767, -32767, -32767]
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_mask(False)
        assert nc["v"][:].tolist() == got["v"].tolist()


def test_plain_hdf5_keeps_its_lengths(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("t", data=np.arange(5), maxshape=(None,))
        file["t"].make_scale("t")
        file.create_dataset("v", data=np.arange(3), maxshape=(None,)).dims[0].attach_scale(file["t"])
    tree = mf.parse(path)
    assert (tree["v"].shape, tree["v"].dims) == ((3,), ("t",))
    assert [issue.feature for issue in tree.issues] == ["dimension of several lengths"]


def test_fixed_dimensions_keep_their_lengths(tmp_path):
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 5)
        nc.createVariable("x", "i4", ("x",))[:] = np.arange(5)
    with h5py.File(path, "a") as file:
        file.create_dataset("v", data=np.arange(3)).dims[0].attach_scale(file["x"])
    tree = mf.parse(path)
    assert tree["v"].shape == (3,)
    assert [(issue.path, issue.feature) for issue in tree.issues] == [("x", "dimension of several lengths")]


def test_nearly_empty_grids_are_refused(tmp_path):
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name in ("t", "u"):
            nc.createDimension(name, None)
            nc.createVariable(name, "i1", (name,), chunksizes=(1000,))[9999] = 1
        nc.createVariable("v", "i4", ("t", "u"), chunksizes=(1, 1))[0, 0] = 1
        nc.createVariable("never", "i4", ("t", "u"), chunksizes=(1, 1))
    tree = mf.parse(path, on_unsupported="skip")
    assert [(issue.path, issue.feature) for issue in tree.issues] == [("v", "nearly empty chunk grid")]
    assert tree["never"].manifest.nbytes < 1000


def test_datasets_that_are_not_chunked(tmp_path):
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createVariable("t", "i4", ("t",))[:] = np.arange(7)
    with h5py.File(path, "a") as file:
        file.create_dataset("contiguous", data=np.arange(3), fillvalue=-1)
        file.create_dataset("unwritten", (3,), "i4")
        compact = h5p.create(h5p.DATASET_CREATE)
        compact.set_layout(h5d.COMPACT)
        compact.set_fill_value(np.array(-1, "i2"))
        h5d.create(file.id, b"compact", h5t.NATIVE_INT16, h5s.create_simple((3,)), compact).write(
            h5s.ALL, h5s.ALL, np.arange(3, dtype="i2")
        )
        layout = h5py.VirtualLayout((3,), "i8")
        layout[:] = h5py.VirtualSource(file["contiguous"])
        file.create_virtual_dataset("virtual", layout, fillvalue=-2)
        for name in ("contiguous", "unwritten", "compact", "virtual"):
            file[name].dims[0].attach_scale(file["t"])
    got = read_all(path)[1]
    assert got["contiguous"].tolist() == [0, 1, 2, -1, -1, -1, -1]
    assert got["unwritten"].tolist() == [0, 0, 0, *[-2147483647] * 4]
    assert got["compact"].tolist() == [0, 1, 2, -1, -1, -1, -1]
    assert got["virtual"].tolist() == [0, 1, 2, -2, -2, -2, -2]


@pytest.mark.parametrize("is_scale", [False, True])
@pytest.mark.parametrize("length", [3, 5])
def test_fields_of_short_records_are_refused(tmp_path, is_scale, length):
    """Records as groups of arrays: also those that are the dimension themselves, and fields that are records."""
    path = tmp_path / "f.nc"
    kind = np.dtype([("a", "i4"), ("in", [("b", "f8", (2,))]), ("text", h5py.string_dtype())])
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createVariable("h/long", "i4", ("t",))[:] = np.arange(5)
    with h5py.File(path, "a") as file:
        scale, long = file["t"], file["h/long"]
        record = file.create_dataset("g/record", (length,), kind, maxshape=(None,), chunks=(2,))
        if is_scale:
            long.dims[0].detach_scale(scale)
            record.make_scale("record")
            scale = record
            long.dims[0].attach_scale(scale)
            for mark in {"_Netcdf4Coordinates", "_Netcdf4Dimid"} & set(long.attrs):
                del long.attrs[mark]
        else:
            record.dims[0].attach_scale(scale)
    options = {"compounds": "groups", "on_unsupported": "skip"}
    for more in ({}, {"group": "g"}, {"include": ["g/*"]}):
        tree = mf.parse(path, **options, **more)
        refused = [(issue.path, issue.feature) for issue in tree.issues if issue.severity == "refused"]
        prefix = "" if "group" in more else "g/"
        fields = {f"{prefix}record/{name}" for name in ("a", "in/b", "text")}
        if length == 5:
            assert fields <= {name for name, _ in tree.walk_arrays()}
            assert refused == []
        else:
            assert set(refused) == {(name, "record shorter than its unlimited dimension") for name in fields}
            assert not fields & {name for name, _ in tree.walk_arrays()}
