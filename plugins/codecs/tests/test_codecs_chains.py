"""Chains of numcodecs in Zarr v3 read what Zarr v2 reads."""

from __future__ import annotations

import json

import numcodecs
import numpy as np
import pytest
import zarr
from manifestry_codecs.base import DecodeError
from zarr.core.buffer.cpu import Buffer
from zarr.storage import MemoryStore

NUMBERS = (np.arange(24) * 37 - 300).reshape(4, 6)
RECORDS = np.array([(1, 2.5, b"ab"), (-7, np.nan, b"")], [("a", ">i4"), ("b", ">f8"), ("c", "S3")])
CHAINS = {
    "delta of big-endian": (NUMBERS.astype(">i4"), [numcodecs.Delta(">i4")], numcodecs.Zlib(), "C"),
    "shuffle before delta": (NUMBERS.astype("<i4"), [numcodecs.Delta("<i4"), numcodecs.Shuffle(4)], None, "C"),
    "text, Fortran order": (NUMBERS.astype("<i2"), [numcodecs.Base64()], None, "F"),
    "records": (RECORDS, [numcodecs.Base64()], numcodecs.GZip(1), "C"),
    "bits": (NUMBERS % 3 == 0, [numcodecs.PackBits()], None, "C"),
    "rounded to integers": (
        NUMBERS * 0.5,
        [numcodecs.FixedScaleOffset(offset=-500, scale=2, dtype="<f8", astype="<u2")],
        numcodecs.LZ4(),
        "C",
    ),
}


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("name", CHAINS)
def test_a_chunk_of_version_2_in_version_3(name):
    values, filters, compressor, order = CHAINS[name]
    old, new = {}, {}
    options = {"filters": filters, "compressors": compressor, "order": order, "zarr_format": 2}
    zarr.create_array(MemoryStore(old), shape=values.shape, chunks=values.shape, dtype=values.dtype, **options)[...] = (
        values
    )
    zarray = json.loads(old[".zarray"].to_bytes())
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": zarray["shape"],
        "data_type": zarr.create_array(
            MemoryStore(), shape=(1,), dtype=values.dtype.newbyteorder("=")
        ).metadata.to_dict()["data_type"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": zarray["chunks"]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
        "fill_value": zarray["fill_value"],
        "codecs": [
            *([{"name": "transpose", "configuration": {"order": [1, 0]}}] if order == "F" else []),
            {
                "name": "manifestry.numcodecs",
                "configuration": {
                    "filters": zarray["filters"] or [],
                    "compressor": zarray["compressor"],
                    "dtype": zarray["dtype"],
                },
            },
        ],
        "attributes": {},
    }
    key = ".".join("0" * values.ndim)
    chunk = old[key]
    new |= {"zarr.json": Buffer.from_bytes(json.dumps(document).encode()), key: chunk}
    array = zarr.open_array(MemoryStore(new), mode="r+", zarr_format=3)
    assert array.dtype == values.dtype.newbyteorder("=")
    assert array[...].tobytes() == values.astype(array.dtype).tobytes()
    array[...] = values
    assert new[key].to_bytes() == chunk.to_bytes()


@pytest.mark.parametrize(("name", "said"), [("never-heard-of", "install"), ("pickle", "refused")])
def test_a_codec_that_cannot_be_had_is_named(name, said):
    configuration = {"filters": [{"id": name}], "compressor": None, "dtype": "<f8"}
    chain = numcodecs.get_codec({"id": "manifestry.numcodecs", **configuration})
    with pytest.raises(DecodeError, match=rf"{name}.*{said}"):
        chain.decode(b"12345678")


def test_a_chunk_of_other_elements_is_an_error():
    chain = numcodecs.get_codec(
        {"id": "manifestry.numcodecs", "filters": [], "compressor": {"id": "zlib"}, "dtype": "<f8"}
    )
    with pytest.raises(DecodeError, match="elements of <f8"):
        chain.decode(numcodecs.Zlib().encode(b"1234567"))
