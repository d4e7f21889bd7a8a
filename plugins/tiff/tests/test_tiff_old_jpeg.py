"""Old-style JPEG in its three forms, made of JPEG streams, with GDAL as the judge."""

import struct

import imagecodecs
import manifestry as mf
import numpy as np
import pytest
import rasterio
import zarr

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SUBSAMPLING = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
Y, X = np.mgrid[:96, :72]
IMAGE = np.stack([Y * 2 + X, 255 - X * 3, (Y * X) % 256], axis=-1).astype("u1")
FRAME, SCAN, Q_TABLE, HUFFMAN = 0xC0, 0xDA, 0xDB, 0xC4


def stream_of(pixels, subsampling):
    """Marker segments of a JPEG stream, and its entropy-coded bytes."""
    stream = bytes(imagecodecs.jpeg8_encode(pixels, level=90, subsampling=subsampling, optimize=False))
    at, segments = 2, []
    while not segments or segments[-1][0] != SCAN:
        size = 2 + struct.unpack_from(">H", stream, at + 2)[0]
        segments.append((stream[at + 1], stream[at : at + size]))
        at += size
    return segments, stream[at:].removesuffix(b"\xff\xd9")


def resized(segments, rows, columns):
    """The header with another size in its frame."""
    new = struct.pack(">HH", rows, columns)
    return b"".join(s[:5] + new + s[9:] if m == FRAME else s for m, s in segments if m not in (0xE0, SCAN))


def tags_of(length, width, rows, place, streams, subsampling, *more):
    offsets = [place + sum(map(len, streams[:i])) for i in range(len(streams))]
    tags = {
        256: (256, 4, width), 257: (257, 4, length), 258: (258, 3, [8] * 3), 259: (259, 3, 6),
        262: (262, 3, 6), 273: (273, 4, offsets), 277: (277, 3, 3), 278: (278, 4, rows),
        279: (279, 4, list(map(len, streams))), 512: (512, 3, 1), 530: (530, 3, list(subsampling)),
    }  # fmt: skip
    tags |= {tag[0]: tag for tag in more}
    return [tag for tag in tags.values() if tag[1:]]


def agree(path):
    with rasterio.open(path) as file:
        expected = file.read()
    array = zarr.open_group(mf.open_store(mf.parse(path)), mode="r")["0"]
    np.testing.assert_array_equal(array[...], expected)
    assert array.attrs["photometric"] == "rgb"


def whole_stream(make_tiff, subsampling, *, described=True, length=96):
    segments, data = stream_of(IMAGE[:length], subsampling)
    stream = b"\xff\xd8" + b"".join(s for _, s in segments) + data + b"\xff\xd9"
    more = [(513, 4, 16), (514, 4, len(stream))] if described else []
    tags = tags_of(length, 72, length, 16, [stream], SUBSAMPLING[subsampling], *more)
    return make_tiff([tags], stream)


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
@pytest.mark.parametrize("described", [True, False])
def test_whole_streams(make_tiff, subsampling, described):
    agree(whole_stream(make_tiff, subsampling, described=described))
    agree(whole_stream(make_tiff, subsampling, described=described, length=91))


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
@pytest.mark.parametrize("length", [96, 90])
@pytest.mark.parametrize("first", [b"", b"scan"])
def test_strips_between_restart_markers(make_tiff, subsampling, length, first):
    rows = 16
    parts = [stream_of(IMAGE[i : min(i + rows, length)], subsampling) for i in range(0, length, rows)]
    segments = parts[0][0]
    header = b"\xff\xd8" + resized(segments, length, 72)
    scan = next(s for m, s in segments if m == SCAN)
    streams = [data for _, data in parts]
    if first:  # the scan header stands in front of the first strip
        streams[0] = scan + streams[0]
    else:
        header += scan
    more = [(513, 4, 16), (514, 4, len(header))]
    tags = tags_of(length, 72, rows, 16 + len(header), streams, SUBSAMPLING[subsampling], *more)
    short = subsampling != "420" and length % rows  # blocks of 8 rows, of which the last strip has too few
    path = make_tiff([tags], header + b"".join(streams))
    if short and -(-(length % rows) // 8) < rows // 8:
        with pytest.raises(mf.UnsupportedFeatureError, match="in strips of 16 rows"):
            mf.parse(path)
    else:
        agree(path)


def with_tables(make_tiff, subsampling, pixels, *, weights=None):
    """The form in which tags say where the tables are."""
    segments, data = stream_of(pixels, subsampling)
    quantization, huffman = {}, {}
    for marker, segment in segments:
        body = segment[4:]
        while marker in (Q_TABLE, HUFFMAN) and body:
            size = 65 if marker == Q_TABLE else 17 + sum(body[1:17])
            (quantization if marker == Q_TABLE else huffman)[body[0]] = body[1:size]
            body = body[size:]
    blob, places = data, {519: [], 520: [], 521: []}
    for component in range(3):
        number = min(component, 1)
        for tag, table in ((519, quantization[number]), (520, huffman[number]), (521, huffman[16 + number])):
            places[tag].append(16 + len(blob))
            blob += table
    more = [(tag, 4, values) for tag, values in places.items()] + ([(529, 5, weights)] if weights else [])
    length, width = pixels.shape[:2]
    tags = tags_of(length, width, length, 16, [data], SUBSAMPLING[subsampling], *more)
    return make_tiff([tags], blob)


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
def test_tables_of_tags(make_tiff, subsampling):
    agree(with_tables(make_tiff, subsampling, IMAGE))
    agree(with_tables(make_tiff, subsampling, IMAGE[:53, :37], weights=[2126, 10000, 7152, 10000, 722, 10000]))


@pytest.mark.parametrize("cut", [1, 2, 9, 400])
def test_streams_that_break_off_are_named(make_tiff, cut):
    path = with_tables(make_tiff, "420", IMAGE)
    data = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    for i in range(struct.unpack_from("<H", data, first)[0]):
        at = first + 2 + 12 * i
        if struct.unpack_from("<H", data, at)[0] == 279:
            struct.pack_into("<I", data, at + 8, struct.unpack_from("<I", data, at + 8)[0] - cut)
    path.write_bytes(data)
    with pytest.raises(
        mf.MalformedFileError, match=r"strip 0 at offset 16: DecodeError: .*breaks off before its last pixel"
    ):
        mf.parse(path)


REFUSED = {
    "of process 14": [(512, 3, 14)],
    "of 3 components of 8 bits, photometric 5": [(262, 3, 5)],
    "of 1 components of 8 bits, photometric 1": [(262, 3, 1), (277, 3, 1), (258, 3, 8)],
    "with a stream and a strip at different places": [(514, 4, 1500), (273, 4, 900)],
    "with restart markers after 3 blocks": [(515, 3, 3), (278, 4, 16), (273, 4, [700] * 6), (279, 4, [99] * 6)],
    "in strips of 12 rows": [(278, 4, 12), (273, 4, [700] * 8), (279, 4, [99] * 8)],
}


@pytest.mark.parametrize("feature", REFUSED)
def test_what_stays_refused(make_tiff, feature):
    segments, data = stream_of(IMAGE, "420")
    header = b"\xff\xd8" + resized(segments, 96, 72) + next(s for m, s in segments if m == SCAN)
    more = {513: (513, 4, 16), 514: (514, 4, len(header))} | {tag[0]: tag for tag in REFUSED[feature]}
    tags = tags_of(96, 72, 96, 16 + len(header), [data], (2, 2), *more.values())
    with pytest.raises(mf.UnsupportedFeatureError) as caught:
        mf.parse(make_tiff([tags], header + data))
    assert feature in str(caught.value)
