"""Every sample tree through the writer, read back by icechunk, zarr and xarray alone."""

import manifestry as mf
import numpy as np
import pytest
from manifestry.testing.trees import SAMPLES, make_sample

UNREADABLE = {
    "rectilinear": "zarr reads it only with an experimental setting",
    "far-offsets": "has a test of its own",
}


def same(mine, theirs):
    assert mine.dtype == theirs.dtype
    assert mine.shape == theirs.shape
    if mine.dtype.kind in "fcMm" and mine.dtype.fields is None:
        np.testing.assert_array_equal(mine, theirs)
        return mine.tobytes() == theirs.tobytes() or mine.dtype.kind != "f"
    return mine.tolist() == theirs.tolist()


@pytest.fixture(scope="module")
def written(tmp_path_factory, fresh):
    """All samples, written and read: one process reads them all."""
    base = tmp_path_factory.mktemp("samples")
    samples, reports = {}, {}
    for name in SAMPLES:
        if name in UNREADABLE:
            continue
        samples[name] = make_sample(name, base / name)
        reports[name] = mf.write(samples[name].tree, base / f"{name}.icechunk")
    found = fresh.read(*reports.values())
    return samples, reports, dict(zip(reports, found, strict=True))


@pytest.mark.parametrize("name", [n for n in SAMPLES if n not in UNREADABLE])
def test_sample_reads_back(name, written):
    samples, reports, found = written
    sample, read = samples[name], found[name]
    assert "error" not in read, read.get("error")
    assert set(read["arrays"]) == set(sample.values)
    for path, values in sample.values.items():
        mine, dims, _ = read["arrays"][path]
        assert same(np.asarray(mine), values), path
        assert (None if dims is None else tuple(dims)) == sample.tree[path].dims
    for path, attributes in sample.attributes.items():
        got = read["groups"][path] if path in read["groups"] else read["arrays"][path][2]
        assert got == attributes, path
    assert reports[name].arrays == len(sample.values)


def test_rectilinear_grids_reach_readers_that_ask_for_them(tmp_path, fresh):
    sample = make_sample("rectilinear", tmp_path / "source")
    report = mf.write(sample.tree, tmp_path / "out.icechunk")
    read = fresh.read("import zarr\nzarr.config.set({'array.rectilinear_chunks': True})\n" + report.reader)
    assert np.array_equal(read["arrays"]["steps"][0], sample.values["steps"])


def test_offsets_beyond_four_gigabytes(tmp_path, fresh):
    sample = make_sample("far-offsets", tmp_path / "source")
    read = fresh.read(mf.write(sample.tree, tmp_path / "out.icechunk"))
    for path, values in sample.values.items():
        assert same(read["arrays"][path][0], values)


def test_decoded_values_are_masked_where_the_source_says_so(tmp_path, fresh):
    sample = make_sample("cf-fill", tmp_path / "source")
    read = fresh.read(mf.write(sample.tree, tmp_path / "out.icechunk"))
    counts = sample.values["counts"]
    expected = np.where(counts == -9999, np.nan, counts)
    np.testing.assert_array_equal(read["decoded"]["counts"], expected)
