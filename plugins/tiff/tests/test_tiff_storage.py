"""Every way of storing pixels, written by tifffile or GDAL, read back through zarr."""

import itertools
import zlib
from pathlib import Path

import imagecodecs
import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from manifestry.plugin import RectilinearGrid

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def read(path: Path, name: str = "0", **options) -> np.ndarray:
    tree = mf.parse(path, ifd=0, **options)
    return zarr.open_group(mf.open_store(tree), mode="r")[name][...]


def pixels(dtype: str, shape=(3, 50, 70)) -> np.ndarray:
    rng = np.random.default_rng(7)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) > 0.5
    if kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    values = rng.normal(size=shape).astype(dtype)
    return values + (1j * rng.normal(size=shape)).astype(dtype) if kind == "c" else values


def write(path: Path, values: np.ndarray, planar: bool, **options) -> None:
    image = values if planar else np.moveaxis(values, 0, -1)
    config = "separate" if planar else "contig"
    tifffile.imwrite(path, image, planarconfig=config, photometric="rgb", metadata=None, **options)


RNG = np.random.default_rng(8)
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
GDAL_TILES = {"tiled": True, "blockxsize": 48, "blockysize": 32}
LAYOUTS = [{"tile": (32, 48)}, {"rowsperstrip": 10}, {"rowsperstrip": 12}]


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "lzma", "packbits"])
def test_compressions_layouts_and_byte_orders(tmp_path, compression):
    values = pixels("uint16")
    for i, (layout, planar, order) in enumerate(itertools.product(LAYOUTS, [True, False], "<>")):
        path = tmp_path / f"{i}.tif"
        write(path, values, planar, compression=compression, byteorder=order, bigtiff=i % 2 == 0, **layout)
        np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ],
)
def test_types(tmp_path, dtype):
    values = pixels(dtype, (50, 70))
    for order in "<>":
        path = tmp_path / f"{ord(order)}.tif"
        tifffile.imwrite(path, values, byteorder=order, compression="zlib", rowsperstrip=20, photometric="minisblack")
        found = read(path)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("predictor", "dtype"),
    [(2, "uint8"), (2, "int16"), (2, "uint32"), (2, "int64"), (3, "float16"), (3, "float32"), (3, "float64")],
)
def test_predictors(tmp_path, predictor, dtype):
    values = pixels(dtype)
    for i, (layout, planar, order) in enumerate(itertools.product(LAYOUTS, [True, False], "<>")):
        path = tmp_path / f"{i}.tif"
        write(path, values, planar, compression="zlib", predictor=predictor, byteorder=order, **layout)
        np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 10, 12, 14, 17, 24, 31])
def test_packed_bits(tmp_path, bits):
    rng = np.random.default_rng(bits)
    dtype = "uint8" if bits <= 8 else "uint16" if bits <= 16 else "uint32"
    values = rng.integers(0, 2**bits, (50, 71), dtype="u4").astype(dtype)
    for i, (compression, layout) in enumerate(itertools.product(["none", "deflate"], LAYOUTS)):
        path = tmp_path / f"{i}.tif"
        options = {"blockysize": layout["rowsperstrip"]} if "rowsperstrip" in layout else GDAL_TILES
        with rasterio.open(
            path, "w", driver="GTiff", width=71, height=50, count=1, dtype=dtype, nbits=bits, compress=compression,
            **options,
        ) as file:  # fmt: skip
            file.write(values, 1)
        np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize("compress", ["jpeg", "webp", "lerc", "lerc_zstd", "lerc_deflate", "jxl"])
def test_image_schemes_as_gdal_decodes_them(tmp_path, compress):
    path = tmp_path / "a.tif"
    values = np.add.outer(np.arange(128), np.arange(160)).astype("u1")[None].repeat(3, axis=0)
    values[1] //= 2
    try:
        with rasterio.open(
            path, "w", driver="GTiff", width=160, height=128, count=3, dtype="uint8", compress=compress, tiled=True,
            blockxsize=64, blockysize=64, interleave="pixel", photometric="ycbcr" if compress == "jpeg" else "rgb",
        ) as file:  # fmt: skip
            file.write(values)
    except rasterio.errors.RasterioError:
        pytest.skip(f"this GDAL does not write {compress}")
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read(path), file.read())


@pytest.mark.parametrize("compression", [7, 34892])
def test_jpeg_that_is_said_to_be_rgb_and_cannot_be(make_tiff, compression):
    """Components of other resolution are chroma, whatever PhotometricInterpretation says."""
    values = np.kron(RNG.integers(0, 255, (4, 6, 3)), np.ones((8, 8, 1))).astype("u1")
    stream = bytes(imagecodecs.jpeg8_encode(values, subsampling="420"))
    more = [(258, 3, [8] * 3), (262, 3, 2), (277, 3, 3)]
    path = make_tiff([make_tiff.gray(48, 32, 16, len(stream), *more, compression=compression)], stream)
    np.testing.assert_array_equal(read(path), np.moveaxis(tifffile.imread(path), -1, 0))


@pytest.mark.parametrize("compress", ["lerc", "lerc_zstd"])
@pytest.mark.parametrize(("dtype", "count", "interleave"), [
    ("float32", 1, "pixel"), ("float32", 3, "pixel"), ("float64", 2, "band"), ("uint8", 4, "pixel"),
])  # fmt: skip
def test_masks_in_lerc_are_nan_or_alpha(tmp_path, compress, dtype, count, interleave):
    """libtiff leaves NaN, and alpha that is 0 or 255, to the mask of the stream."""
    path = tmp_path / "a.tif"
    values = (RNG.random((count, 50, 70)) * 200).astype(dtype)
    if dtype == "uint8":
        values[-1] = np.where(values[0] > 100, 255, 0)
    else:
        values[0, 5:9], values[-1, 40:, 3:5] = np.nan, np.nan
    with rasterio.open(
        path, "w", driver="GTiff", width=70, height=50, count=count, dtype=dtype, compress=compress, blockysize=16,
        interleave=interleave, max_z_error=0, **({"alpha": "yes"} if dtype == "uint8" else {}),
    ) as file:  # fmt: skip
        file.write(values)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read(path), file.read().reshape(values.shape)[0 if count == 1 else slice(None)])


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_predictor_of_complex_numbers(tmp_path, dtype):
    path = tmp_path / "a.tif"
    values = (RNG.integers(-99, 99, (2, 50, 70)) + 1j * RNG.integers(-99, 99, (2, 50, 70))).astype("c8")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=70,
        height=50,
        count=2,
        dtype=dtype,
        compress="zstd",
        predictor=2,
        blockysize=16,
    ) as file:
        file.write(values)
    np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize("compress", ["jpeg", "webp", "lerc"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_short_last_strip_of_an_image_scheme(tmp_path, compress, interleave):
    if (compress, interleave) == ("webp", "band"):
        pytest.skip("WebP has no single bands")
    path = tmp_path / "a.tif"
    values = np.add.outer(np.arange(50), np.arange(160)).astype("u1")[None].repeat(3, axis=0)
    with rasterio.open(
        path, "w", driver="GTiff", width=160, height=50, count=3, dtype="uint8", compress=compress, blockysize=16,
        interleave=interleave,
    ) as file:  # fmt: skip
        file.write(values)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read(path), file.read())


@pytest.mark.parametrize("scheme", ["ccittrle", "ccittfax3", "ccittfax4"])
def test_ccitt_as_gdal_decodes_it(tmp_path, scheme):
    path = tmp_path / "a.tif"
    values = np.random.default_rng(3).random((50, 64)) > 0.7
    with rasterio.open(
        path, "w", driver="GTiff", width=64, height=50, count=1, dtype="uint8", nbits=1, compress=scheme, blockysize=16
    ) as file:
        file.write(values.astype("u1"), 1)
    np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize("bits", [16, 32])
def test_complex_integers(tmp_path, bits):
    path = tmp_path / "a.tif"
    values = np.array([[1 + 2j, -3 + 4j], [5 - 6j, -7 - 8j]], "c8")
    with rasterio.open(
        path, "w", driver="GTiff", width=2, height=2, count=1, dtype={16: "complex_int16", 32: "complex64"}[bits]
    ) as file:
        file.write(values, 1)
    if bits == 32:  # rasterio writes no CInt32: make one of CInt16's tags
        wide = tmp_path / "b.tif"
        pairs = np.array([[1, 2, -3, 4], [5, -6, -7, -8]], "<i4")
        tifffile.imwrite(wide, pairs.view("V8").view("<c8"), photometric="minisblack", extratags=[], metadata=None)
        data = bytearray(wide.read_bytes())
        with tifffile.TiffFile(wide) as tif:
            at = tif.pages[0].tags["SampleFormat"].valueoffset
        data[at] = 5
        wide.write_bytes(data)
        path = wide
    np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4"])
def test_fill_order(make_tiff, compression, dtype):
    values = pixels("uint8", (50, 64)).view(dtype)
    encode = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress}[compression]
    strips = [encode(values[i : i + 12].tobytes()).translate(REVERSED) for i in range(0, 50, 12)]
    offsets = [16 + sum(map(len, strips[:i])) for i in range(5)]
    more = [(266, 3, 2), (339, 3, 3 if dtype == "<f4" else 1)]
    tags = make_tiff.gray(
        values.shape[1], 50, offsets, [len(s) for s in strips], *more, rows=12, bits=8 * values.itemsize,
        compression=compression,
    )  # fmt: skip
    np.testing.assert_array_equal(read(make_tiff([tags], b"".join(strips))), values)


def test_short_last_strip_is_divided_copied_or_rectilinear(tmp_path):
    values = pixels("uint16", (50, 70))
    plain, deflated = tmp_path / "plain.tif", tmp_path / "deflated.tif"
    tifffile.imwrite(plain, values, rowsperstrip=12, photometric="minisblack")
    tifffile.imwrite(deflated, values, rowsperstrip=12, compression="zlib", photometric="minisblack")
    divided, copied = mf.parse(plain)["0"], mf.parse(deflated)["0"]
    assert (divided.manifest.inline, divided.manifest.stored_bytes) == (b"", values.nbytes)
    assert copied.manifest.inlined.tolist() == [False] * 4 + [True]
    listed = mf.parse(deflated, rectilinear=True)["0"]
    assert listed.metadata.chunk_grid == RectilinearGrid(((12, 12, 12, 12, 2), (70,)))
    with zarr.config.set({"array.rectilinear_chunks": True}):
        np.testing.assert_array_equal(read(deflated, rectilinear=True), values)


def test_uncompressed_rows_are_divided_to_the_size_asked_for(tmp_path):
    values = pixels("uint16", (3, 60, 70))
    path = tmp_path / "a.tif"
    write(path, values, planar=False, rowsperstrip=60)
    array = mf.parse(path, chunk_bytes=10 * 70 * 3 * 2)["0"]
    assert array.metadata.chunk_shape == (3, 10, 70)
    np.testing.assert_array_equal(read(path, chunk_bytes=10 * 70 * 3 * 2), values)


def test_sparse_tiles_read_as_nodata(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=256, height=256, count=1, dtype="int16", tiled=True, blockxsize=64,
        blockysize=64, sparse_ok=True, nodata=-9999, compress="deflate",
    ) as file:  # fmt: skip
        file.write(np.ones((64, 64), "i2"), 1, window=((64, 128), (128, 192)))
    array = mf.parse(path)["0"]
    assert array.manifest.stored_count == 1
    assert array.metadata.fill_value == -9999
    assert array.attributes["_FillValue"] == np.int16(-9999)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read(path), file.read(1))


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [("0.0", "uint8", 0), ("256", "uint8", None), ("-9999", "uint8", None), ("nan", "int16", None),
     ("nan", "float32", np.nan), ("1e39", "float32", None), ("what", "float32", None),
     ("9007199254740993", "int64", 9007199254740993)],
)  # fmt: skip
def test_nodata_is_kept_or_reported(tmp_path, text, dtype, value):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 4), dtype), extratags=[(42113, 2, 0, text, True)], metadata=None)
    tree = mf.parse(path)
    found = tree["0"].attributes.get("_FillValue")
    if value is None:
        assert found is None
        assert [(i.feature, i.severity) for i in tree.issues] == [("nodata left out", "reported")]
    else:
        np.testing.assert_array_equal(found, value)
        assert not tree.issues


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [("256", "u1", 255), ("-9999", "u1", 0), ("nan", "<i2", 0), ("8.5", "<u2", 9), ("?", "u1", 0)],
)
def test_sparse_tiles_without_a_nodata_that_fits_read_as_gdal_fills_them(make_tiff, text, dtype, value):
    tags = make_tiff.gray(32, 16, [], [], (273,), (278,), (279,), (322, 4, 16), (323, 4, 16), (42113, 2, text))
    size = np.dtype(dtype).itemsize
    tags = [t for t in tags if t[0] not in (258, 339)]
    tags += [(258, 3, 8 * size), (324, 4, [16, 0]), (325, 4, [256 * size, 0]), (339, 3, 2 if dtype == "<i2" else 1)]
    path = make_tiff([tags], np.full(256, 7, dtype).tobytes())
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read(path), file.read(1))
    assert read(path)[0, 16] == value


@pytest.mark.parametrize("counts", [None, [0, 0, 0]])
@pytest.mark.parametrize("compression", [1, 5])
def test_byte_counts_that_are_missing(make_tiff, counts, compression):
    values = pixels("uint8", (30, 40))
    encode = imagecodecs.lzw_encode if compression == 5 else bytes
    strips = [encode(values[i : i + 10].tobytes()) for i in (0, 10, 20)]
    offsets = [16, 16 + len(strips[0]), 16 + len(strips[0]) + len(strips[1])]
    tags = make_tiff.gray(40, 30, offsets, counts or [], rows=10, compression=compression)
    path = make_tiff([[t for t in tags if counts or t[0] != 279]], b"".join(strips))
    np.testing.assert_array_equal(read(path), values)


def test_sparse_strips_read_as_zero(make_tiff):
    tags = make_tiff.gray(8, 4, [16, 0], [16, 0], rows=2)
    path = make_tiff([tags], bytes(range(1, 17)))
    np.testing.assert_array_equal(read(path).ravel(), [*range(1, 17), *[0] * 16])


def test_streams_with_superfluous_bytes_are_trimmed(tmp_path):
    path = tmp_path / "a.tif"
    values = pixels("uint8", (20, 30))
    strips = [zlib.compress(values[i : i + 10].tobytes() + b"x") for i in (0, 10)]
    tifffile.imwrite(
        path, iter(strips), shape=values.shape, dtype="u1", compression="zlib", rowsperstrip=10, metadata=None
    )
    array = mf.parse(path)["0"]
    assert [c.name for c in array.metadata.codecs] == ["bytes", "manifestry.trim", "numcodecs.zlib"]
    np.testing.assert_array_equal(read(path), values)


GREY = RNG.integers(0, 60_000, (32, 48), dtype="u2")
COLOURS = np.kron(RNG.integers(0, 255, (4, 6, 3)), np.ones((8, 8, 1))).astype("u1")
STREAMS = {
    "lossless JPEG of 16 bits": (7, GREY, lambda v: imagecodecs.ljpeg_encode(v, bitspersample=16)),
    "JPEG of 12 bits": (7, GREY % 4096, lambda v: imagecodecs.jpeg8_encode(v, bitspersample=12)),
    "JPEG 2000": (34712, GREY, imagecodecs.jpeg2k_encode),
    "JPEG 2000 of Aperio": (33005, COLOURS, imagecodecs.jpeg2k_encode),
    "JPEG XL": (50002, COLOURS, lambda v: imagecodecs.jpegxl_encode(v, lossless=True)),
    "JPEG XL of DNG": (52546, GREY, lambda v: imagecodecs.jpegxl_encode(v, lossless=True)),
    "JPEG XR": (34934, COLOURS, imagecodecs.jpegxr_encode),
    "PNG": (34933, GREY, imagecodecs.png_encode),
    "WebP": (50001, COLOURS, lambda v: imagecodecs.webp_encode(v, lossless=True)),
    "LERC": (34887, GREY, imagecodecs.lerc_encode),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_image_schemes_as_tifffile_decodes_them(make_tiff, kind):
    compression, values, encode = STREAMS[kind]
    stream = bytes(encode(values))
    samples = values.shape[2] if values.ndim == 3 else 1
    bits = 12 if "12" in kind else 8 * values.itemsize
    more = [(258, 3, [bits] * samples), (262, 3, 6 if compression == 7 and samples == 3 else 2 if samples == 3 else 1)]
    tags = make_tiff.gray(48, 32, 16, len(stream), (277, 3, samples), *more, compression=compression)
    path = make_tiff([tags], stream)
    expected = tifffile.imread(path)
    np.testing.assert_array_equal(read(path), np.moveaxis(expected, -1, 0) if samples > 1 else expected)
