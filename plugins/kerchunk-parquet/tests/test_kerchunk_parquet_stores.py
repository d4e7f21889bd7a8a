"""Directories of references: what stands in them, that nothing is destroyed, and reading them back."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys

import manifestry as mf
import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from manifestry.plugin import (
    ChunkManifest,
    MalformedFileError,
    SourceError,
    SourceFile,
    TargetExistsError,
    UnsupportedFeatureError,
    WriteError,
)
from manifestry.publishing import staging as targets
from manifestry.publishing.claims import Claim
from manifestry.testing.refusing import refuses
from manifestry.testing.trees import SAMPLES, make_sample
from obstore.store import MemoryStore

LITTLE = mf.Codec("bytes", {"endian": "little"})


def tree(count=3, *, stored=None, url="s3://bucket/a b.bin", codecs=(LITTLE,), **more):
    meta = mf.ArrayMetadata(
        shape=(2 * count,),
        dtype=np.dtype("i4"),
        chunk_grid=mf.RegularGrid((2,)),
        codecs=codecs,
        fill_value=np.int32(0),
        dims=("n",),
        **more,
    )
    lengths = np.full(count, 8, "u8") if stored is None else np.where(stored, 8, 0).astype("u8")
    manifest = mf.ChunkManifest.from_columns((count,), [mf.SourceFile(url)], 0, np.arange(count) * 8, lengths)
    return mf.VirtualGroup({"v": mf.VirtualArray(meta, manifest)}, attributes={"title": "x"})


def locations(array):
    return {
        key: (found.data if found.file is None else (found.file.url, found.offset, found.length))
        for key, found in array.manifest.to_dict().items()
    }


def contents(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_store(tmp_path):
    target = tmp_path / "out.parq"
    report = mf.write(tree(5), target, record_size=2)
    assert sorted(contents(target)) == [
        ".manifestry/provenance.json", ".zmetadata", "v/refs.0.parq", "v/refs.1.parq", "v/refs.2.parq",
    ]  # fmt: skip
    metadata = json.loads((target / ".zmetadata").read_bytes())
    assert metadata["record_size"] == 2
    assert metadata["metadata"]["v/.zattrs"] == {"_ARRAY_DIMENSIONS": ["n"]}
    table = pq.read_table(target / "v/refs.1.parq")
    assert table.column_names == ["path", "offset", "size", "raw"]
    assert table.to_pylist() == [
        {"path": "s3://bucket/a b.bin", "offset": 8 * i, "size": 8, "raw": None} for i in (2, 3)
    ]
    assert pq.read_metadata(target / "v/refs.2.parq").num_rows == 1  # the last table is not padded
    assert (report.arrays, report.references) == (1, 5)
    assert os.listdir(tmp_path) == ["out.parq"]


def test_missing_chunks_share_their_bytes(tmp_path):
    mf.write(tree(5000, stored=np.arange(5000) % 2 == 0), tmp_path / "out.parq")
    table = pq.read_table(tmp_path / "out.parq/v/refs.0.parq", read_dictionary=["raw", "path"])
    assert table.column("raw").null_count == table.column("path").null_count == 2500
    assert [len(chunk.dictionary) for chunk in table.column("raw").chunks] == [1]
    assert locations(mf.parse(tmp_path / "out.parq")["v"])["1"] == bytes(8)


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine")
def test_bytes_that_look_like_base64_stay_what_they_are(tmp_path):
    meta = mf.ArrayMetadata(
        shape=(7,),
        dtype=np.dtype("u1"),
        chunk_grid=mf.RegularGrid((7,)),
        codecs=(mf.Codec("bytes"),),
        fill_value=np.uint8(0),
        dims=("n",),
    )
    odd = mf.VirtualGroup({"v": mf.VirtualArray(meta, mf.ChunkManifest.from_inline((1,), [b"base64:"]))})
    mf.write(odd, tmp_path / "out.parq")
    assert locations(mf.parse(tmp_path / "out.parq")["v"]) == {"0": b"base64:"}
    import fsspec

    system = fsspec.filesystem("reference", fo=str(tmp_path / "out.parq"), remote_protocol="file")
    assert system.cat("v/0") == b"base64:"


def test_what_has_no_place_is_refused(tmp_path):
    with pytest.raises(UnsupportedFeatureError, match=r"somebody\.else"):
        mf.write(tree(codecs=(LITTLE, mf.Codec("somebody.else"))), tmp_path / "out.parq")
    with pytest.raises(UnsupportedFeatureError, match=r"'\.json' in the path"):
        mf.write(tree(), tmp_path / "a.json.parq")
    assert os.listdir(tmp_path) == []


def test_existing_targets(tmp_path):
    target = tmp_path / "out.parq"
    mf.write(tree(), target)
    before = contents(target)
    with pytest.raises(TargetExistsError, match="overwrite=True"):
        mf.write(tree(4), target)
    assert contents(target) == before
    mf.write(tree(4), target, overwrite=True)
    assert len(locations(mf.parse(target)["v"])) == 4
    assert os.listdir(tmp_path) == ["out.parq"]


@pytest.mark.parametrize("name", ["precious.nc", "v/precious.nc", "refs.parq", ".hidden"])
def test_nothing_but_such_a_store_is_replaced(tmp_path, name):
    target = tmp_path / "out.parq"
    target.mkdir()
    (target / "v").mkdir()
    (target / name).write_text("precious")
    with pytest.raises(TargetExistsError, match="and nothing else"):
        mf.write(tree(), target, overwrite=True)
    mf.write(tree(), tmp_path / "other.parq")
    (tmp_path / "other.parq" / name).write_text("precious")
    before = contents(tmp_path / "other.parq")
    with pytest.raises(TargetExistsError, match="and nothing else"):
        mf.write(tree(4), tmp_path / "other.parq", overwrite=True)
    assert contents(tmp_path / "other.parq") == before
    assert (target / name).read_text() == "precious"


def test_a_full_disk_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.parq"
    mf.write(tree(), target)
    before = contents(target)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    rng = np.random.default_rng(0)
    try:
        with pytest.raises(WriteError, match="unchanged"):
            mf.write(tree(100_000, stored=rng.random(100_000) > 0.5), target, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert contents(target) == before
    assert os.listdir(tmp_path) == ["out.parq"]


KILLED = """
import os, signal, sys
import manifestry_kerchunk_parquet.writer as writer
write = writer.write_record
def deadly(table, handle):
    write(table, handle)
    os.kill(os.getpid(), signal.SIGKILL)
writer.write_record = deadly
sys.path.insert(0, sys.argv[1])
import test_kerchunk_parquet_stores as tests
tests.mf.write(tests.tree(100), sys.argv[2], overwrite=True)
"""


def test_a_killed_writer_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.parq"
    mf.write(tree(), target)
    before = contents(target)
    done = subprocess.run([sys.executable, "-c", KILLED, os.path.dirname(__file__), str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(target) == before
    (left,) = [path for path in tmp_path.iterdir() if path != target]
    mf.write(tree(), target, overwrite=True)
    assert left.exists()  # too young to be nobody's for certain
    os.utime(left, (0, 0))
    mf.write(tree(), target, overwrite=True)
    assert os.listdir(tmp_path) == ["out.parq"]


def test_what_a_living_writer_stages_stays(tmp_path):
    target = tmp_path / "out.parq"
    for living in (True, False):
        staged = tmp_path / ".out.parq.0123456789ab.partial"
        staged.mkdir(exist_ok=True)
        claim = Claim(staged)
        os.utime(staged, (0, 0))
        if not living:
            claim.release()
        mf.write(tree(), target, overwrite=not living)
        assert staged.exists() == living
        claim.release()


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_store_is_replaced_at_once(tmp_path, monkeypatch, exchanges):
    target = tmp_path / "out.parq"
    mf.write(tree(4), target)
    if not exchanges:
        monkeypatch.setattr(targets, "_exchange", lambda *_: False)
    mf.write(tree(100), target, overwrite=True)
    assert mf.parse(target)["v"].manifest.size == 100
    assert os.listdir(tmp_path) == ["out.parq"]


def test_a_remote_store_is_there_until_the_new_one_is(monkeypatch):
    stores = {"memory://there": MemoryStore()}
    target = "memory://there/out.parq"
    mf.write(tree(4), target, stores=stores)
    put, left = obstore.put, [2]

    def fails(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(*args, **options)

    monkeypatch.setattr(obstore, "put", fails)
    with refuses():
        mf.write(tree(100), target, stores=stores, overwrite=True)
    assert mf.parse(target, stores=stores, allow=["s3://bucket/"])["v"].manifest.size == 4
    monkeypatch.undo()
    mf.write(tree(100), target, stores=stores, overwrite=True)
    assert mf.parse(target, stores=stores, allow=["s3://bucket/"])["v"].manifest.size == 100
    names = [entry["path"] for batch in obstore.list(stores["memory://there"]) for entry in batch]
    assert all(name.startswith("out.parq/") for name in names)


BANNED = """
import sys
for name in ("pandas", "fastparquet", "kerchunk", "fsspec", "xarray", "zarr"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import test_kerchunk_parquet_stores as tests
tests.mf.write(tests.tree(10), sys.argv[2])
assert tests.mf.parse(sys.argv[2])["v"].manifest.size == 10
"""


def test_pyarrow_alone_writes_and_reads(tmp_path):
    here = os.path.dirname(__file__)
    subprocess.run([sys.executable, "-c", BANNED, here, tmp_path / "out.parq"], check=True)


@pytest.mark.parametrize("zarr_format", [2, "both"])
def test_what_was_written_is_read(tmp_path, zarr_format):
    for name in SAMPLES:
        sample = make_sample(name, tmp_path / name)
        target = tmp_path / f"{name}.parq"
        report = mf.write(sample.tree, target, zarr_format=zarr_format, on_unsupported="skip", record_size=7)
        found = mf.parse(target)
        refused = {issue.path for issue in report.issues if issue.severity == "refused"}
        for path, before in sample.tree.walk_arrays():
            if path in refused:
                continue
            after = found[path]
            assert (after.dtype, after.shape, after.dims) == (before.dtype, before.shape, before.dims)
            assert locations(before).items() <= locations(after).items()
        assert {path for path, _ in found.walk()} == {path for path, _ in sample.tree.walk()}


def test_provenance_comes_back(tmp_path):
    mf.write(make_sample("sparse", tmp_path).tree, tmp_path / "a.parq")
    found = mf.parse(tmp_path / "a.parq")
    mf.write(found, tmp_path / "b.parq")
    again = mf.parse(tmp_path / "b.parq")
    assert again == found
    assert again.provenance == found.provenance
    assert [part.parser for part in again.provenance] == ["kerchunk-parquet"]


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine")
def test_stores_of_the_kerchunk_package(tmp_path):
    import fsspec
    from fsspec.implementations.reference import LazyReferenceMapper

    system = fsspec.filesystem("file")
    out = LazyReferenceMapper.create(str(tmp_path / "theirs.parq"), fs=system, record_size=4)
    zarray = {
        "zarr_format": 2, "shape": [12], "chunks": [2], "dtype": "<i4", "compressor": None, "fill_value": 0,
        "order": "C", "filters": None,
    }  # fmt: skip
    out[".zgroup"] = b'{"zarr_format": 2}'
    out["v/.zarray"] = json.dumps(zarray).encode()
    for i in (0, 1, 3):
        out[f"v/{i}"] = ["s3://bucket/x", 8 * i, 8]
    out["v/2"] = b"base64:AAAAAAAAAAA="
    out.flush()
    found = mf.parse(tmp_path / "theirs.parq")
    assert locations(found["v"]) == {
        "0": ("s3://bucket/x", 0, 8), "1": ("s3://bucket/x", 8, 8), "2": bytes(8), "3": ("s3://bucket/x", 24, 8),
    }  # fmt: skip
    assert [issue.feature for issue in found.issues] == ["no table of references"]


def test_a_lost_or_damaged_table_is_no_fill_value(tmp_path):
    mf.write(tree(5), tmp_path / "out.parq", record_size=2)
    lost = tmp_path / "out.parq/v/refs.1.parq"
    content = lost.read_bytes()
    lost.write_bytes(content[:50])
    with pytest.raises(MalformedFileError, match="is not a table of references"):
        mf.parse(tmp_path / "out.parq")
    lost.unlink()
    with pytest.raises(MalformedFileError, match="table of references is missing"):
        mf.parse(tmp_path / "out.parq")
    short = pa.table({"path": ["s3://b/x"], "offset": [0], "size": [8]})
    pq.write_table(short, lost)
    with pytest.raises(MalformedFileError, match="has 1 references, fewer than its 2 chunks"):
        mf.parse(tmp_path / "out.parq")
    assert mf.parse(tmp_path / "out.parq", on_unsupported="skip").arrays == {}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["s3://b/x"], "offset": [-1], "size": [8]}, "whole numbers"),
        ({"path": ["s3://b/x"], "offset": [0.5], "size": [8.0]}, "whole numbers"),
        ({"path": ["s3://b/x"], "offset": [1e30], "size": [8.0]}, "whole numbers"),
        ({"path": ["s3://b/x"], "offset": np.array([2**64 - 4], "u8"), "size": [8]}, "ends beyond"),
        ({"path": ["s3://b/x"], "offset": [True], "size": [8]}, "'offset' holds bool, not numbers"),
        ({"path": [7], "offset": [0], "size": [8]}, "'path' holds int64, not texts"),
        ({"path": [["s3://b/x"]], "offset": [0], "size": [8]}, "not texts"),
        ({"path": [b"s3://b/\xff"], "offset": [0], "size": [8]}, "locations are not texts"),
        ({"path": [""], "offset": [0], "size": [8]}, "a location is empty"),
        ({"path": ["s3://b/x"], "offset": [8], "size": [0]}, "no bytes"),
        ({"raw": [b""]}, "no bytes"),
        ({"raw": [b"base64:!"]}, "is not valid base64"),
        ({"path": ["s3://b/x"], "offset": [0], "size": [4]}, "4 bytes, expected 8"),
    ],
)
def test_tables_that_lie(tmp_path, columns, message):
    mf.write(tree(1), tmp_path / "out.parq")
    pq.write_table(pa.table(columns), tmp_path / "out.parq/v/refs.0.parq")
    with refuses(match=message):
        mf.parse(tmp_path / "out.parq")


def test_texts_and_columns_that_pyarrow_takes_as_they_are(tmp_path):
    mf.write(tree(4), tmp_path / "out.parq")
    table = tmp_path / "out.parq/v/refs.0.parq"
    columns = {"path": ["s3://b/x"] * 4, "offset": np.arange(4), "size": np.full(4, 8)}
    pq.write_table(pa.table(columns), table, compression="none")
    table.write_bytes(table.read_bytes().replace(b"s3://b/x", b"s3://b/\xff"))
    with pytest.raises(MalformedFileError, match=r"is not a table of references.*UTF8"):
        mf.parse(tmp_path / "out.parq")
    names = [f"s3://b/{i}" for i in range(4)]
    pq.write_table(pa.table([names, names], ["path", "path"]), table)
    with pytest.raises(MalformedFileError, match="several columns have the same name"):
        mf.parse(tmp_path / "out.parq")


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 128, "nul\0"])
def test_names_that_no_directory_can_have(tmp_path, name):
    for odd in (mf.VirtualGroup({name: tree()["v"]}), mf.VirtualGroup(groups={name: tree()})):
        with pytest.raises(UnsupportedFeatureError, match="name that no directory can have"):
            mf.write(odd, tmp_path / "out.parq")
    assert os.listdir(tmp_path) == []


def test_names_of_two_lines(tmp_path):
    odd = mf.VirtualGroup({"two\nlines": tree()["v"]})
    for overwrite in (False, True):
        mf.write(odd, tmp_path / "out.parq", overwrite=overwrite)
    assert mf.parse(tmp_path / "out.parq").arrays.keys() == {"two\nlines"}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"metadata": {}}', '{"metadata": 3, "record_size": 1}', '{"metadata": {}, "record_size": 0}']
)
def test_metadata_that_is_none(tmp_path, text):
    (tmp_path / "x.parq").mkdir()
    (tmp_path / "x.parq/.zmetadata").write_text(text)
    with pytest.raises(MalformedFileError):
        mf.parse(tmp_path / "x.parq")


def test_a_remote_store_and_where_it_may_point(tmp_path):
    store = MemoryStore()
    stores = {"memory://there": store}
    mf.write(tree(5, url="memory://there/a.bin"), "memory://there/out.parq", stores=stores, record_size=2)
    assert len(locations(mf.parse("memory://there/out.parq", stores=stores)["v"])) == 5
    with pytest.raises(TargetExistsError):
        mf.write(tree(), "memory://there/out.parq", stores=stores)
    mf.write(tree(2), "memory://there/out.parq", stores=stores, overwrite=True)
    with pytest.raises(SourceError, match="not allowed"):
        mf.parse("memory://there/out.parq", stores=stores)
    found = mf.parse("memory://there/out.parq", stores=stores, allow=["s3://bucket"])
    assert locations(found["v"]) == {"0": ("s3://bucket/a b.bin", 0, 8), "1": ("s3://bucket/a b.bin", 8, 8)}


def test_offsets_that_no_reader_can_read_are_refused(tmp_path):
    from manifestry.testing.stranger_tests import tree_pointing_at

    array = tree_pointing_at("s3://bucket/x")["v"]
    far = ChunkManifest.from_columns((1,), [SourceFile("s3://bucket/x")], 0, 2**63, 16)
    with refuses(mf.UnsupportedFeatureError, match=r"offset beyond 2\*\*63"):
        mf.write(mf.VirtualGroup({"v": mf.VirtualArray(array.metadata, far)}), tmp_path / "far.parq")
    assert not (tmp_path / "far.parq").exists()


def test_tables_carry_no_schema_of_arrow(tmp_path):
    """It would be larger than the references of a small table."""
    from manifestry.testing.stranger_tests import tree_pointing_at

    mf.write(tree_pointing_at("s3://bucket/x"), tmp_path / "o.parq")
    (table,) = (tmp_path / "o.parq").rglob("refs.0.parq")
    assert b"ARROW:schema" not in table.read_bytes()
