"""Sequences of several lengths, through zarr-python in both versions of the format."""

import json
import subprocess
import sys

import numcodecs
import numpy as np
import pytest
from manifestry_codecs.base import DecodeError

RECORD = np.dtype([("a", ">i4"), ("b", "<f8", (2,))])


def objects(*members):
    found = np.empty(len(members), object)
    found[:] = members
    return found


@pytest.mark.parametrize(
    ("described", "dtype"),
    [("<f8", "<f8"), (">i2", ">i2"), ("|S3", "S3"), ([["a", ">i4"], ["b", "<f8", [2]]], RECORD)],
)
def test_round_trip(described, dtype):
    codec = numcodecs.get_codec({"id": "manifestry.sequences", "dtype": described})
    members = [np.zeros(n, dtype) for n in (3, 0, 1)]
    if members[0].dtype.names is None:
        members[0][:] = [1, 2, 3]
    kept = codec.encode(objects(*members))
    assert [type(k) for k in kept] == [bytes] * 3
    assert kept[0] == members[0].tobytes()
    for found, expected in zip(codec.decode(kept), members, strict=True):
        assert found.dtype == expected.dtype.newbyteorder("=")
        assert found.tobytes() == expected.astype(found.dtype).tobytes()


def test_shape_and_out():
    codec = numcodecs.get_codec({"id": "manifestry.sequences", "dtype": "<u2"})
    kept = objects(b"\1\0", b"", b"\2\0\3\0", b"\4\0").reshape(2, 2)
    out = np.empty((2, 2), object)
    assert codec.decode(kept, out) is out
    assert [v.tolist() for v in out.ravel()] == [[1], [], [2, 3], [4]]


def test_what_cannot_be():
    codec = numcodecs.get_codec({"id": "manifestry.sequences", "dtype": "<u2"})
    with pytest.raises(DecodeError, match="3 bytes are not a whole number of <u2"):
        codec.decode(objects(b"123"))
    with pytest.raises(ValueError, match="have no bytes"):
        numcodecs.get_codec({"id": "manifestry.sequences", "dtype": "|O"})


SCRIPT = """
import json, sys, warnings
import numpy as np, zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

warnings.simplefilter("error")
buffer = default_buffer_prototype().buffer
chunks = []
for members in ([[1, 2], [3]], [[], []]):
    octets = [np.array(m, "<i4").tobytes() for m in members]
    chunks.append((2).to_bytes(4, "little") + b"".join(len(o).to_bytes(4, "little") + o for o in octets))
v3 = {
    "zarr_format": 3, "node_type": "array", "shape": [3], "data_type": "variable_length_bytes", "fill_value": "",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}}, "chunk_key_encoding": {"name": "default"},
    "codecs": [{"name": "manifestry.sequences", "configuration": {"dtype": "<i4"}}, {"name": "vlen-bytes"}],
}
v2 = {
    "zarr_format": 2, "shape": [3], "chunks": [2], "dtype": "|O", "fill_value": "", "order": "C", "compressor": None,
    "filters": [{"id": "manifestry.sequences", "dtype": "<i4"}, {"id": "vlen-bytes"}],
}
for name, document, key in (("zarr.json", v3, "c/{}"), (".zarray", v2, "{}")):
    entries = {name: json.dumps(document).encode(), key.format(0): chunks[0], key.format(1): chunks[1]}
    store = MemoryStore({k: buffer.from_bytes(v) for k, v in entries.items()})
    values = zarr.open_array(store, mode="r")[...]
    print(json.dumps([[v.dtype.str, v.tolist()] for v in values]))
"""


def test_zarr_finds_it_by_name():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    expected = [["<i4", [1, 2]], ["<i4", [3]], ["<i4", []]]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [expected, expected]
