"""Small records that interleave: copied, referred to one by one, or taken by a codec out of many at once."""

from __future__ import annotations

import subprocess
import sys

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
OUTPUTS = [
    ("icechunk", ".icechunk", {}),
    ("kerchunk-json", ".json", {}),
    ("kerchunk-json", ".json", {"zarr_format": 3}),
    ("kerchunk-parquet", ".parq", {}),
]


def some(dtype, shape, seed=0):
    raw = np.random.default_rng(seed).integers(65, 90, (*shape, np.dtype(dtype).itemsize), "u1")
    return raw.view(dtype).reshape(shape)


def write_records(path, records, fmt="NETCDF3_CLASSIC", variables=None, seed=0):
    """A file whose record variables have pieces of the given types and lengths."""
    variables = variables or {"mass": ("f4", 1), "time": ("f8", 1), "flag": ("i1", 1), "triple": ("i2", 3)}
    with netCDF4.Dataset(path, "w", format=fmt) as nc:
        nc.createDimension("point", None)
        for name, (dtype, length) in variables.items():
            if length > 1:
                nc.createDimension(f"{name}_x", length)
            nc.createVariable(name, dtype, ("point", f"{name}_x") if length > 1 else ("point",))
        for i, (name, (dtype, length)) in enumerate(variables.items()):
            nc[name].set_auto_maskandscale(False)
            nc[name][0:records] = some(dtype, (records, length) if length > 1 else (records,), seed + i)
    return path


def is_copied(array):
    return array.manifest.grid_shape[0] == 1 and bool(array.manifest.inlined.all())


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_type_is_copied_in_one_chunk_and_reported_once(tmp_path, check, fmt):
    types = ALL_TYPES if fmt == "NETCDF3_64BIT_DATA" else CLASSIC_TYPES
    variables = {f"v_{dtype}_{n}": (dtype, n) for dtype in types for n in (1, 3)}
    path = write_records(tmp_path / "all.nc", 1000, fmt, variables)
    tree = mf.parse(path)
    check(tree, path)
    assert all(is_copied(array) for array in tree.arrays.values())
    (issue,) = tree.issues
    assert (issue.severity, issue.feature, issue.path) == ("reported", "small records copied", "")
    copied = sum(array.metadata.nbytes for array in tree.arrays.values())
    assert "1000 records of v_i1_1" in issue.message
    assert f" {copied} bytes" in issue.message


@pytest.mark.parametrize("records", ["references", "strided"])
def test_what_is_asked_for_is_done(tmp_path, check, records):
    path = write_records(tmp_path / "r.nc", 1001)
    tree = mf.parse(path, records=records)
    check(tree, path)
    assert not tree.issues
    assert not any(array.manifest.inline for array in tree.arrays.values())
    assert tree["mass"].manifest.size == (1001 if records == "references" else 1)


def test_only_small_records_are_copied(tmp_path, check):
    path = write_records(tmp_path / "r.nc", 200, variables={"small": ("f4", 15), "large": ("f4", 16), "one": ("i1", 1)})
    tree = mf.parse(path)
    check(tree, path)
    assert {name for name, array in tree.arrays.items() if is_copied(array)} == {"small", "one"}
    assert tree["large"].manifest.size == 200
    assert not mf.parse(path, include=["large"]).issues


def test_few_records_and_one_record_variable_are_references(tmp_path, check):
    few = write_records(tmp_path / "few.nc", 64)
    one = write_records(tmp_path / "one.nc", 5000, variables={"only": ("i2", 3)})
    for path, records in ((few, 64), (one, 1)):
        tree = mf.parse(path)
        check(tree, path)
        assert not tree.issues
        assert not any(array.manifest.inline for array in tree.arrays.values())
        assert {array.manifest.size for array in tree.arrays.values()} == {records}


def test_the_limit_counts_the_bytes_that_are_read(tmp_path, check):
    path = write_records(tmp_path / "r.nc", 1000)
    record = 4 + 8 + 4 + 8
    tree = mf.parse(path, copy_records=1000 * record - 10)
    assert not any(array.manifest.inline for array in tree.arrays.values())
    (issue,) = tree.issues
    assert issue.feature == "a reference for each of many small records"
    assert "copy_records" in str(issue)
    assert "strided" in issue.hint
    check(tree, path)
    assert is_copied(mf.parse(path, copy_records=1000 * record)["mass"])
    assert not is_copied(mf.parse(path, limits=mf.Limits(max_inline_bytes=100))["mass"])


def test_streaming_files_have_as_many_records_as_bytes(tmp_path, check):
    path = write_records(tmp_path / "r.nc", 500, variables={"a": ("i2", 1), "b": ("f8", 1)})
    unfinished = tmp_path / "unfinished.nc"
    data = path.read_bytes()
    unfinished.write_bytes(data[:4] + b"\xff\xff\xff\xff" + data[8:])
    tree = mf.parse(unfinished)
    assert is_copied(tree["a"])
    check(tree, path)
    check(mf.parse(unfinished, records="strided", records_per_chunk=7), path)


@pytest.mark.parametrize("missing", [1, 3, 5, 12, 13, 12 * 300 + 2, 12 * 500])
@pytest.mark.parametrize("records", ["auto", "strided", "references"])
def test_truncated_files_read_as_netcdf_c_reads_them(tmp_path, values, missing, records):
    path = write_records(tmp_path / "r.nc", 500, variables={"a": ("i2", 1), "b": ("f8", 1)})
    truth = {"a": some("i2", (500,), 0), "b": some("f8", (500,), 1)}
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - missing])
    held = np.frombuffer(data[len(data) - 6000 : len(data) - missing].ljust(6000, b"\0"), "V12")
    pieces = np.frombuffer(held.tobytes(), [("a", ">i2"), ("pad", "V2"), ("b", ">f8")])
    got = values(mf.parse(path, records=records))
    for name in truth:
        assert got[name].tobytes() == pieces[name].astype(got[name].dtype).tobytes(), name
    whole = 500 - -(-missing // 12)
    filled = values(mf.parse(path, records=records, truncated="fill"))
    for name, fill in (("a", -32767), ("b", 9.969209968386869e36)):
        assert filled[name][:whole].tobytes() == truth[name][:whole].tobytes()
        assert (filled[name][whole + 1 :] == fill).all()
    with pytest.raises(mf.UnsupportedFeatureError, match="cut off"):
        mf.parse(path, records=records, truncated="refuse")


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@hypothesis.given(data=st.data())
def test_any_records(tmp_path, check, data):
    fmt = data.draw(st.sampled_from(FORMATS))
    types = ALL_TYPES if fmt == "NETCDF3_64BIT_DATA" else CLASSIC_TYPES
    piece = st.tuples(st.sampled_from(types), st.integers(1, 40))
    drawn = data.draw(st.lists(piece, min_size=1, max_size=5))
    records = data.draw(st.integers(1, 100))
    path = write_records(tmp_path / "any.nc", records, fmt, {f"v{i}": one for i, one in enumerate(drawn)})
    options = {
        "records": data.draw(st.sampled_from(["auto", "strided", "references"])),
        "chunk_bytes": data.draw(st.sampled_from([None, 1, 100, 3000])),
    }
    if options["records"] == "strided" and len(drawn) > 1:
        options["records_per_chunk"] = data.draw(st.sampled_from([None, 2, 7, 1000]))
    check(mf.parse(path, **options), path)


def test_many_blocks_of_records_are_gathered(tmp_path, check, monkeypatch):
    from manifestry_netcdf3 import records

    monkeypatch.setattr(records, "_BLOCK_BYTES", 100)
    path = write_records(tmp_path / "r.nc", 333)
    check(mf.parse(path), path)
    data = path.read_bytes()
    path.write_bytes(data[:-2000])
    cut = mf.parse(path)
    monkeypatch.undo()
    assert cut == mf.parse(path)


READ = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"manifestry", "manifestry_netcdf3", "manifestry_kerchunk"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
for number in range(int(sys.argv[1])):
    names = {}
    exec(open(f"{number}.py").read().replace("chunks={}", "chunks=None"), names)
    np.savez(f"{number}.npz", **{name: names["ds"][name].values for name in names["ds"].variables})
"""


def test_outputs_are_read_by_the_lines_of_the_report(tmp_path):
    variables = {"a": ("i8", 1), "b": ("u2", 3), "c": ("f4", 1)}
    path = write_records(tmp_path / "r.nc", 1000, "NETCDF3_64BIT_DATA", variables)
    reports = []
    for parsing in ({}, {"records": "strided", "records_per_chunk": 300}):
        for fmt, suffix, options in OUTPUTS:
            target = tmp_path / f"out{len(reports)}{suffix}"
            reports.append(mf.write(mf.parse(path, **parsing), target, format=fmt, **options))
            (tmp_path / f"{len(reports) - 1}.py").write_text(reports[-1].reader)
            assert ("manifestry-codecs" in str(reports[-1])) == bool(parsing), str(reports[-1])
    command = [sys.executable, "-c", READ, str(len(reports))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    for number in range(len(reports)):
        with np.load(tmp_path / f"{number}.npz") as read, netCDF4.Dataset(path) as truth:
            for name in variables:
                truth[name].set_auto_maskandscale(False)
                assert read[name].tobytes() == np.asarray(truth[name][...]).astype(read[name].dtype).tobytes(), name


LENGTHS = [(500, 500, 500), (700, 331, 500), (331, 700, 500), (70, 30, 900), (30, 70, 20)]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("parsing", [{}, {"records": "references"}, {"records": "strided", "records_per_chunk": 10}])
def test_files_of_other_lengths_are_joined(tmp_path, values, lengths, parsing):
    if parsing.get("records") == "references":  # one for each record: a fifth of them is joined no differently
        lengths = [n // 5 for n in lengths]
    paths = [write_records(tmp_path / f"{i}.nc", n, seed=10 * i) for i, n in enumerate(lengths)]
    trees = [mf.parse(path, **parsing) for path in paths]
    joined = mf.concat(trees, "point")
    got = values(joined)
    parts = [values(tree) for tree in trees]
    for name, array in got.items():
        assert array.tobytes() == b"".join(part[name].tobytes() for part in parts), name
    if not parsing and min(lengths) > 64:
        assert joined["mass"].manifest.size == -(-sum(lengths) // max(lengths))


@pytest.mark.parametrize("lengths", LENGTHS)
def test_files_of_other_lengths_are_appended(tmp_path, lengths):
    paths = [write_records(tmp_path / f"{i}.nc", n, seed=10 * i) for i, n in enumerate(lengths)]
    target = tmp_path / "out.icechunk"
    for i, path in enumerate(paths):
        mf.write(mf.parse(path), target, **({"append_dim": "point"} if i else {}))
    got = zarr.open_group(mf.open_store(mf.parse(target)), mode="r")
    truth = [netCDF4.Dataset(path) for path in paths]
    for name in ("mass", "time", "flag", "triple"):
        expected = np.concatenate([np.ma.getdata(one[name][...]) for one in truth])
        assert np.asarray(got[name][...]).tobytes() == expected.tobytes(), name


def test_copies_are_appended_however_long_the_output_is(tmp_path):
    paths = [write_records(tmp_path / f"{i}.nc", n, seed=10 * i) for i, n in enumerate((600, 500, 400, 500))]
    target = tmp_path / "out.icechunk"
    for i, path in enumerate(paths):
        # 1,200 records of triple take 7,200 bytes, all of it in the end 12,000.
        mf.write(mf.parse(path), target, **({"append_dim": "point", "rewrite_below": 9600} if i else {}))
    got = zarr.open_group(mf.open_store(mf.parse(target)), mode="r")
    expected = np.concatenate([np.ma.getdata(netCDF4.Dataset(path)["time"][...]) for path in paths])
    assert np.asarray(got["time"][...]).tobytes() == expected.tobytes()
