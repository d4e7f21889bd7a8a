"""Other people's software reads the stores: fsspec with zarr, and xarray's kerchunk engine."""

from __future__ import annotations

from reference_outputs import ReferenceOutputs


def test_every_sample_reads_exactly(tmp_path):
    outputs = ReferenceOutputs(tmp_path, "kerchunk-parquet", ".parq", [2, "both"])
    assert outputs.differences() == []
    assert outputs.compared > 250
