"""Other people's software reads the documents: fsspec with zarr, xarray's kerchunk engine and GDAL."""

from __future__ import annotations

import subprocess
import sys

import manifestry as mf
import numpy as np
from manifestry.testing.trees import make_sample
from reference_outputs import ReferenceOutputs


def test_every_sample_reads_exactly(tmp_path):
    outputs = ReferenceOutputs(tmp_path, "kerchunk-json", ".json", [2, 3, "both"])
    assert outputs.differences() == []
    assert outputs.compared > 350


def test_the_lines_of_the_report_open_the_document(tmp_path):
    tree = make_sample("ragged", tmp_path / "data").tree
    check = "assert ds['plane'].values.sum() == 595, ds"
    lines = []
    for version in (2, 3):
        for name in (f"{version}.json", f"{version}.json.zst"):
            lines += [mf.write(tree, tmp_path / name, zarr_format=version).reader, check]
    subprocess.run([sys.executable, "-W", "ignore", "-c", "\n".join(lines)], check=True)


def test_the_report_counts_and_names_packages(tmp_path):
    sample = make_sample("sparse", tmp_path / "data")
    report = mf.write(sample.tree, tmp_path / "a.json")
    stored = sum(array.manifest.stored_count for _, array in sample.tree.walk_arrays())
    assert (report.references, report.described_bytes) == (stored, sample.tree["wide"].manifest.stored_bytes + 16)
    assert report.inlined == 38 + 1
    rotated = make_sample("transposed", tmp_path / "more").tree
    assert mf.write(rotated, tmp_path / "b.json").packages == ()
    codecs = (mf.Codec("transpose", {"order": [1, 2, 0]}), mf.Codec("bytes", {"endian": "little"}))
    meta = mf.ArrayMetadata(
        shape=(3, 4, 5),
        dtype=np.dtype("i2"),
        chunk_grid=mf.RegularGrid((3, 4, 5)),
        codecs=codecs,
        fill_value=np.int16(0),
        dims=("b", "y", "x"),
    )
    array = mf.VirtualArray(meta, mf.ChunkManifest.single(mf.SourceFile("s3://b/x"), 0, 120, (1, 1, 1)))
    assert mf.write(mf.VirtualGroup({"v": array}), tmp_path / "c.json").packages == ("imagecodecs-numcodecs",)
