"""Files that violate the specification: named errors, at once, whatever is wrong."""

import random
import re
import struct

import manifestry as mf
import numpy as np
import pytest
import tifffile
import zarr
from examples import examples
from hypothesis import HealthCheck, given, settings, strategies as st
from manifestry.testing.refusing import refuses

PIXELS = bytes(range(64))


def refused(path, **options):
    with refuses() as caught:
        mf.parse(path, format="tiff", **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((256,), r"tag 256 \(IMAGE_WIDTH\): the tag is missing"),
        ((257, 4, 0), r"tag 257 \(IMAGE_LENGTH\): 0: must be 1 to"),
        ((258, 3, 0), r"tag 258 \(BITS_PER_SAMPLE\): 0: must be positive"),
        ((277, 3, 0), r"tag 277 \(SAMPLES_PER_PIXEL\): 0: must be 1 to 65536"),
        ((273,), r"tag 273 \(STRIP_OFFSETS\): the tag is missing"),
        (
            (273, 4, 1 << 20),
            r"tag 273 \(STRIP_OFFSETS\): segment 0 of 64 bytes at offset 1048576 reaches beyond the file of \d+ bytes",
        ),
        (
            (273, 4, 5, 1 << 30),
            r"tag 273 \(STRIP_OFFSETS\): 5 values at offset 1073741824 reach beyond the file of \d+ bytes",
        ),
        ((278, 4, 2), r"tag 273 \(STRIP_OFFSETS\): 1 values are too few: 4 are needed"),
        ((322, 4, 0), r"tag 323 \(TILE_LENGTH\): the tag is missing"),
        ((278, 12, 8.0), r"tag 278 \(ROWS_PER_STRIP\): 1 values of type 12: must be integers"),
    ],
)
def test_impossible_tags_are_named(make_tiff, change, message):
    text = refused(make_tiff([make_tiff.gray(8, 8, 16, 64, change)], PIXELS))
    assert re.search(r"IFD 0 at offset \d+, " + message, text)


def test_strips_that_are_too_short_are_named(make_tiff):
    path = make_tiff([make_tiff.gray(8, 8, [16, 48], [30, 32], rows=4)], PIXELS)
    assert "tag 279 (STRIP_BYTE_COUNTS): uncompressed strip 0 has 30 bytes: 32 are needed" in refused(path)


@pytest.mark.parametrize("change", [[(279, 4, 60)], [(278,), (273, 4, [16, 48]), (279, 4, [32, 32])]])
def test_a_single_strip_has_the_bytes_of_the_image(make_tiff, change):
    path = make_tiff([make_tiff.gray(8, 8, 16, 64, *change)], PIXELS)
    found = zarr.open_group(mf.open_store(mf.parse(path)), mode="r")["0"][...]
    np.testing.assert_array_equal(found, tifffile.imread(path))


def test_integers_of_24_bits_in_big_endian_files_are_refused(make_tiff):
    path = make_tiff([make_tiff.gray(4, 4, 16, 48, (258, 3, 24))], PIXELS, order=">")
    assert "integers of 24 bits in a big-endian file" in refused(path)


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        ((259, 3, 6), "old-style JPEG (compression 6) of 1 components of 8 bits, photometric 1"),
        ((259, 3, 32809), "compression 32809 of 1 components of 8 bits"),
        ((259, 3, 34676), "compression 34676 of 1 components of 8 bits with SampleFormat 1 and photometric 1"),
        ((259, 3, 12345), "compression 12345"),
        ((258, 3, 40), "samples of 40 bits with SampleFormat 1"),
        ((339, 3, 2, 0), "samples of 12 bits with SampleFormat 2"),
        ((32997, 4, 5), "volumes (ImageDepth)"),
        ((317, 3, 2, 32773), "predictor 2 with PackBits"),
        ((317, 3, 3, 34887), "predictor 3 with LERC"),
    ],
)
def test_refusals_are_named(make_tiff, change, feature):
    more = {339: [(339, 3, 2), (258, 3, 12)], 317: [change[:3], (259, 3, change[-1])]}.get(change[0], [change])
    tree = mf.parse(make_tiff([make_tiff.gray(8, 8, 16, 64, *more)], PIXELS), on_unsupported="skip")
    assert not list(tree.walk_arrays())
    (issue,) = tree.issues
    assert (issue.path, issue.feature) == ("0", feature)
    assert issue.hint


def test_components_that_differ_are_refused(make_tiff):
    tags = make_tiff.gray(8, 8, 16, 64, (277, 3, 3), (258, 3, [5, 6, 5]))
    assert "components of different sizes (5, 6, 5)" in refused(make_tiff([tags], PIXELS))


@pytest.mark.parametrize(
    ("compression", "order", "more", "message"),
    [
        (34887, ">", [(258, 3, 16)], "LERC in a big-endian file"),
        (34892, "<", [(262, 3, 2), (277, 3, 3), (258, 3, [8] * 3)], "lossy JPEG of DNG as RGB"),
        (7, "<", [(262, 3, 6), (277, 3, 3), (258, 3, [8] * 3), (284, 3, 2)], "subsampled YCbCr in separate planes"),
        (8, ">", [(317, 3, 2), (258, 3, 64), (339, 3, 6)], "predictor 2 on 8 columns of 64 bits with SampleFormat 6"),
        (8, "<", [(317, 3, 34893), (256, 4, 6)], "predictor 34893 on 6 columns of 8 bits"),
        (8, "<", [(317, 3, 3)], "predictor 3 on 8 columns of 8 bits with SampleFormat 1"),
    ],
)
def test_combinations_without_a_codec_are_refused(make_tiff, compression, order, more, message):
    tags = make_tiff.gray(8, 8, [16] * 3, [64] * 3, *more, compression=compression)
    assert message in refused(make_tiff([tags], PIXELS, order=order))


def test_a_loop_of_directories(make_tiff):
    image = make_tiff.gray(8, 8, 16, 64)
    path = make_tiff([image, image], PIXELS, loop=0)
    assert "the chain of directories is a loop" in refused(path)
    assert mf.parse(path, ifd=1)["1"].shape == (8, 8)
    assert "loop" in refused(path, ifd=2)


def test_a_loop_of_pages_of_a_series(make_tiff):
    """tifffile, which knows the conventions of series, would follow the loop without end."""
    image = make_tiff.gray(8, 8, 16, 64, (33629, 4, [0] * 6))
    path = make_tiff([image], PIXELS, loop=0)
    tree = mf.parse(path, on_unsupported="skip")
    assert "loop" in tree.issues[0].message
    assert tree.issues[1].feature == "series with a page that cannot be read"
    assert not tree.arrays
    assert mf.parse(path, ifd=0)["0"].shape == (8, 8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"II*\0", "not a TIFF header"),
        (b"II*\0\0\0\0\0", "no image file directory"),
        (b"II*\0\xff\xff\0\0", r"IFD 0 at offset 65535: must lie inside the file of 8 bytes"),
        (b"II+\0\x04\0\0\0" + bytes(8), "not a TIFF header"),
        (b"II*\0\x08\0\0\0\xff\xff", "65535 entries"),
        (b"II*\0\x08\0\0\0\x03\0" + bytes(14), "the 3 entries are cut off after 1"),
    ],
)
def test_headers_and_directories(tmp_path, data, message):
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert re.search(message, refused(path))


def test_corrupt_streams_of_small_files_are_found(make_tiff):
    tags = make_tiff.gray(8, 8, 16, 64, compression=8)
    assert re.search(
        r"IFD 0, strip 0 at offset 16: error: Error -3 while decompressing", refused(make_tiff([tags], PIXELS))
    )


def test_bombs_are_not_unpacked(make_tiff):
    import zlib

    bomb = zlib.compress(bytes(50 << 20))
    tags = make_tiff.gray(8, 8, 16, len(bomb), compression=8)
    array = mf.parse(make_tiff([tags], bomb))["0"]
    assert [codec.name for codec in array.metadata.codecs] == ["bytes", "manifestry.inflate"]


def test_absurd_sizes_allocate_nothing(make_tiff):
    huge = (1 << 31) - 1
    assert "tiles or strips are more than limits.max_chunks" in refused(
        make_tiff([make_tiff.gray(huge, huge, 16, 64, (322, 4, 16), (323, 4, 16))], PIXELS)
    )
    assert "a tile or strip has" in refused(make_tiff([make_tiff.gray(huge, huge, 16, 64)], PIXELS))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.tif"
    values = np.random.default_rng(2).integers(0, 255, (3, 40, 50), dtype="u1")
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633)
    extra = [(34735, 3, len(keys), keys, True), (33550, 12, 3, (10.0, 10.0, 0.0), True),
             (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True), (42113, 2, 0, "0", True)]  # fmt: skip
    with tifffile.TiffWriter(path) as file:
        file.write(
            values,
            compression="lzw",
            tile=(16, 16),
            planarconfig="separate",
            photometric="rgb",
            extratags=extra,
            subifds=1,
        )
        file.write(
            values[:, ::2, ::2],
            compression="zlib",
            rowsperstrip=7,
            subfiletype=1,
            planarconfig="separate",
            photometric="rgb",
        )
        file.write(values[0], compression="packbits", rowsperstrip=9, metadata=None)
    return path.read_bytes()


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 30), count=st.integers(1, 12))
def test_flipped_bytes_end_in_a_tree_or_a_named_error(tmp_path, sound, seed, count):
    random_ = random.Random(seed)
    data = bytearray(sound)
    tail = struct.unpack_from("<I", data, 4)[0]
    for _ in range(count):
        low, high = random_.choice([(8, len(data)), (tail, min(tail + 400, len(data)))])
        data[random_.randrange(low, high)] = random_.randrange(256)
    path = tmp_path / "fuzzed.tif"
    path.write_bytes(data)
    try:
        tree = mf.parse(path, format="tiff", on_unsupported="skip")
    except mf.PluginError:
        raise
    except mf.ManifestryError:
        return
    for _, array in tree.walk_arrays():
        assert array.manifest.grid_shape == array.metadata.grid_shape


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_truncated_files_end_in_a_tree_or_a_named_error(tmp_path, sound, share):
    path = tmp_path / "cut.tif"
    path.write_bytes(sound[: 8 + int(share * (len(sound) - 9))])
    try:
        tree = mf.parse(path, format="tiff", on_unsupported="skip")
    except mf.PluginError:
        raise
    except mf.ManifestryError:
        return
    assert tree.issues or list(tree.walk_arrays())


@pytest.mark.parametrize(
    ("compression", "at", "size"),
    [
        ("jpeg", b"\xff\xc0\x00\x11\x08", ">HH"),
        ("png", b"IHDR", ">II"),
        ("jpeg2000", b"\xff\x4f\xff\x51\0\x2f\0\0", ">II"),
    ],
)
def test_streams_that_claim_to_be_huge_are_not_decoded(tmp_path, compression, at, size):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((40, 50, 3), 9, "u1"), photometric="rgb", compression=compression, metadata=None)
    data = bytearray(path.read_bytes())
    struct.pack_into(size, data, data.index(at) + len(at), 40_000, 40_000)
    path.write_bytes(data)
    assert "its header declares 40000 x 40000 pixels, the tags 40 x 50" in refused(path)


def test_sub_directories_that_are_known_come_once(make_tiff):
    """A directory that points back at all directories is no image of its own each time."""
    pages = [make_tiff.gray(8, 8, 16, 64, (330, 4, [0, 0])), make_tiff.gray(8, 8, 16, 64)]
    data = bytearray(make_tiff(pages, PIXELS).read_bytes())
    with tifffile.TiffFile(make_tiff(pages, PIXELS)) as tif:
        at, offsets = tif.pages[0].tags[330].valueoffset, [page.offset for page in tif.pages]
    struct.pack_into("<II", data, at, *offsets)
    path = make_tiff([], name="again.tif")
    path.write_bytes(data)
    assert mf.parse(path)["0"].shape == (2, 8, 8)


def test_absurdly_many_sub_directories_are_refused(make_tiff):
    path = make_tiff([make_tiff.gray(8, 8, 16, 64, (330, 4, [16] * 2000))], PIXELS)
    assert "tag 330 (SUB_IFDS): 2000 directories" in refused(path)
