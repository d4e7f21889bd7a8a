"""Any manifest over any grid comes back from a document as it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.testing.strategies import virtual_groups

LITTLE = mf.Codec("bytes", {"endian": "little"})


def again(tree, **options):
    with tempfile.TemporaryDirectory() as place:
        mf.write(tree, Path(place, "out.json"), on_unsupported="skip", **options)
        everything = ["/", "s3://bucket/", "https://host/", "memory://m/"]
        return mf.parse(Path(place, "out.json"), format="kerchunk-json", on_unsupported="skip", allow=everything)


def references(array):
    index, offsets, lengths = array.manifest.columns()
    stored = np.flatnonzero(lengths)
    urls = [array.manifest.files.urls[row] for row in index[stored].tolist()]
    return stored.tolist(), urls, offsets[stored].tolist(), lengths[stored].tolist()


GRIDS = [(), (0,), (1,), (3, 1, 2), (20_000,), (3, 17_000), (1, 2, 16_384), (200, 100, 1), (2, 150, 130), (0, 7)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_form_of_grid(grid, zarr_format):
    """Keys are made of two parts; where they are cut depends on the grid."""
    size = int(np.prod(grid, dtype="i8"))
    rng = np.random.default_rng(size)
    files = [mf.SourceFile(f"s3://bucket/{i}.nc") for i in range(5)]
    lengths = np.where(rng.random(size) < 0.8, 8, 0)
    manifest = mf.ChunkManifest.from_columns(grid, files, rng.integers(0, 5, size), np.arange(size) * 8, lengths)
    meta = mf.ArrayMetadata(
        shape=tuple(2 * n if n else 0 for n in grid) if len(grid) == 1 else grid,
        dtype=np.dtype("i4") if len(grid) == 1 else np.dtype("i8"),
        chunk_grid=mf.RegularGrid((2,) if len(grid) == 1 else (1,) * len(grid)),
        codecs=(LITTLE,),
        fill_value=0,
        attributes={"_FillValue": 0},
    )
    array = mf.VirtualArray(meta, manifest)
    found = again(mf.VirtualGroup({"v": array}), zarr_format=zarr_format)["v"]
    assert references(found) == references(array)


@settings(max_examples=examples(25), deadline=None)
@given(virtual_groups(), st.sampled_from([3, "both"]))
def test_any_tree(tree, zarr_format):
    found = again(tree, zarr_format=zarr_format)
    for path, array in tree.walk_arrays():
        try:
            other = found[path]
        except KeyError:
            assert zarr_format == "both"  # Zarr v2 cannot express it
            continue
        assert other.metadata.with_(attributes={}) == array.metadata.with_(attributes={})
        before, after = array.manifest.to_dict(), other.manifest.to_dict()
        assert before.keys() <= after.keys()
        assert zarr_format == "both" or before.keys() == after.keys()
        for key, chunk in before.items():
            where = None if chunk.file is None else (chunk.file.url, chunk.offset)
            there = None if after[key].file is None else (after[key].file.url, after[key].offset)
            assert (there, after[key].length, after[key].data) == (where, chunk.length, chunk.data)
