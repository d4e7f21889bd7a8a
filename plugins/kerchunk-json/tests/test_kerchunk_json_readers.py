"""Other people's software reads the documents: fsspec with zarr, xarray's kerchunk engine and GDAL."""

from __future__ import annotations

from manifestry.testing.reference_outputs import ReferenceOutputs


def test_every_sample_reads_exactly(tmp_path):
    outputs = ReferenceOutputs(tmp_path, "kerchunk-json", ".json", [2, 3, "both"])
    assert outputs.differences() == []
    assert outputs.compared > 350
