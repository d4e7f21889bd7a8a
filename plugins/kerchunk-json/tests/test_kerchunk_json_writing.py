"""Documents: what stands in them, and that nothing is ever destroyed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys

import manifestry as mf
import numpy as np
import pytest
from backports import zstd
from manifestry.plugin import FileTable, TargetExistsError, UnsupportedFeatureError, WriteError
from manifestry.testing.trees import make_sample

LITTLE = mf.Codec("bytes", {"endian": "little"})


def numbers(count, *, url="file:///data/a b.bin", stored=None, codecs=(LITTLE,), **more):
    """An array of `count` chunks of two int32."""
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
    manifest = mf.ChunkManifest.from_columns(
        (count,), [mf.SourceFile(url)], 0, np.arange(count, dtype="u8") * 8, lengths
    )
    return mf.VirtualArray(meta, manifest)


def tree(count=3, **more):
    return mf.VirtualGroup({"v": numbers(count, **more)}, attributes={"title": "x"})


def test_a_document(tmp_path):
    target = tmp_path / "out.json"
    report = mf.write(tree(), target)
    document = json.loads(target.read_text("ascii"))
    refs = document["refs"]
    assert list(document) == ["version", "refs", "manifestry"]
    assert json.loads(refs[".zgroup"]) == {"zarr_format": 2}
    assert json.loads(refs[".zattrs"]) == {"title": "x"}
    assert json.loads(refs["v/.zattrs"]) == {"_ARRAY_DIMENSIONS": ["n"]}
    assert [refs[f"v/{i}"] for i in range(3)] == [["file:///data/a b.bin", 8 * i, 8] for i in range(3)]
    assert json.loads(document["manifestry"])["manifestry"]["schema_version"] == 1
    assert (report.arrays, report.references, report.described_bytes) == (1, 3, 24)
    assert 'engine="kerchunk"' in report.reader
    assert os.listdir(tmp_path) == ["out.json"]


def test_batches_join_to_one_document(tmp_path):
    stored = np.arange(50_000) % 7 != 3
    own = {"_FillValue": np.int32(0)}  # missing chunks may stay missing
    mf.write(tree(50_000, stored=stored, attributes=own), tmp_path / "out.json")
    refs = json.loads((tmp_path / "out.json").read_bytes())["refs"]
    chunks = {int(key.removeprefix("v/")): value for key, value in refs.items() if key[2:].isdigit()}
    assert list(chunks) == np.flatnonzero(stored).tolist()
    assert all(value == ["file:///data/a b.bin", 8 * i, 8] for i, value in chunks.items())


def test_missing_chunks_are_stored_once_each(tmp_path):
    mf.write(tree(3, stored=[True, False, False]), tmp_path / "out.json")
    refs = json.loads((tmp_path / "out.json").read_bytes())["refs"]
    assert refs["v/1"] == refs["v/2"] == "base64:AAAAAAAAAAA="
    mf.write(tree(3, stored=[True, False, False]), tmp_path / "v3.json", zarr_format=3)
    refs = json.loads((tmp_path / "v3.json").read_bytes())["refs"]
    assert [key for key in refs if key.startswith("v/c")] == ["v/c/0"]


def test_missing_chunks_that_would_fill_the_document_are_refused(tmp_path):
    limits = mf.Limits(max_inline_bytes=15)
    with pytest.raises(UnsupportedFeatureError, match="missing chunks that take 16 bytes"):
        mf.write(tree(3, stored=[True, False, False]), tmp_path / "out.json", limits=limits)
    assert os.listdir(tmp_path) == []


def test_more_chunks_than_references_can_be_are_refused(tmp_path):
    meta = mf.ArrayMetadata(
        shape=(2**40, 2**40),
        dtype=np.dtype("i4"),
        chunk_grid=mf.RegularGrid((1, 1)),
        codecs=(LITTLE,),
        fill_value=np.int32(0),
    )
    nothing = mf.VirtualGroup({"v": mf.VirtualArray(meta, mf.ChunkManifest.missing(meta.grid_shape))})
    for zarr_format in (2, 3):
        with pytest.raises(UnsupportedFeatureError, match=r"^v: 1208925819614629174706176 chunks in an output"):
            mf.write(nothing, tmp_path / "out.json", zarr_format=zarr_format)
    assert os.listdir(tmp_path) == []


def test_zstd_by_name_and_by_option(tmp_path):
    mf.write(tree(), tmp_path / "a.json.zst")
    mf.write(tree(), tmp_path / "b.json", compression="zstd")
    for name in ("a.json.zst", "b.json"):
        assert "refs" in json.loads(zstd.decompress((tmp_path / name).read_bytes()))


def test_small_chunks_are_copied_when_asked_for(tmp_path):
    sample = make_sample("zeros", tmp_path / "data")
    mf.write(sample.tree, tmp_path / "out.json", inline_below=9)
    refs = json.loads((tmp_path / "out.json").read_bytes())["refs"]
    assert isinstance(refs["floats/0.0"], list)
    assert refs["integers/0"] == "base64:AAAAAA=="


def test_what_v2_cannot_say_is_refused_before_a_byte_is_written(tmp_path):
    codec = mf.Codec("somebody.else")
    with pytest.raises(UnsupportedFeatureError, match=r"v: codec somebody\.else in Zarr v2"):
        mf.write(tree(codecs=(LITTLE, codec)), tmp_path / "out.json")
    assert os.listdir(tmp_path) == []
    report = mf.write(tree(codecs=(LITTLE, codec)), tmp_path / "out.json", on_unsupported="skip")
    assert [issue.path for issue in report.issues] == ["v"]
    reserved = mf.VirtualGroup({".zattrs": numbers(1)})
    with pytest.raises(UnsupportedFeatureError, match="reserved name"):
        mf.write(reserved, tmp_path / "other.json")


def test_a_group_of_the_document_becomes_the_root(tmp_path):
    mf.write(tree(), tmp_path / "out.json", group="a/b")
    refs = json.loads((tmp_path / "out.json").read_bytes())["refs"]
    assert {".zgroup", "a/.zgroup", "a/b/.zgroup", "a/b/v/.zarray", "a/b/v/0"} <= refs.keys()


def test_existing_targets_are_refused(tmp_path):
    target = tmp_path / "out.json"
    mf.write(tree(), target)
    before = target.read_bytes()
    with pytest.raises(TargetExistsError, match="overwrite=True"):
        mf.write(tree(4), target)
    assert target.read_bytes() == before
    mf.write(tree(4), target, overwrite=True)
    assert b'"v/3"' in target.read_bytes()


@pytest.mark.parametrize("content", [b'{"name": "a package", "version": 1}', b"precious", b""])
def test_what_is_no_document_is_never_replaced(tmp_path, content):
    target = tmp_path / "package.json"
    target.write_bytes(content)
    with pytest.raises(TargetExistsError, match="not a document of Kerchunk references"):
        mf.write(tree(), target, overwrite=True)
    directory = tmp_path / "directory.json"
    directory.mkdir()
    with pytest.raises(TargetExistsError):
        mf.write(tree(), directory, overwrite=True)
    assert target.read_bytes() == content


def test_a_missing_directory_is_said_so(tmp_path):
    with pytest.raises(WriteError, match=r"directory .* does not exist"):
        mf.write(tree(), tmp_path / "nowhere" / "out.json")


def test_a_full_disk_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.json"
    mf.write(tree(), target)
    before = target.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(WriteError, match="unchanged"):
            mf.write(tree(100_000), target, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.json"]


KILLED = """
import os, signal, sys
import manifestry_kerchunk_json.writer as writer
lines = writer.reference_lines
def deadly(prepared):
    for count, text in enumerate(lines(prepared)):
        yield text
        if count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
writer.reference_lines = deadly
sys.path.insert(0, sys.argv[1])
import test_kerchunk_json_writing as tests
tests.mf.write(tests.tree(100_000), sys.argv[2], overwrite=True)
"""


def test_a_killed_writer_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.json"
    mf.write(tree(), target)
    before = target.read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, os.path.dirname(__file__), str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == before


def test_a_target_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    from manifestry_kerchunk_json import writer

    target, lines = tmp_path / "out.json", writer.reference_lines

    def slow(prepared):
        target.write_text("mine")
        return lines(prepared)

    monkeypatch.setattr(writer, "reference_lines", slow)
    with pytest.raises(TargetExistsError, match="has appeared"):
        mf.write(tree(), target)
    assert target.read_text() == "mine"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_million_references_take_little_memory(tmp_path):
    import tracemalloc

    files = FileTable(mf.SourceFile(f"s3://bucket/archive/year=2020/file-{i:06d}.nc") for i in range(100))
    manifest = mf.ChunkManifest.from_columns(
        (200, 1000), files, np.repeat(np.arange(100, dtype="u4"), 2000), np.arange(200_000, dtype="u8") * 64, 64
    )
    meta = mf.ArrayMetadata(
        shape=(3200, 1000),
        dtype=np.dtype("f4"),
        chunk_grid=mf.RegularGrid((16, 1)),
        codecs=(LITTLE,),
        fill_value=np.float32(0),
        dims=("y", "x"),
    )
    many = mf.VirtualGroup({"v": mf.VirtualArray(meta, manifest)})
    tracemalloc.start()
    mf.write(many, tmp_path / "out.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24_000_000  # the document itself has 17 MB, its references as objects more than 60 MB
    assert len(json.loads((tmp_path / "out.json").read_bytes())["refs"]) == 200_004
