"""Records with fields of any length as groups of arrays: each field equals what h5py reads of it."""

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from examples import examples
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given, settings, strategies as st
from manifestry.testing.refusing import refuses

TEXT = h5py.string_dtype()
NUMBERS = h5py.vlen_dtype(np.dtype("<i4"))
INNER = np.dtype([("y", ">i2"), ("label", TEXT)])
KIND = np.dtype(
    [
        ("id", "<i4"),
        ("name", TEXT),
        ("values", NUMBERS),
        ("grid", ">f8", (2, 3)),
        ("at", h5py.ref_dtype),
        ("inner", INNER),
        ("z", "<c8"),
        ("flag", "?"),
        ("code", "S3"),
        ("texts", TEXT, (2,)),
    ]
)
OPTIONS = [{}, {"chunks": (3,), "compression": "gzip", "shuffle": True}, {"chunks": (2,), "maxshape": (None,)}]


def write_records(file, name="table", count=7, **options):
    dataset = file.create_dataset(name, (count,), KIND, **options)
    target = file.require_group("some/where")
    for i in range(count - 1):  # the last is never written
        row = np.zeros(1, KIND)
        row["id"], row["grid"], row["z"], row["flag"], row["code"] = i, i + 0.5, i + 1j, i % 2, b"ab"
        row["name"][0], row["values"][0] = "zwölf" * i, np.arange(i, dtype="<i4")
        row["inner"]["y"], row["inner"]["label"][0] = i * 300, f"in {i}"
        row["texts"][0, 0], row["texts"][0, 1] = "", f"t{i}"
        row["at"][0] = target.ref if i % 2 else h5py.Reference()
        dataset[i : i + 1] = row
    dataset.attrs["title"] = "records"
    dataset.attrs["units"] = np.float32(2)
    return dataset


def opened(path, **options):
    tree = mf.parse(path, compounds="groups", **options)
    return tree, zarr.open_group(mf.open_store(tree), mode="r")


def texts(column):
    return [v.decode() if isinstance(v, bytes) else (v or "") for v in column.reshape(-1).tolist()]


def check(group, dataset):
    records = dataset[()]
    for name in ("id", "grid", "z", "flag", "code"):
        got = group[name][...]
        assert got.dtype == records[name].dtype.newbyteorder("="), name
        assert got.tobytes() == records[name].astype(got.dtype).tobytes(), name
    assert group["name"][...].reshape(-1).tolist() == texts(records["name"])
    assert group["texts"][...].reshape(-1).tolist() == texts(records["texts"])
    assert group["inner/y"][...].tolist() == records["inner"]["y"].tolist()
    assert group["inner/label"][...].reshape(-1).tolist() == texts(records["inner"]["label"])
    for got, expected in zip(group["values"][...].reshape(-1), records["values"].reshape(-1), strict=True):
        assert got.tolist() == list(expected if expected is not None else ())
    where = [dataset.file[ref].name if ref else "" for ref in records["at"].reshape(-1)]
    assert group["at"][...].reshape(-1).tolist() == where


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_fields_are_arrays(tmp_path, options, libver):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver=libver) as file:
        write_records(file, **options)
        file["plain"] = np.zeros(3, [("a", "i4"), ("b", "f8")])
    tree, root = opened(path)
    with h5py.File(path) as file:
        check(root["table"], file["table"])
    assert dict(root["table"].attrs) == {"title": "records", "units": 2.0}
    assert tree["table/grid"].shape == (7, 2, 3)
    assert tree["plain"].dtype.names == ("a", "b")
    assert [i.feature for i in tree.issues] == ["references as elements"]


def test_two_dimensions_and_one_record(tmp_path):
    path = tmp_path / "f.h5"
    kind = np.dtype([("a", "<i4"), ("t", TEXT)])
    with h5py.File(path, "w") as file:
        file.create_dataset("two", (2, 3), kind)[1] = np.array([(1, "x"), (2, "yy"), (3, "")], kind)
        file.create_dataset("one", (), kind)[()] = np.array((5, "alone"), kind)
        file.create_dataset("none", (0,), kind, maxshape=(None,))
        file.create_dataset("single", (), [("v", NUMBERS)])
    _, root = opened(path, on_unsupported="skip")
    assert root["two/a"][...].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert root["two/t"][...].tolist() == [["", "", ""], ["x", "yy", ""]]
    assert root["one/a"][()] == 5
    assert root["one/t"][()] == "alone"
    assert root["none/a"].shape == (0,)
    with pytest.raises(mf.UnsupportedFeatureError, match="single record with a variable-length sequence"):
        mf.parse(path, compounds="groups")


def test_the_default_refuses_and_names_the_option(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("sequences", (2,), [("a", NUMBERS)])
        file.create_dataset("references", (2,), [("a", h5py.ref_dtype)])
        file.create_dataset("regions", (2,), [("a", h5py.regionref_dtype), ("b", "i4")])
    for name in ("sequences", "references"):
        with pytest.raises(mf.UnsupportedFeatureError) as error:
            mf.parse(path, include=[name])
        assert "compounds='groups'" in error.value.hint
        assert opened(path, include=[f"{name}/*", name])[1][f"{name}/a"].shape == (2,)
    tree, root = opened(path, on_unsupported="skip")
    assert root["regions/b"][...].tolist() == [0, 0]
    assert [issue.path for issue in tree.issues if issue.severity == "refused"] == ["regions/a"]
    with pytest.raises(mf.UnsupportedFeatureError, match="references as elements"):
        mf.parse(path, compounds="groups", references="refuse", include=["references/*"])


def test_fill_values_are_those_of_the_field(tmp_path):
    path = tmp_path / "f.h5"
    short = h5t.STD_I32LE.copy()
    short.set_precision(24)
    short.set_size(3)  # refused by itself, and so are structs of it
    tid = h5t.create(h5t.COMPOUND, 15)
    for name, at, member in ((b"a", 0, h5t.STD_I32BE), (b"short", 4, short), (b"b", 7, h5t.IEEE_F64LE)):
        tid.insert(name, at, member)
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk((2,))
    properties.set_fill_value(np.array((7, 5, 2.5), [("a", "i4"), ("short", "i4"), ("b", "f8")]))
    with h5py.File(path, "w") as file:
        h5d.create(file.id, b"d", tid, h5s.create_simple((5,)), properties)
    tree, root = opened(path, on_unsupported="skip")
    assert root["d/a"][...].tolist() == [7] * 5
    assert root["d/b"][...].tolist() == [2.5] * 5
    assert (tree["d/a"].metadata.fill_value, tree["d/b"].metadata.fill_value) == (7, 2.5)
    assert [i.path for i in tree.issues if i.severity == "refused"] == ["d/short"]


def test_names_dimensions_and_links(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(4.0)
        file["x"].make_scale("x")
        file.create_dataset("g/d", (4,), [("a", "i4"), ("..", "i2"), ("t", TEXT)])
        file["g/d"].dims[0].attach_scale(file["x"])
        file["again"] = file["g/d"]
        file["other"] = np.zeros((4, 9))
    tree, root = opened(path, on_unsupported="skip")
    assert tree["g/d/a"].dims == tree["g/d/t"].dims == ("x",)
    assert set(root["again"].array_keys()) == {"a", "t"}
    assert [i.path for i in tree.issues if i.severity == "refused"] == ["again/..", "g/d/.."]
    assert "DIMENSION_LIST" not in root["g/d"].attrs
    whole = mf.parse(path, include=["other"])
    assert tree["other"].dims == whole["other"].dims


def test_attributes_of_excluded_records_are_not_reported(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        table = write_records(file)
        table.attrs["region"] = table.regionref[:2]
        file["other"] = np.zeros(3)
    assert "table@region" in {issue.path for issue in opened(path)[0].issues}
    tree = mf.parse(path, compounds="groups", exclude=["table"])
    assert ([*tree.arrays], tree.issues) == (["other"], ())


def test_limits_count_the_bytes_of_a_field(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (1000,), [("a", "i4"), ("b", "f8", (4,)), ("t", TEXT)])
    tree = mf.parse(path, compounds="groups", on_unsupported="skip", limits=mf.Limits(max_inline_bytes=20_000))
    assert set(tree["d"].arrays) == {"a", "t"}
    (issue,) = [i for i in tree.issues if i.severity == "refused"]
    assert (issue.path, issue.feature) == ("d/b", "field of a record")


def test_virtual_datasets_of_records_are_refused(tmp_path):
    path = tmp_path / "f.h5"
    kind = np.dtype([("a", "i4"), ("t", TEXT)])
    layout = h5py.VirtualLayout((3,), kind)
    layout[:] = h5py.VirtualSource(".", "d", (3,), kind)
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("d", (3,), kind)
        file.create_virtual_dataset("v", layout)
    with pytest.raises(mf.UnsupportedFeatureError, match="fields of records of a virtual dataset"):
        mf.parse(path, compounds="groups")


@pytest.mark.parametrize(
    ("fmt", "suffix", "options"),
    [("icechunk", ".icechunk", {}), ("kerchunk-json", ".json", {}), ("kerchunk-json", ".json", {"zarr_format": 3})],
)
def test_outputs_hold_the_groups(tmp_path, fmt, suffix, options):
    path = tmp_path / "f.h5"
    kind = np.dtype([("a", ">i4"), ("t", TEXT), ("at", h5py.ref_dtype), ("g", "<f4", (2,))])
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("table", (5,), kind)
        dataset[2] = (1, "zwölf", file.ref, (1, 2))
    target = tmp_path / f"out{suffix}"
    mf.write(mf.parse(path, compounds="groups"), target, format=fmt, **options)
    root = zarr.open_group(mf.open_store(mf.parse(target)), mode="r")["table"]
    assert root["a"][...].tolist() == [0, 0, 1, 0, 0]
    assert root["t"][...].tolist() == ["", "", "zwölf", "", ""]
    assert root["at"][...].tolist() == ["", "", "/", "", ""]
    assert root["g"][2].tolist() == [1, 2]


FIXED = ["i1", ">i2", "<u4", ">f8", "<f4", "?", "S4", "<c16"]
FIELDS = st.sampled_from([*FIXED, TEXT, NUMBERS])


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.tuples(FIELDS, st.booleans()), min_size=1, max_size=6), st.sampled_from(OPTIONS), st.data())
def test_any_fields(tmp_path_factory, fields, options, data):
    path = tmp_path_factory.mktemp("records") / "f.h5"
    members = [
        (f"f{i}", np.dtype([("n", "<i2"), ("m", kind)]) if nested else kind) for i, (kind, nested) in enumerate(fields)
    ]
    kind = np.dtype([*members, ("last", TEXT)])
    count = data.draw(st.integers(3, 6))
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", (count,), kind, **options)
        for i in range(count):
            row = np.zeros(1, kind)
            row["last"][0] = f"row {i}"
            for n, (member, nested) in enumerate(fields):
                value = f"{n} {i}" if member is TEXT else np.arange(i, dtype="i4") if member is NUMBERS else i % 2
                column = row[f"f{n}"]["m"] if nested else row[f"f{n}"]
                column[0] = value
                if nested:
                    row[f"f{n}"]["n"] = i
            dataset[i : i + 1] = row
    _, root = opened(path)
    with h5py.File(path) as file:
        records = file["d"][()]
    for n, (member, nested) in enumerate(fields):
        column = records[f"f{n}"]["m"] if nested else records[f"f{n}"]
        got = root[f"d/f{n}/m" if nested else f"d/f{n}"][...]
        if member is TEXT:
            assert got.tolist() == texts(column)
        elif member is NUMBERS:
            assert [one.tolist() for one in got] == [one.tolist() for one in column]
        else:
            assert got.tobytes() == column.astype(got.dtype).tobytes()


def test_verify_reads_the_fields(tmp_path):
    path, target = tmp_path / "f.h5", tmp_path / "out.icechunk"
    with h5py.File(path, "w") as file:
        write_records(file, "group/table", chunks=(2,))
    mf.convert(path, target, read={"compounds": "groups"})
    report = mf.verify(target)
    assert {array.path for array in report.arrays} >= {"group/table/name", "group/table/inner/label", "group/table/at"}
    assert not [array for array in report.arrays if array.failed or array.mismatches], report


def test_damaged_records_are_named_errors(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        write_records(file)
    data = path.read_bytes()
    at = data.index(b"GCOL")
    path.write_bytes(data[: at + 30] + bytes(200) + data[at + 230 :])
    with refuses():
        mf.parse(path, compounds="groups")
