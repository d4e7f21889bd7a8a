"""Documents of HDF5 files: the same tree as from the file itself, and the values that h5py reads."""

from __future__ import annotations

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings, strategies as st
from manifestry.model.attributes import attributes_equal

FILTERS = {
    "none": {},
    "deflate": {"compression": "gzip", "compression_opts": 5},
    "shuffle": {"shuffle": True, "compression": "gzip"},
    "fletcher32": {"shuffle": True, "compression": "gzip", "fletcher32": True},
    "only fletcher32": {"fletcher32": True},
}
TYPES = ["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<i8", "<u8", "<f4", ">f4", "<f8", ">f8"]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("filters", FILTERS)
def test_types_and_filters(tmp_path, describe, values, filters):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        for dtype in TYPES:
            name = dtype.replace("<", "l").replace(">", "b")
            file.create_dataset(name, data=numbers((10, 7), dtype), chunks=(4, 3), **FILTERS[filters])
            if filters == "none":
                file.create_dataset(f"scalar_{name}", data=numbers((), dtype))
                file.create_dataset(f"contiguous_{name}", data=numbers((3, 5), dtype))
    tree = mf.parse(describe(path))
    got = values(tree)
    with h5py.File(path) as file:
        assert got.keys() == set(file)
        for name, data in got.items():
            assert data.dtype == file[name].dtype.newbyteorder("=")
            np.testing.assert_array_equal(data, file[name][()])
    assert tree == mf.parse(path, format="hdf5")


def test_groups_dimensions_attributes_and_missing_chunks(tmp_path, describe, values):
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.title = "root"
        nc.createDimension("time", None)
        nc.createDimension("x", 20)
        t = nc.createVariable("time", "f8", ("time",), fill_value=-1.0)
        t.units = "days since 2000-01-01"
        t[0:3] = [1, 2, 3]
        v = nc.createVariable("v", "f4", ("time", "x"), zlib=True, chunksizes=(2, 8), fill_value=-1.2676506e30)
        v.valid_range = np.array([0, 5], "i2")
        v.factor = np.float32(0.1)
        v[0, 0:8] = np.arange(8)
        v[2, 17] = 7
        g = nc.createGroup("g/h")
        g.note = "deep"
        g.createVariable("w", "i2", ("x",), fill_value=-7)[3] = 1
    tree = mf.parse(describe(path))
    assert tree == mf.parse(path, format="hdf5")
    assert tree["g/h/w"].dims == ("x",)
    assert tree["v"].metadata.fill_value == np.float32(-1.2676506e30)
    assert tree["v"].attributes["factor"] == np.float32(0.1)
    got = values(tree)
    with h5py.File(path) as file:
        for name in ("v", "time", "g/h/w"):
            np.testing.assert_array_equal(got[name], file[name][()])


def test_skipped_filters(tmp_path, describe, values):
    """A filter mask that all chunks share shortens the pipeline; one that some have makes those chunks inline."""
    path = tmp_path / "masked.h5"
    data = numbers((4, 100), "<i4")
    with h5py.File(path, "w") as file:
        for name, masks in {"all": (3, 3, 3, 3), "some": (0, 1, 2, 3)}.items():
            item = file.create_dataset(name, (4, 100), "<i4", chunks=(1, 100), shuffle=True, compression="gzip")
            for row, mask in enumerate(masks):
                raw = data[row].tobytes()
                if not mask & 1:
                    raw = data[row].view("u1").reshape(100, 4).T.tobytes()
                if not mask & 2:
                    import zlib

                    raw = zlib.compress(raw, 4)
                item.id.write_direct_chunk((row, 0), raw, mask)
    tree = mf.parse(describe(path))
    got = values(tree)
    np.testing.assert_array_equal(got["all"], data)
    np.testing.assert_array_equal(got["some"], data)
    assert [codec.name for codec in tree["all"].metadata.codecs] == ["bytes"]
    assert tree["some"].manifest.inlined.tolist() == [False, True, True, True]
    with pytest.raises(mf.UnsupportedFeatureError, match="more bytes to copy"):
        mf.parse(describe(path), limits=mf.Limits(max_inline_bytes=100))


def assert_same(documented, stored, values):
    """The same tree: every field of every array; chunks that one side holds inline are compared by their elements."""
    assert dict(documented.attributes) == dict(stored.attributes)
    ours, theirs = dict(documented.walk_arrays()), dict(stored.walk_arrays())
    assert ours.keys() == theirs.keys()
    read, expected = values(documented), values(stored)
    inlined = []
    for path, array in ours.items():
        other = theirs[path]
        if bool(array.manifest.inlined.any()) or bool(other.manifest.inlined.any()):
            inlined.append(path)
            mine, yours = array.metadata, other.metadata
            assert (mine.dtype, mine.shape, mine.dims) == (yours.dtype, yours.shape, yours.dims), path
            assert attributes_equal(mine.attributes, yours.attributes), path
        else:
            assert array == other, path
        np.testing.assert_array_equal(read[path], expected[path], err_msg=path)
    return inlined


RECORD = np.dtype([("id", "<i4"), ("xyz", "<f4", (3,)), ("sub", [("a", "<i2"), ("b", "<u2", (2,))], (2,))])


@pytest.mark.parametrize("rows", [5, 12_000])
def test_types_that_need_more_than_numbers(tmp_path, describe, values, rows):
    """Small arrays, which the hdf5 parser may copy, and arrays that both refer to."""
    path = tmp_path / "types.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        gaps = np.dtype({"names": ["a", "b"], "formats": ["<i2", ("<f8", (2,))], "offsets": [0, 8], "itemsize": 32})
        for name, dtype in {"packed": RECORD, "big": RECORD.newbyteorder(">"), "gaps": gaps}.items():
            records = np.frombuffer(rng.integers(1, 60, rows * dtype.itemsize).astype("u1").tobytes(), dtype)
            file.create_dataset(name, data=records)
            file.create_dataset(f"{name}_chunked", data=records, chunks=(rows // 2,), compression="gzip", shuffle=True)
        file["complex"] = np.arange(rows, dtype="c16") * (1 - 2j)
        texts = np.array([f"{i:05d}"[: 1 + i % 5] for i in range(rows)], "S5")
        for pad in ("NULLPAD", "NULLTERM", "SPACEPAD"):
            kind = h5py.h5t.C_S1.copy()
            kind.set_size(6)
            kind.set_strpad(getattr(h5py.h5t, f"STR_{pad}"))
            space = h5py.h5s.create_simple((rows,))
            dataset = h5py.Dataset(h5py.h5d.create(file.id, f"text_{pad}".encode(), kind, space))
            dataset[...] = texts
        file["scalar_text"] = np.bytes_(b"abc")
        file.create_dataset("free_text", data=[t.decode() * 3 for t in texts[:50]], dtype=h5py.string_dtype())
        file["flags"] = rng.integers(0, 2, rows).astype("?")
        colours = h5py.enum_dtype({"RED": 0, "DARK GREEN": 7}, basetype="u2")
        file.create_dataset("colours", (rows,), dtype=colours, data=np.full(rows, 7, "u2"))
        file["opaque"] = np.void(b"12345")
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        small = h5py.h5d.create(file.id, b"compact", h5py.h5t.STD_I16BE, h5py.h5s.create_simple((3, 2)), compact)
        small.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(6, dtype="i2").reshape(3, 2))
        file.create_dataset("filled", (rows, 3), "<f4", fillvalue=-9999.9, chunks=(2, 3))
        file.create_dataset("empty", (0, 3), "<i4", maxshape=(None, 3))
        file["group/deep/numbers"] = np.arange(rows, dtype=">u8")
        file["group"].attrs["note"] = "text"
        file["group/deep/numbers"].attrs["range"] = np.array([1.5, 2.5], "f4")
    inlined = assert_same(mf.parse(describe(path)), mf.parse(path, format="hdf5"), values)
    small = {"free_text", "compact"}
    assert small <= set(inlined)
    assert (set(inlined) == small) == (rows > 10)


def test_twice_deflated_and_dimensions_without_variables(tmp_path, describe, values):
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 6)
        nc.createDimension("lonely", 2)
        nc.createVariable("v", "f4", ("lonely", "x"), zlib=True)[...] = 3
        group = nc.createGroup("g")
        group.createDimension("y", 3)
        group.createVariable("w", "i1", ("y", "x"))[...] = 4
    with h5py.File(path, "a") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2, 4))
        plist.set_deflate(6)
        plist.set_deflate(1)
        twice = h5py.h5d.create(file.id, b"twice", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((4, 4)), plist)
        h5py.Dataset(twice)[...] = np.arange(16).reshape(4, 4)
    tree = mf.parse(describe(path))
    assert assert_same(tree, mf.parse(path, format="hdf5"), values) == []
    assert {issue.path for issue in tree.issues} == {"x", "lonely", "g/y"}
    assert tree["twice"].dims == ("phony_dim_3", "phony_dim_4")


@pytest.mark.parametrize("suffix", [".dmrpp", ".dap.dmrpp", ".dmrpp.xml", ".dap.dmrpp.xml"])
def test_sidecars_are_found_beside_data_files(tmp_path, describe, suffix):
    path = tmp_path / "granule.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(5)
    with pytest.raises(mf.SourceError, match="none beside it"):
        mf.parse(path, format="dmrpp")
    document = describe(path, suffix)
    tree = mf.parse(path, format="dmrpp")
    assert tree == mf.parse(document)
    assert tree["a"].manifest.files.urls == (f"file://{path}",)
    assert tree["a"].manifest.files.sizes.tolist() == [path.stat().st_size]


def test_selection_and_groups(tmp_path, describe):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(5)
        file["g/b"] = np.arange(5)
        file["g/h/c"] = np.arange(6)
    document = describe(path)
    assert [p for p, _ in mf.parse(document, include=["b", "c"]).walk_arrays()] == ["g/b", "g/h/c"]
    tree = mf.parse(document, group="g")
    assert [p for p, _ in tree.walk_arrays()] == ["b", "h/c"]
    with pytest.raises(mf.OptionError, match="no group 'x'"):
        mf.parse(document, group="x")
    split = mf.parse(document, chunk_bytes=16)["g/h/c"]
    assert (split.metadata.chunk_shape, split.manifest.stored_count) == ((2,), 3)


def test_small_arrays_are_copied_on_request(tmp_path, describe, values):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("time", data=np.arange(10.0), chunks=(3,), compression="gzip")
        file.create_dataset("few", (6, 4), "i2", chunks=(2, 2), fillvalue=7)[0:2, 0:2] = 1
        file["large"] = np.arange(1000)
    document = describe(path)
    tree = mf.parse(document, inline_below=100)
    assert [len(array.manifest.files) for _, array in tree.walk_arrays()] == [0, 1, 0]
    assert tree == mf.parse(path, format="hdf5", inline_below=100)
    assert values(tree)["time"].tolist() == list(range(10))
    path.unlink()
    with pytest.raises(mf.UnsupportedFeatureError, match="2 parts cannot be expressed"):
        mf.parse(document, inline_below=100)


def test_reading_from_an_object_store(tmp_path, describe, values):
    from obstore.store import MemoryStore

    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(5)
    memory = MemoryStore()
    memory.put("d/file.h5", path.read_bytes())
    memory.put("d/file.h5.dmrpp", describe(path).read_bytes())
    stores = {"memory://m": memory}
    tree = mf.parse("memory://m/d/file.h5.dmrpp", stores=stores)
    assert tree["a"].manifest.files.sizes.tolist() == [path.stat().st_size]
    import zarr

    root = zarr.open_group(mf.open_store(tree, stores=stores), mode="r")
    assert root["a"][...].tolist() == [0, 1, 2, 3, 4]


def test_the_hdf5_parser_prefers_sidecars_on_request(tmp_path, describe):
    path = tmp_path / "granule.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.arange(100), chunks=(10,), compression="gzip")
        file["g/b"] = np.arange(5)
    plain = mf.parse(path)
    without = mf.parse(path, prefer_sidecar=True)
    assert [issue.feature for issue in without.issues] == ["DMR++ sidecar that is not used"]
    assert without == plain
    document = describe(path)
    tree = mf.parse(path, prefer_sidecar=True)
    assert tree == plain
    assert tree.provenance[0].parser == "dmrpp"
    assert list(mf.parse(path, prefer_sidecar=True, group="g").arrays) == ["b"]
    document.write_text(document.read_text().replace('"deflate"', '"szip"').replace("'deflate'", "'szip'"))
    refused = mf.parse(path, prefer_sidecar=True)
    assert refused == plain
    assert [issue.feature for issue in refused.issues] == ["DMR++ sidecar that is not used"]
    document.write_text("<Dataset dmrpp")
    assert mf.parse(path, prefer_sidecar=True) == plain


@st.composite
def short_variables(draw):
    """Group, dimensions, extents and storage of variables, some shorter than their unlimited dimensions."""
    return [
        {
            "group": draw(st.sampled_from(["/", "/g", "/g/h"])),
            "dtype": draw(st.sampled_from(["i1", "u2", "i4", "f4", "f8"])),
            "dims": draw(st.sampled_from([("t",), ("t", "x"), ("x", "t"), ("t", "u"), ("u",)])),
            "extents": draw(st.tuples(st.integers(0, 6), st.integers(0, 6))),
            "zlib": draw(st.booleans()),
            "fletcher32": draw(st.booleans()),
        }
        for _ in range(draw(st.integers(1, 4)))
    ]


@given(short_variables())
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_unlimited_dimensions(tmp_path_factory, describe, values, variables):
    """Documents have the lengths of netCDF, and chunks as far as the datasets go; so has the parser of the file."""
    path = tmp_path_factory.mktemp("u") / "file.nc"
    sizes = {"t": None, "u": None, "x": 2}
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in sizes.items():
            nc.createDimension(name, size)
        for number, item in enumerate(variables):
            variable = nc.createGroup(item["group"]).createVariable(
                f"v{number}", item["dtype"], item["dims"], zlib=item["zlib"], fletcher32=item["fletcher32"],
                fill_value=7, chunksizes=(2,) * len(item["dims"]),
            )  # fmt: skip
            extent = [n if sizes[dim] is None else 2 for n, dim in zip(item["extents"], item["dims"], strict=False)]
            variable[tuple(map(slice, extent))] = np.arange(np.prod(extent)).reshape(extent)
    documented, stored = mf.parse(describe(path)), mf.parse(path, format="hdf5")
    assert assert_same(documented, stored, values) == []


def test_a_dimension_that_is_declared_too_short_is_refused(tmp_path, describe):
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", None)
        nc.createVariable("long", "i4", ("t",), chunksizes=(2,))[:] = np.arange(6)
        nc.createVariable("short", "i4", ("t",), chunksizes=(2,))[:] = np.arange(3)
    document = describe(path)
    document.write_text(
        document.read_text().replace("<Dimension name=\"t\" size='6'", "<Dimension name=\"t\" size='3'")
    )
    with pytest.raises(mf.MalformedFileError, match="outside axis 0"):
        mf.parse(document)


def named_like_dimensions(path):
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("node", 3)
        nc.createDimension("three", 2)
        nc.createVariable("node", "i4", ("three", "node"))[:] = np.arange(6).reshape(2, 3)
        nc.createVariable("w", "f8", ("node",))[:] = 1
        group = nc.createGroup("g")
        group.createDimension("len", 2)
        group.createVariable("len", "i2", ("node", "len"))[:] = 5
    return path


@pytest.mark.parametrize("of_document", ["of HDF5", "of netCDF"])
def test_variables_with_the_name_of_a_dimension(tmp_path, describe, values, of_document):
    path = named_like_dimensions(tmp_path / "file.nc")
    document = describe(path)
    text = document.read_text().replace(
        '<Float64 name="w">', '<Float64 name="w"><Map name="/_nc4_non_coord_node"/><Map name="/node"/>'
    )
    note = "<Attribute name='origname' type='String'><Value>_nc4_non_coord_node</Value></Attribute>"
    text = text.replace('<Int32 name="_nc4_non_coord_node">', f'<Int32 name="_nc4_non_coord_node">{note}')
    if of_document == "of netCDF":  # what stands for the dimension alone is left out then
        text = text.replace('<Float32 name="node"><Dim name="/node"/></Float32>', "")
        text = text.replace('<Float32 name="len"><Dim name="/g/len"/></Float32>', "").replace(
            'name="_nc4_non_coord_', 'name="'
        )
    document.write_text(text)
    documented, stored = mf.parse(document), mf.parse(path, format="hdf5")
    assert assert_same(documented, stored, values) == []
    assert sorted(name for name, _ in documented.walk_arrays()) == ["g/len", "node", "w"]
    for options in ({"include": ["node"]}, {"exclude": ["node"]}, {"group": "g"}):
        ours, theirs = mf.parse(document, **options), mf.parse(path, format="hdf5", **options)
        assert [name for name, _ in ours.walk_arrays()] == [name for name, _ in theirs.walk_arrays()]


def test_two_variables_of_one_name(tmp_path, describe):
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 2)
        nc.createVariable("x", "i4", ("x",))[:] = 1
    with h5py.File(path, "a") as file:
        file["_nc4_non_coord_x"] = np.arange(2)
        file["_nc4_non_coord_y"] = np.arange(2)
    document = describe(path)
    for source in (document, path):
        with pytest.raises(mf.UnsupportedFeatureError, match="beside another of its name"):
            mf.parse(source)
    assert set(mf.parse(document, on_unsupported="skip").arrays) == {"x", "_nc4_non_coord_y"}
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["_nc4_non_coord_y"] = np.arange(2)
    assert set(mf.parse(describe(tmp_path / "plain.h5")).arrays) == {"_nc4_non_coord_y"}
