"""A pyramid is one image: what its levels are, and what they have from the full image."""

import struct

import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from rasterio.enums import Resampling
from rasterio.shutil import copy

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RNG = np.random.default_rng(7)
NODATA = (42113, "s", 0, "-9999", True)


def metadata(*items):
    text = "".join(
        f'<Item name="{role.upper()}" sample="{band}" role="{role}">{value}</Item>' for band, role, value in items
    )
    return (42112, "s", 0, f"<GDALMetadata>{text}</GDALMetadata>", True)


def write(path, *images, **common):
    """Images as ``(values, arguments of tifffile)``."""
    with tifffile.TiffWriter(path, **common) as file:
        for values, options in images:
            file.write(values, **{"metadata": None, "photometric": "minisblack", "contiguous": False, **options})
    return path


def read(tree, path):
    return zarr.open_group(mf.open_store(tree), mode="r")[path][...]


def pyramids(tree):
    """The multiscales of every group that has some, and the shapes of their levels, by the path of the group."""
    groups = [("", tree), *tree.walk()]
    return {
        path: [
            tree[f"{path}/{entry['asset']}/data".lstrip("/")].shape
            for entry in group.attributes["multiscales"]["layout"]
        ]
        for path, group in groups
        if "multiscales" in group.attributes
    }


@pytest.mark.parametrize("dtype", ["i2", "f4", "f8", "i4"])
@pytest.mark.parametrize(
    "storage", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"compression": "zlib", "rowsperstrip": 7}]
)
def test_levels_without_nodata_have_that_of_the_image(tmp_path, dtype, storage):
    values = np.full((64, 64), 100, dtype)
    path = write(
        tmp_path / "a.tif",
        (values, {"extratags": [NODATA], **storage}),
        (values[::2, ::2], {"subfiletype": 1, **storage}),
    )
    tree = mf.parse(path)
    for level in "01":
        array = tree[f"{level}/data"]
        assert array.attributes["_FillValue"] == array.metadata.fill_value == -9999
    assert tree.issues == ()


def test_what_a_level_says_itself_counts(tmp_path):
    values = np.full((8, 8), 3, "i2")
    first = [NODATA, metadata((0, "scale", 2), (0, "offset", 5), (0, "unittype", "m"), (0, "description", "height"))]
    second = [(42113, "s", 0, "-1", True), metadata((0, "scale", 4))]
    path = write(
        tmp_path / "a.tif", (values, {"extratags": first}), (values[::2, ::2], {"subfiletype": 1, "extratags": second})
    )
    attributes = mf.parse(path)["1/data"].attributes
    assert (attributes["_FillValue"], attributes["scale_factor"], attributes["add_offset"]) == (-1, 4, 5)
    assert (attributes["units"], attributes["long_name"]) == ("m", "height")


def test_scales_of_bands_that_differ_are_inherited_in_series_and_sub_directories(tmp_path):
    values = RNG.integers(0, 99, (2, 8, 8)).astype("u2")
    tags = [
        metadata((0, "scale", 2), (1, "scale", 3), (1, "offset", 1), (0, "description", "a"), (1, "description", "b"))
    ]
    options = {"planarconfig": "separate"}
    path = write(
        tmp_path / "a.tif",
        (values, {"subifds": 1, "extratags": tags, **options}),
        (values[:, ::2, ::2], {"subfiletype": 1, **options}),
    )
    tree = mf.parse(path)
    for name in ("scales", "offsets", "long_name"):
        assert tree["1/data"].attributes[name] == tree["0/data"].attributes[name]
    assert tree["1/data"].attributes["scales"] == [2, 3]


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("kind", ["ome", "shaped"])
def test_levels_of_series_inherit(tmp_path, kind, odd):
    values = RNG.integers(0, 99, (3, 16 + odd, 16 + odd)).astype("i2")
    tags = [(*NODATA[:4], False), (*metadata((0, "scale", 2))[:4], False)]
    axes = {"metadata": {"axes": "ZYX"}}
    path = write(
        tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif"),
        (values, {"subifds": 1, "extratags": tags, **axes}),
        (values[:, ::2, ::2], {"subfiletype": 1, **axes}),
        ome=kind == "ome",
    )
    tree = mf.parse(path)
    assert tree["1/data"].shape == (3, 8 + odd, 8 + odd)
    for level in "01":
        attributes = tree[f"{level}/data"].attributes
        assert (attributes["_FillValue"], attributes["scale_factor"]) == (-9999, 2)
    np.testing.assert_array_equal(read(tree, "1/data"), values[:, ::2, ::2])


def test_levels_have_colours_and_sparse_fill_of_the_image(make_tiff):
    colors = list(range(256)) * 3
    palette = (262, 3, 3)
    full = make_tiff.gray(8, 8, [16], [64], palette, (320, 3, colors), (42113, 2, "7"))
    level = make_tiff.gray(4, 4, [0], [0], palette, (254, 4, 1))
    tree = mf.parse(make_tiff([full, level], bytes(64)))
    np.testing.assert_array_equal(tree["1/data"].attributes["color_map"], tree["0/data"].attributes["color_map"])
    assert (read(tree, "1/data") == 7).all()


def test_overviews_in_any_order(tmp_path):
    path = tmp_path / "a.tif"
    profile = {
        "width": 300,
        "height": 200,
        "count": 1,
        "dtype": "uint8",
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
    }
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(RNG.integers(0, 255, (1, 200, 300), dtype="u1"))
    for factor, method in ((4, Resampling.average), (2, Resampling.mode)):
        with rasterio.open(path, "r+") as file:
            file.build_overviews([factor], method)
    tree = mf.parse(path)
    assert pyramids(tree) == {"": [(200, 300), (100, 150), (50, 75)]}
    for level in (1, 2):
        with rasterio.open(path, overview_level=2 - level) as file:
            np.testing.assert_array_equal(read(tree, f"{level}/data"), file.read(1))
    multiscales = tree.attributes["multiscales"]
    assert "resampling_method" not in multiscales
    assert [entry.get("resampling_method") for entry in multiscales["layout"]] == [None, "mode", "average"]


@pytest.mark.parametrize("method", ["average", "nearest", "bilinear"])
def test_resampling_of_a_cog(tmp_path, method):
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=300, height=300, count=1, dtype="uint8") as file:
        file.write(RNG.integers(0, 255, (1, 300, 300), dtype="u1"))
    copy(tmp_path / "a.tif", tmp_path / "cog.tif", driver="COG", blocksize=128, overview_resampling=method)
    multiscales = mf.parse(tmp_path / "cog.tif").attributes["multiscales"]
    assert multiscales["resampling_method"] == method
    assert [entry.get("resampling_method") for entry in multiscales["layout"]] == [None, method, method]


APERIO = "Aperio Image Library v12.0.0\n320x256 [0,0 320x256] (64x64) |AppMag = 20|MPP = 0.4990"
TILES = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib"}
STRIPS = {"photometric": "rgb", "compression": "zlib", "rowsperstrip": 16}
SLIDE = RNG.integers(0, 255, (256, 320, 3), dtype="u1")


def test_a_slide_of_aperio(tmp_path):
    path = write(
        tmp_path / "a.svs",
        (SLIDE, {"description": APERIO, **TILES}),
        (SLIDE[::8, ::8], {"description": "Aperio Image Library thumbnail", **STRIPS}),
        (SLIDE[::4, ::4], {"description": APERIO, **TILES}),
        (SLIDE[::16, ::16], {"description": APERIO, **TILES}),
        (SLIDE[:60, :50], {"description": "Aperio Image Library label", "subfiletype": 1, **STRIPS}),
        (SLIDE[:60, :99], {"description": "Aperio Image Library macro", "subfiletype": 9, **STRIPS}),
    )
    tree = mf.parse(path)
    with tifffile.TiffFile(path) as file:
        series = [[level.asarray() for level in one.levels] for one in file.series]
    assert pyramids(tree) == {"0": [np.moveaxis(level, -1, 0).shape for level in series[0]]}
    assert len(series) == len(tree.groups) == 4
    for i, levels in enumerate(series):
        for j, level in enumerate(levels):
            name = f"{i}/{j}/data" if len(levels) > 1 else f"{i}/data"
            np.testing.assert_array_equal(read(tree, name), np.moveaxis(level, -1, 0))


def test_a_slide_with_a_damaged_directory(tmp_path):
    """The levels keep their names, as the other images do."""
    images = [
        (SLIDE, {"description": APERIO, **TILES}),
        (SLIDE[::8, ::8], STRIPS),
        (SLIDE[::4, ::4], TILES),
        (SLIDE[:60, :99], STRIPS),
    ]
    names = ["0/0/data", "1/data", "0/1/data", "2/data"]
    for number in range(4):
        path = write(tmp_path / f"{number}.svs", *images)
        with tifffile.TiffFile(path) as file:
            at = file.pages[number].tags[258].offset
        with path.open("r+b") as file:
            file.seek(at + 2)
            file.write(struct.pack("<H", 99))
        tree = mf.parse(path, on_unsupported="skip")
        assert [name for name, _ in tree.walk_arrays()] == sorted(name for i, name in enumerate(names) if i != number)


def test_a_slide_of_hamamatsu(tmp_path):
    def tags(magnification):
        return {
            "extratags": [
                (65420, "I", 1, 1, True),
                (271, "s", 0, "Hamamatsu", True),
                (65421, "f", 1, magnification, True),
            ],
            **STRIPS,
        }

    path = write(
        tmp_path / "a.tif", (SLIDE, tags(20.0)), (SLIDE[::2, ::2], tags(10.0)), (SLIDE[::4, ::4], tags(5.0)),
        (SLIDE[::8, ::8], tags(-1.0)), (SLIDE[:30, :99, 0], {**tags(-2.0), "photometric": "minisblack"}),
    )  # fmt: skip
    tree = mf.parse(path)
    assert pyramids(tree) == {"0": [(3, 256, 320), (3, 128, 160), (3, 64, 80)]}
    assert [tree[f"{i}/data"].shape for i in (1, 2)] == [(3, 32, 40), (30, 99)]


def test_a_slide_of_leica(tmp_path):
    def pixels(*numbers):
        return "".join(f'<dimension sizeX="1" sizeY="1" r="{r}" ifd="{ifd}"/>' for r, ifd in enumerate(numbers))

    text = "".join(f"<image><pixels>{pixels(*numbers)}</pixels></image>" for numbers in ((0, 2), (1, 3, 4)))
    images = [SLIDE[:60, :99], SLIDE, SLIDE[:60:2, :99:2], SLIDE[::2, ::2], SLIDE[::4, ::4]]
    description = f'<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>{text}</collection></scn>'
    path = write(
        tmp_path / "a.scn",
        *((image, {"description": description if i == 0 else None, **TILES}) for i, image in enumerate(images)),
    )
    tree = mf.parse(path)
    with tifffile.TiffFile(path) as file:
        levels = {str(i): [(3, *level.shape[:2]) for level in series.levels] for i, series in enumerate(file.series)}
    assert (
        pyramids(tree) == levels == {"0": [(3, 60, 99), (3, 30, 50)], "1": [(3, 256, 320), (3, 128, 160), (3, 64, 80)]}
    )


def test_a_slide_of_philips_without_its_padding(tmp_path):
    """Levels are padded to whole tiles; how much of them is image, pixel spacings say."""
    spacings = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING">"{mm}" "{mm}"</Attribute></DataObject>'
        for mm in (0.001, 0.002, 0.004, 0.008)
    )
    description = f'<?xml version="1.0"?><DataObject ObjectType="DPUfsImport"><Attribute Name="X"><Array>{spacings}</Array></Attribute></DataObject>'
    levels = [SLIDE]
    for step in (2, 4, 8):
        level = SLIDE[::step, ::step]
        levels.append(np.pad(level, [(0, -level.shape[0] % 64), (0, -level.shape[1] % 64), (0, 0)]))
    path = write(
        tmp_path / "a.tiff",
        *(
            (level, {"description": description if i == 0 else None, "software": "Philips DP v1.0", **TILES})
            for i, level in enumerate(levels)
        ),
        (SLIDE[:60, :99], {"description": "Macro", **STRIPS}),
    )
    tree = mf.parse(path)
    with tifffile.TiffFile(path) as file:
        truth = [np.moveaxis(level.asarray(), -1, 0) for level in file.series[0].levels]
    assert pyramids(tree) == {"0": [(3, 256, 320), (3, 128, 160), (3, 64, 80), (3, 32, 40)]}
    for i, level in enumerate(truth):
        np.testing.assert_array_equal(read(tree, f"0/{i}/data"), level)
    assert tree["1/data"].shape == (3, 60, 99)


def ndpi(path, at, strips, pixels):
    """A sparse NDPI with two directories, as its scanners write it: high words stand behind each directory."""
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<Q", at))
        for i, strip in enumerate(strips):
            width = pixels[i].shape[1]
            entries = [
                (256, 4, 1, width), (257, 4, 1, width), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (271, 2, 4, strip - 16),
                (273, 4, 1, strip), (277, 3, 1, 1), (278, 4, 1, width), (279, 4, 1, width * width), (65420, 4, 1, 1),
            ]  # fmt: skip
            file.seek(strip - 16)
            file.write(b"abc\0" + bytes(12) + pixels[i].tobytes())
            file.seek(at)
            following = at + 4096 if i + 1 < len(strips) else 0
            file.write(struct.pack("<H", len(entries)))
            file.write(b"".join(struct.pack("<HHII", t, k, n, v & 0xFFFFFFFF) for t, k, n, v in entries))
            file.write(struct.pack("<Q", following) + b"".join(struct.pack("<I", v >> 32) for *_, v in entries))
            at = following
        file.seek((1 << 32) + (1 << 20))
        file.write(b"\0")
    return path


@pytest.mark.parametrize("at", [1 << 16, (1 << 32) + (1 << 16)])
@pytest.mark.parametrize("strip", [1 << 17, (1 << 32) + (1 << 17)])
def test_ndpi_beyond_4_gib(tmp_path, at, strip):
    pixels = [RNG.integers(0, 255, (n, n)).astype("u1") for n in (40, 20)]
    path = ndpi(tmp_path / "a.ndpi", at, [strip, strip + 8192], pixels)
    tree = mf.parse(path)
    with tifffile.TiffFile(path) as file:
        for level, page in enumerate(file.pages):
            np.testing.assert_array_equal(read(tree, f"{level}/data"), page.asarray())
            np.testing.assert_array_equal(page.asarray(), pixels[level])


def test_a_jpeg_stream_whose_header_cannot_say_its_size_is_refused(make_tiff):
    directory = make_tiff.gray(70_000, 8, [16], [8], compression=7)
    with pytest.raises(mf.UnsupportedFeatureError, match="a JPEG stream of 8 x 70000 pixels"):
        mf.parse(make_tiff([directory], bytes(8)))
