"""What libtiff alone decodes: chroma in blocks, NeXT, ThunderScan, SGI LogLuv. GDAL is the judge, on files made here."""

import struct
import zlib

import imagecodecs
import manifestry as mf
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from examples import examples
from hypothesis import HealthCheck, assume, given, settings, strategies as st

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:Object at .manifestry:UserWarning"),
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
]
RUNS = settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COMPRESSORS = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32773: imagecodecs.packbits_encode,
}


def truth(path):
    with rasterio.open(path) as file:
        values = file.read()
    return values[0] if len(values) == 1 else values


def found(path, **options):
    tree = mf.parse(path, **options)
    array = zarr.open_group(mf.open_store(tree), mode="r")["0"]
    return array[...], array.attrs.asdict(), [codec.to_dict()["name"] for codec in array.metadata.codecs]


def agree(path, **options):
    values, attributes, codecs = found(path, **options)
    expected = truth(path)
    assert values.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected)
    return attributes, codecs


def strips(width, length, streams, rows, *more, order="<", tile=None):
    """Tags of an image in strips or tiles, and what they point at."""
    offsets = [16 + sum(map(len, streams[:i])) for i in range(len(streams))]
    counts = list(map(len, streams))
    tags = {256: (256, 4, width), 257: (257, 4, length)}
    if tile:
        places = [(322, 4, tile[1]), (323, 4, tile[0]), (324, 4, offsets), (325, 4, counts)]
    else:
        places = [(278, 4, rows), (273, 4, offsets), (279, 4, counts)]
    tags |= {tag[0]: tag for tag in (*places, *more)}
    return list(tags.values()), b"".join(streams)


def heights(length, rows):
    return [min(rows, length - first) for first in range(0, length, rows)]


def block_bytes(width, rows, across, down):
    return -(-rows // down) * -(-width // across) * (across * down + 2)


def libtiff_loses_blocks(shape, subsampling, compression, *, tiled):
    length, width, rows = shape
    if tiled:
        uncompressed = compression == 1 and subsampling not in ((1, 2), (2, 1))
        return uncompressed or (subsampling == (4, 4) and width % 32 > 0)
    return subsampling == (4, 4) and length % min(rows, length) > 0


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
SUBSAMPLING = [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)]
WEIGHTS = [None, [299, 1000, 587, 1000, 114, 1000], [2126, 10000, 7152, 10000, 722, 10000]]
LEVELS = [None, [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1], [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]]


@RUNS
@given(
    SHAPES, st.sampled_from(SUBSAMPLING), st.sampled_from(list(COMPRESSORS)), st.sampled_from(WEIGHTS),
    st.sampled_from(LEVELS), st.booleans(), st.sampled_from("<>"), st.booleans(), st.integers(0, 1 << 30),
)  # fmt: skip
def test_chroma_in_blocks(make_tiff, shape, subsampling, compression, weights, levels, tiled, order, few, seed):
    length, width, rows = shape
    assume(width >= subsampling[0] and length >= subsampling[1])
    noise = np.random.default_rng(seed)
    tile = (16, 32) if tiled else None
    if tile:
        sizes = [block_bytes(32, 16, *subsampling)] * (-(-length // 16) * -(-width // 32))
    else:
        rows = min(rows, length)
        sizes = [block_bytes(width, n, *subsampling) for n in heights(length, rows)]
    plain = [noise.integers(0, 256, size, "u1").tobytes() for size in sizes]
    if few:
        plain = [bytes([200]) * len(data) for data in plain]
    streams = [bytes(COMPRESSORS[compression](data)) for data in plain]
    more = [(258, 3, [8, 8, 8]), (259, 3, compression), (262, 3, 6), (277, 3, 3), (530, 3, list(subsampling))]
    tags, data = strips(width, length, streams, rows, *more, tile=tile)
    tags += [(tag, 5, values) for tag, values in ((529, weights), (532, levels)) if values]
    path = make_tiff([tags], data, order=order)
    if libtiff_loses_blocks(shape, subsampling, compression, tiled=tiled):
        with pytest.raises(mf.UnsupportedFeatureError, match="lose blocks"):
            mf.parse(path)
        return
    for options in ({}, {"rectilinear": True}):
        attributes, codecs = agree(path, **options)
        assert attributes["photometric"] == "rgb"
        assert "manifestry.libtiff" in codecs


def next_row(row, noise):
    """NeXT: a row as it is, a span of one, or runs."""
    packed = np.packbits((np.pad(row, (0, -row.size % 4))[:, None] >> [1, 0] & 1).astype("u1")).tobytes()
    kind = noise.integers(3)
    if kind == 0:
        return b"\0" + packed
    if kind == 1 and (first := int(noise.integers(len(packed)))) < len(packed):
        row[: 4 * first] = 3  # what a span leaves out is white
        row[4 * len(packed) :] = 3
        return b"\x40" + struct.pack(">HH", first, len(packed) - first) + packed[first:]
    runs, at = b"", 0
    while at < row.size:
        n = min(63, row.size - at, int(noise.integers(1, 64)))
        row[at : at + n] = row[at]
        runs += bytes([row[at] << 6 | n])
        at += n
    return runs


def thunder_row(row, noise):
    """ThunderScan: pixels as they are, runs, and differences."""
    code, at, last = b"", 0, 0
    while at < row.size:
        kind, left = noise.integers(4), row.size - at
        if kind == 0 and at:
            n = int(noise.integers(1, min(left, 63) + 1))
            row[at : at + n] = last
            code += bytes([n])
        elif kind == 1 and left >= 3:
            steps = [int(s) for s in noise.integers(-1, 2, 3)]
            row[at : at + 3] = (last + np.cumsum(steps)) % 16
            code += bytes([0x40 | sum((s if s >= 0 else 3) << 2 * (2 - i) for i, s in enumerate(steps))])
            n = 3
        elif kind == 2 and left >= 2:
            steps = [int(s) for s in noise.integers(-3, 4, 2)]
            row[at : at + 2] = (last + np.cumsum(steps)) % 16
            code += bytes([0x80 | sum((s if s >= 0 else 8 + s) << 3 * (1 - i) for i, s in enumerate(steps))])
            n = 2
        else:
            n = 1
            code += bytes([0xC0 | int(row[at])])
        at += n
        last = int(row[at - 1])
    return code


def log_row(words, shifts, noise):
    """SGI LogLuv: planes of bytes, high ones first, in runs and literal pieces."""
    code = b""
    for shift in shifts:
        plane, at = (words >> shift & 255).astype("u1"), 0
        while at < plane.size:
            n = int(noise.integers(1, 127))
            piece = plane[at : at + n]
            same = int(np.argmin(np.append(piece == piece[0], False)))
            if same >= 2:
                code += bytes([126 + same, piece[0]])
                at += same
            else:
                code += bytes([piece.size]) + piece.tobytes()
                at += piece.size
    return code


@RUNS
@given(
    SHAPES,
    st.sampled_from(["next", "thunderscan", "logl", "logluv", "logluv 24"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1 << 30),
)
def test_scans_and_logarithms(make_tiff, shape, kind, smooth, big_endian, seed):
    length, width, rows = shape
    width, rows, noise = 7 * width, min(rows, length), np.random.default_rng(seed)
    top = {"next": 4, "thunderscan": 16, "logl": 1 << 16, "logluv": 1 << 32, "logluv 24": 1 << 24}[kind]
    image = noise.integers(0, top, (length, width), "i8")
    image = np.repeat(image[:, ::7], 7, axis=1) if smooth else image
    encode = {
        "next": lambda row: next_row(row, noise),
        "thunderscan": lambda row: thunder_row(row, noise),
        "logl": lambda row: log_row(row, (8, 0), noise),
        "logluv": lambda row: log_row(row, (24, 16, 8, 0), noise),
        "logluv 24": lambda row: row.astype(">u4").view("u1").reshape(-1, 4)[:, 1:].tobytes(),
    }[kind]
    streams = [b"".join(encode(row) for row in image[i : i + rows]) for i in range(0, length, rows)]
    compression, bits, photometric, samples = {
        "next": (32766, 2, 1, 1), "thunderscan": (32809, 4, 1, 1), "logl": (34676, 16, 32844, 1),
        "logluv": (34676, 16, 32845, 3), "logluv 24": (34677, 16, 32845, 3),
    }[kind]  # fmt: skip
    more = [(258, 3, [bits] * samples), (259, 3, compression), (262, 3, photometric), (277, 3, samples)]
    more += [(339, 3, [2] * samples)] if bits == 16 else []
    tags, data = strips(width, length, streams, rows, *more)
    path = make_tiff([tags], data, order=">" if big_endian else "<")
    if bits < 16:
        np.testing.assert_array_equal(truth(path), image)
    for options in ({}, {"rectilinear": True}):
        attributes, _ = agree(path, **options)
        assert attributes["photometric"] == {32844: "logl", 32845: "logluv"}.get(photometric, "min_is_black")


def example(make_tiff, kind, name="made.tif"):
    """A small image in three strips, the last one short."""
    noise = np.random.default_rng(5)
    if kind == "chroma in blocks":
        streams = [zlib.compress(noise.bytes(block_bytes(30, n, 2, 2))) for n in (8, 8, 4)]
        more = [(258, 3, [8, 8, 8]), (259, 3, 8), (262, 3, 6), (277, 3, 3), (530, 3, [2, 2])]
    else:
        words = noise.integers(0, 1 << 32, (20, 30))
        streams = [b"".join(log_row(row, (24, 16, 8, 0), noise) for row in words[i : i + 8]) for i in range(0, 20, 8)]
        more = [(258, 3, [16] * 3), (259, 3, 34676), (262, 3, 32845), (277, 3, 3), (339, 3, [2] * 3)]
    tags, data = strips(30, 20, streams, 8, *more)
    return make_tiff([tags], data, name=name)


@pytest.mark.parametrize("kind", ["chroma in blocks", "logluv"])
def test_values_through_every_output(make_tiff, tmp_path, kind):
    path = example(make_tiff, kind)
    tree, expected = mf.parse(path), truth(path)
    for kerchunk, suffix in (("kerchunk-json", "json"), ("kerchunk-parquet", "parquet")):
        target = tmp_path / f"out.{suffix}"
        report = mf.write(tree, target, format=kerchunk)
        assert "manifestry-codecs" in report.packages
        with xr.open_dataset(str(target), engine="kerchunk", mask_and_scale=False) as dataset:
            np.testing.assert_array_equal(dataset["0"].values, expected)
    mf.write(tree, tmp_path / "v3.json", format="kerchunk-json", zarr_format=3)
    refs = mf.parse(tmp_path / "v3.json")
    np.testing.assert_array_equal(zarr.open_group(mf.open_store(refs), mode="r")["0"][...], expected)


def test_pages_are_stacked(make_tiff):
    noise = np.random.default_rng(6)
    pages = noise.integers(0, 4, (3, 10, 12), "u1")
    directories, data = [], b""
    for page in pages:
        stream = b"".join(next_row(row, noise) for row in page)
        more = [(258, 3, 2), (259, 3, 32766), (262, 3, 1), (277, 3, 1), (273, 4, [16 + len(data)])]
        directories.append(strips(12, 10, [stream], 10, *more)[0])
        data += stream
    values, _, _ = found(make_tiff(directories, data))
    np.testing.assert_array_equal(values, pages)


def test_verification_falls_back_on_the_parse(make_tiff, tmp_path):
    path = example(make_tiff, "chroma in blocks")
    mf.write(mf.parse(path), tmp_path / "out.json", format="kerchunk-json")
    report = mf.verify(tmp_path / "out.json")
    assert report.ok


REFUSED = {
    "YCbCr of 3 components of 8 bits, subsampled by (2, 4)": [(530, 3, [2, 4])],
    "YCbCr of 3 components of 8 bits, subsampled by (2, 2), in separate planes": [(284, 3, 2), (273, 4, [16] * 3), (279, 4, [99] * 3)],
    "YCbCr of 3 components of 16 bits": [(258, 3, [16] * 3)],
    "predictor 2 on subsampled YCbCr": [(259, 3, 8), (317, 3, 2)],
    "FillOrder 2 in compression 1": [(266, 3, 2)],
    "compression 32766 of 3 components of 8 bits": [(259, 3, 32766)],
    "compression 32809 of 1 components of 2 bits": [(259, 3, 32809), (258, 3, 2), (262, 3, 1), (277, 3, 1)],
    "compression 34677 of 1 components of 16 bits": [
        (259, 3, 34677), (258, 3, 16), (262, 3, 32844), (277, 3, 1), (339, 3, 2),
    ],
    "compression 34676 of 1 components of 32 bits with SampleFormat 3": [
        (259, 3, 34676), (258, 3, 32), (262, 3, 32844), (277, 3, 1), (339, 3, 3),
    ],
}  # fmt: skip


@pytest.mark.parametrize("feature", REFUSED)
def test_what_stays_refused(make_tiff, feature):
    more = {258: (258, 3, [8] * 3), 259: (259, 3, 1), 262: (262, 3, 6), 277: (277, 3, 3), 530: (530, 3, [2, 2])}
    more |= {tag[0]: tag for tag in REFUSED[feature]}
    tags, _ = strips(8, 8, [bytes(600)], 8, *more.values())
    with pytest.raises(mf.UnsupportedFeatureError) as caught:
        mf.parse(make_tiff([tags], bytes(600)))
    assert feature in str(caught.value)


@pytest.mark.parametrize("kind", ["chroma in blocks", "logluv"])
def test_strips_that_break_off_are_named(make_tiff, kind):
    path = example(make_tiff, kind)
    with rasterio.open(path) as file:
        offset = file.width and 16
    tags_at = path.read_bytes()
    first = struct.unpack_from("<I", tags_at, 4)[0]
    count = struct.unpack_from("<H", tags_at, first)[0]
    entries = {struct.unpack_from("<H", tags_at, first + 2 + 12 * i)[0]: first + 2 + 12 * i for i in range(count)}
    counts = struct.unpack_from("<I", tags_at, entries[279] + 8)[0]
    damaged = bytearray(tags_at)
    struct.pack_into("<I", damaged, counts, struct.unpack_from("<I", damaged, counts)[0] - 9)
    path.write_bytes(damaged)
    with pytest.raises(mf.MalformedFileError, match=f"IFD 0, strip 0 at offset {offset}"):
        mf.parse(path)


@pytest.mark.parametrize("rows", [10, 8])
def test_deflate_of_far_more_than_a_strip(make_tiff, rows):
    values = np.random.default_rng(4).integers(0, 256, (20, 30), "u1")
    streams = [zlib.compress(values[i : i + rows].tobytes() + bytes(1 << 24)) for i in range(0, 20, rows)]
    tags, data = strips(30, 20, streams, rows, (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1))
    path = make_tiff([tags], data)
    _, codecs = agree(path)
    assert codecs == ["bytes", "manifestry.inflate"]


def test_lzw_of_far_more_than_a_strip_is_malformed(make_tiff):
    tags, data = strips(
        30, 20, [bytes(imagecodecs.lzw_encode(bytes(1 << 20)))], 20, (258, 3, 8), (259, 3, 5), (262, 3, 1), (277, 3, 1)
    )
    with pytest.raises(mf.MalformedFileError, match=r"strip 0 at offset 16: it decodes to more than 600 bytes"):
        mf.parse(make_tiff([tags], data))
