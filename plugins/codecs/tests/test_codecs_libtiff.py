"""Codecs that ask libtiff: exact as GDAL, and damage that libtiff passes over is named."""

import base64
import json

import imagecodecs
import numcodecs
import numpy as np
import pytest
import rasterio
from manifestry_codecs.base import DecodeError
from manifestry_codecs.libtiff import Libtiff, LogLuv
from manifestry_codecs.tiff import Inflate

NEXT = {"258": [2], "259": [32766], "262": [1], "277": [1]}
THUNDERSCAN = {"258": [4], "259": [32809], "262": [1], "277": [1]}
YCBCR = {"258": [8, 8, 8], "259": [1], "262": [6], "277": [3], "530": [2, 2]}
OLD_JPEG = {"258": [8, 8, 8], "259": [6], "262": [6], "277": [3]}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_every_chromaticity_of_24_bits(tmp_path):
    numbers = np.arange(16384) | np.random.default_rng(0).integers(0, 1024, 16384) << 14
    octets = numbers.astype(">u4").view("u1").reshape(-1, 4)[:, 1:].tobytes()
    entries = [(256, 3, 1, 128), (257, 3, 1, 128), (258, 3, 1, 16), (259, 3, 1, 34677), (262, 3, 1, 32845),
               (273, 4, 1, 8), (277, 3, 1, 3), (279, 4, 1, len(octets)), (339, 3, 1, 2)]  # fmt: skip
    directory = len(entries).to_bytes(2, "little") + b"".join(
        tag.to_bytes(2, "little")
        + kind.to_bytes(2, "little")
        + count.to_bytes(4, "little")
        + value.to_bytes(4, "little")
        for tag, kind, count, value in entries
    )
    path = tmp_path / "all.tif"
    path.write_bytes(b"II*\0" + (8 + len(octets)).to_bytes(4, "little") + octets + directory + bytes(4))
    with rasterio.open(path) as file:
        expected = np.moveaxis(file.read(), 0, -1)
    np.testing.assert_array_equal(LogLuv(128, 128, 24).decode(octets), expected)


def test_rows_that_are_missing_in_next():
    black, white, colours = b"\0\0\0", b"\0\xff\xff", b"\0\x1b\x1b"
    codec = Libtiff(3, 8, NEXT)
    assert codec.decode(colours + black + white).tolist() == [[0, 1, 2, 3] * 2, [0] * 8, [3] * 8]
    assert codec.decode(black + white + white + b"\x77").tolist() == [[0] * 8, [3] * 8, [3] * 8]
    for short in (black, black + white, black + black + b"\0\0", b""):
        with pytest.raises(DecodeError):
            codec.decode(short)


def test_runs_and_differences_of_thunderscan():
    # a pixel, three differences (+1, 0, -1), two (+3, -2), a run of two: TIFF 6.0 has no word on it, libtiff does
    assert Libtiff(1, 8, THUNDERSCAN).decode(bytes([0xC5, 0x53, 0x9E, 0x02])).tolist() == [[5, 6, 6, 5, 8, 6, 6, 6]]
    for damaged in (bytes([0xC5, 0x53]), bytes([0xC5, 0x53, 0x9E, 0x3F]), b""):
        with pytest.raises(DecodeError):
            Libtiff(1, 8, THUNDERSCAN).decode(damaged)


def test_blocks_of_chroma_are_counted():
    codec = Libtiff(3, 5, YCBCR)
    assert codec.decode(bytes([128] * 36)).shape == (3, 5, 3)
    for count in (0, 35, 37):
        with pytest.raises(DecodeError, match=f"the chunk has {count} bytes, 36 are needed"):
            codec.decode(bytes(count))


def test_streams_of_old_style_jpeg():
    image = np.random.default_rng(3).integers(0, 256, (24, 40, 3), "u1")
    stream = bytes(imagecodecs.jpeg8_encode(image, level=95, subsampling="420"))
    at = stream.index(b"\xff\xda") + 14
    header = base64.b64encode(stream[:at]).decode()
    whole, apart = Libtiff(24, 40, OLD_JPEG), Libtiff(24, 40, OLD_JPEG, header)
    pixels = whole.decode(stream)
    np.testing.assert_array_equal(apart.decode(stream[at:]), pixels)
    np.testing.assert_array_equal(apart.decode(stream[at - 14 :]), pixels)  # with its scan header
    np.testing.assert_array_equal(apart.decode(stream[at:-2]), pixels)
    with pytest.raises(DecodeError, match="has a header of its own"):
        apart.decode(stream)
    with pytest.raises(DecodeError, match="no header of a baseline JPEG of 24 x 41"):
        Libtiff(24, 41, OLD_JPEG).decode(stream)
    for end in (len(stream) - 3, len(stream) // 2, at + 1):
        with pytest.raises(DecodeError, match="breaks off before its last pixel"):
            whole.decode(stream[:end])


def test_configurations_are_json_and_looked_at():
    codec = Libtiff(3, 5, {**YCBCR, "529": [(299, 1000), (587, 1000), (114, 1000)]})
    config = json.loads(json.dumps(codec.get_config()))
    assert config["tags"]["529"] == [[299, 1000], [587, 1000], [114, 1000]]
    assert numcodecs.get_codec(config).get_config() == codec.get_config()
    for tags in ({}, {**NEXT, "273": [8]}, {**NEXT, "258": []}):
        with pytest.raises(ValueError, match="tags"):
            Libtiff(3, 5, tags)
    with pytest.raises(ValueError, match="must be 24 or 32"):
        LogLuv(3, 5, 16)


def test_inflate_stops_where_a_strip_ends():
    bomb = bytes(imagecodecs.zlib_encode(bytes(1 << 22)))
    assert bytes(Inflate(100).decode(bomb)) == bytes(100)
    with pytest.raises(DecodeError, match="the chunk has 5 bytes, 100 are needed"):
        Inflate(100).decode(bytes(imagecodecs.zlib_encode(bytes(5))))
    with pytest.raises(DecodeError, match="inflate: Error -3"):
        Inflate(100).decode(b"no stream")
