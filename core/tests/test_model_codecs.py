"""The catalogue of codecs against the packages that have them."""

from importlib.metadata import entry_points

import numpy as np
import pytest
from manifestry.errors import ManifestError
from manifestry.model.codecs import (
    Codec,
    CodecEntry,
    CodecKind,
    codec_entry,
    codec_of_v2,
    is_lossless,
    register_codecs,
    serializer,
)
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from zarr.registry import get_codec_class

KINDS = {
    CodecKind.ARRAY_TO_ARRAY: ArrayArrayCodec,
    CodecKind.ARRAY_TO_BYTES: ArrayBytesCodec,
    CodecKind.BYTES_TO_BYTES: BytesBytesCodec,
}
OF_ZARR = [
    "bytes", "transpose", "gzip", "zstd", "blosc", "crc32c", "sharding_indexed", "vlen-utf8", "vlen-bytes", "cast_value",
    "scale_offset",
]  # fmt: skip
INSTALLED = sorted({e.name for e in entry_points(group="zarr.codecs")} | set(OF_ZARR))


@pytest.mark.parametrize("name", INSTALLED)
def test_every_installed_codec_is_known_by_its_kind(name):
    entry = codec_entry(name)
    assert entry is not None
    assert issubclass(get_codec_class(name), KINDS[entry.kind])


@pytest.mark.parametrize("name", INSTALLED)
def test_ids_of_zarr_v2_are_found_again(name):
    entry = codec_entry(name)
    if entry.zarr_v2 and entry.name != f"numcodecs.{entry.zarr_v2}":
        assert codec_of_v2(entry.zarr_v2) is entry
    if name.startswith("imagecodecs_"):
        assert codec_of_v2(name) is entry
    assert codec_of_v2("no such codec") is None


def test_what_nobody_knows_is_not_lossless():
    assert is_lossless([Codec("bytes"), Codec("gzip", {"level": 1})])
    assert not is_lossless([Codec("bytes"), Codec("example.unknown")])
    assert not is_lossless([Codec("numcodecs.quantize")])


@pytest.mark.parametrize(
    ("dtype", "codec"),
    [
        ("i1", Codec("bytes")),
        ("?", Codec("bytes")),
        ("f4", Codec("bytes", {"endian": "big"})),
        ("c8", Codec("bytes", {"endian": "big"})),
        ("M8[s]", Codec("bytes", {"endian": "big"})),
        ("S5", Codec("bytes")),
        ("V5", Codec("bytes")),
        ("U5", Codec("bytes", {"endian": "big"})),
        ([("a", "i1"), ("b", "S1")], Codec("bytes")),
        ([("a", "i1"), ("b", "S3")], Codec("bytes", {"endian": "big"})),
        ([("a", "i1"), ("b", "f8")], Codec("bytes", {"endian": "big"})),
        ([("a", [("b", "i2")])], Codec("bytes", {"endian": "big"})),
        ([("a", "i2", (3,))], Codec("bytes", {"endian": "big"})),
        (np.dtypes.StringDType(), Codec("vlen-utf8")),
        (object, Codec("vlen-bytes")),
    ],
    ids=str,
)
def test_serializer(dtype, codec):
    assert serializer(np.dtype(dtype), "big") == codec


def test_plugins_add_entries_and_change_none():
    mine = CodecEntry(
        name="example.test_model_codecs", kind=CodecKind.BYTES_TO_BYTES, lossless=True, zarr_v2="example_2"
    )
    register_codecs([mine])
    register_codecs([mine])
    assert codec_entry(mine.name) is codec_of_v2("example_2") is mine
    other = CodecEntry(name="example.never_there", kind=CodecKind.BYTES_TO_BYTES)
    with pytest.raises(ManifestError, match="codec gzip: another entry is in the catalogue already"):
        register_codecs([other, CodecEntry(name="gzip", kind=CodecKind.BYTES_TO_BYTES)])
    assert codec_entry(other.name) is None  # all or nothing
