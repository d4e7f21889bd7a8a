"""Which arrays and groups a file becomes."""

import manifestry as mf
import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 registers the accessor
import tifffile
import xarray as xr
import zarr
from manifestry.plugin import MalformedFileError
from manifestry_tiff.structure.file import merge_ranges
from manifestry_tiff.tifffile_guard import LIBRARY_ERRORS, library_errors
from rasterio.enums import Resampling
from rasterio.transform import from_origin

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
]
RNG = np.random.default_rng(5)


def cog(path, *, mask=False, width=700, height=500):
    values = RNG.integers(1, 200, (3, height, width), dtype="u1")
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8", crs="EPSG:32633",
            transform=from_origin(500_000, 5_000_000, 10, 10), tiled=True, blockxsize=128, blockysize=128,
            compress="deflate",
        ) as file,
    ):  # fmt: skip
        file.write(values)
        if mask:
            file.write_mask(values[0] > 100)
        file.build_overviews([2, 4], Resampling.average)
    return path


def read(tree, path):
    return zarr.open_group(mf.open_store(tree), mode="r")[path][...]


def test_one_image_is_an_array_at_the_root(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), "u1"), metadata=None)
    tree = mf.parse(tmp_path / "a.tif")
    assert list(tree.arrays) == ["0"]
    assert tree["0"].dims == ("y", "x")


def test_one_directory_by_number(tmp_path):
    path = cog(tmp_path / "a.tif", mask=True)
    with tifffile.TiffFile(path) as tif:
        for number, page in enumerate(tif.pages):
            tree = mf.parse(path, ifd=number)
            assert str(number) in tree.arrays
            found, expected = read(tree, str(number)), page.asarray()
            np.testing.assert_array_equal(found, np.moveaxis(expected, -1, 0) if expected.ndim == 3 else expected)
    assert set(mf.parse(path, ifd=0).arrays) == {"0", "x", "y", "spatial_ref"}
    with pytest.raises(mf.OptionError, match="has 6 directories"):
        mf.parse(path, ifd=6)


def test_a_pyramid_is_groups_that_xarray_opens(tmp_path):
    path = cog(tmp_path / "a.tif", mask=True)
    tree = mf.parse(path)
    assert list(tree.groups) == ["0", "1", "2"]
    assert set(tree["0"].arrays) == {"data", "mask", "x", "y", "spatial_ref"}
    assert tree["0/mask"].dtype == bool
    for name in ("zarr_conventions", "proj:code", "spatial:transform", "grid_mapping"):
        assert tree["1/mask"].attributes[name] == tree["1/data"].attributes[name]
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read(tree, "0/data"), file.read())
        np.testing.assert_array_equal(read(tree, "0/mask"), file.dataset_mask() > 0)
    with xr.open_datatree(mf.open_store(tree), engine="zarr", consolidated=False, decode_coords="all") as opened:
        for level, factor in enumerate((1, 2, 4)):
            with rasterio.open(path, **({"overview_level": level - 1} if level else {})) as file:
                np.testing.assert_array_equal(opened[f"{level}/data"].values, file.read())
                dataset = opened[str(level)].to_dataset()
                assert dataset["data"].rio.transform() == file.transform
            np.testing.assert_allclose(np.diff(dataset["x"]), 10 * factor)


def test_multiscales_of_odd_sizes(tmp_path):
    attributes = mf.parse(cog(tmp_path / "a.tif", width=701, height=499)).attributes
    names = [convention["name"] for convention in attributes["zarr_conventions"]]
    assert names == ["proj", "proj:", "spatial", "spatial:", "multiscales"]
    layout = attributes["multiscales"]["layout"]
    assert [entry["asset"] for entry in layout] == ["0", "1", "2"]
    assert layout[1]["derived_from"] == "0"
    assert layout[1]["spatial:shape"] == [250, 351]
    assert layout[1]["transform"]["scale"] == [499 / 250, 701 / 351]
    assert layout[1]["spatial:transform"] == [10 * 701 / 351, 0, 500_000, 0, -10 * 499 / 250, 5_000_000]


def test_a_level_as_the_root(tmp_path):
    path = cog(tmp_path / "a.tif", mask=True)
    tree = mf.parse(path, group="1", exclude=["mask"])
    assert list(tree.arrays) == ["data", "x", "y", "spatial_ref"]
    assert tree["data"] == mf.parse(path, exclude=["mask"])["1/data"]
    with pytest.raises(mf.OptionError, match="no group '7'"):
        mf.parse(path, group="7")


def test_include_reads_only_what_is_wanted(tmp_path):
    path = cog(tmp_path / "a.tif")
    assert [path for path, _ in mf.parse(path, include=["1/data"]).walk_arrays()] == ["1/data"]
    tree = mf.parse(path, exclude=["0/data", "y"])
    assert [path for path, _ in tree["0"].walk_arrays()] == ["x", "spatial_ref"]
    assert "multiscales" not in tree.attributes


def test_pages_that_are_alike_are_stacked(tmp_path):
    values = RNG.integers(0, 255, (5, 3, 40, 50), dtype="u1")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for page in values:
            image = np.moveaxis(page, 0, -1)
            file.write(image, contiguous=False, metadata=None, compression="zlib", predictor=2, rowsperstrip=15)
    tree = mf.parse(path)
    assert (tree["0"].dims, tree["0"].shape) == (("page", "band", "y", "x"), values.shape)
    np.testing.assert_array_equal(read(tree, "0"), values)


PAGES = {
    "place": [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True)],
    "scale": [(42112, 2, 0, '<GDALMetadata><Item name="SCALE" sample="0" role="scale">2</Item></GDALMetadata>', True)],
    "text": [(306, 2, 0, "2020:01:01 00:00:00", True)],
}


@pytest.mark.parametrize(("kind", "stacked"), [("place", False), ("scale", False), ("text", True)])
def test_pages_that_mean_different_things_are_not_stacked(tmp_path, kind, stacked):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for tags in ([], PAGES[kind]):
            file.write(np.ones((4, 5), "u1"), metadata=None, software=None, contiguous=False, extratags=tags)
    tree = mf.parse(path)
    assert [name for name, _ in tree.walk_arrays() if name[-1] not in "xyf"] == (
        ["0"] if stacked else ["0/data", "1/data"]
    )
    if stacked:
        assert "TIFFTAG_DATETIME" not in tree["0"].attributes


def test_images_that_differ_are_groups(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((40, 50), "u1"), metadata=None)
        file.write(np.ones((30, 20), "u2"), metadata=None)
    tree = mf.parse(path)
    assert [(name, array.shape) for name, array in tree.walk_arrays()] == [("0/data", (40, 50)), ("1/data", (30, 20))]


AXES = RNG.integers(0, 60_000, (2, 3, 4, 32, 48), dtype="u2")


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.tif", {"imagej": True, "metadata": {"axes": "TZCYX"}}), ("a.ome.tif", {"metadata": {"axes": "TZCYX"}}),
     ("b.ome.tif", {"metadata": {"axes": "TZCYX"}, "compression": "zlib", "rowsperstrip": 10})],
)  # fmt: skip
def test_series_have_named_axes(tmp_path, name, options):
    tifffile.imwrite(tmp_path / name, AXES, photometric="minisblack", **options)
    tree = mf.parse(tmp_path / name)
    assert (tree["0"].dims, tree["0"].shape) == (("t", "z", "c", "y", "x"), AXES.shape)
    np.testing.assert_array_equal(read(tree, "0"), AXES)


def test_imagej_stack_with_one_directory(tmp_path):
    """ImageJ writes stacks over 4 GB with one directory only; the planes follow each other."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, AXES, imagej=True, metadata={"axes": "TZCYX"}, photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        first, second, order = tif.pages[0].offset, tif.pages[1].offset, tif.byteorder
    at = data.index(second.to_bytes(4, "big" if order == ">" else "little"), first)
    data[at : at + 4] = b"\0\0\0\0"
    path.write_bytes(data)
    tree = mf.parse(path)
    np.testing.assert_array_equal(read(tree, "0"), AXES)


def test_a_pyramid_of_a_series_in_sub_directories(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(AXES[0], subifds=1, metadata={"axes": "ZCYX"}, tile=(16, 16), photometric="minisblack")
        file.write(AXES[0, ..., ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    tree = mf.parse(path)
    assert [name for name, _ in tree.walk_arrays()] == ["0/data", "1/data"]
    np.testing.assert_array_equal(read(tree, "0/data"), AXES[0])
    np.testing.assert_array_equal(read(tree, "1/data"), AXES[0, ..., ::2, ::2])


def test_one_bad_page_costs_itself(make_tiff):
    good = make_tiff.gray(4, 2, [16], [8])
    bad = make_tiff.gray(8, 2, [1 << 30], [16])
    path = make_tiff([good, bad], bytes(range(8)))
    tree = mf.parse(path, on_unsupported="skip")
    assert [name for name, _ in tree.walk_arrays()] == ["0/data"]
    assert [(issue.path, issue.feature) for issue in tree.issues] == [("1/data", "malformed")]
    with pytest.raises(mf.MalformedFileError, match=r"IFD 1 .*STRIP_OFFSETS.*1073741824"):
        mf.parse(path)


NGFF_METADATA = {"axes": "TCZYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "TimeIncrement": 2.0}


def test_ome_series_have_ngff_attributes(tmp_path):
    path = tmp_path / "a.ome.tif"
    values = AXES[:, :2, :3]
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(values, subifds=1, metadata=NGFF_METADATA, tile=(16, 16), photometric="minisblack")
        file.write(values[..., ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    attributes = mf.parse(path).attributes
    assert list(attributes) == ["ome"]
    (multiscale,) = attributes["ome"]["multiscales"]
    assert multiscale["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space"},
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    scales = [(d["path"], d["coordinateTransformations"][0]["scale"]) for d in multiscale["datasets"]]
    assert scales == [("0/data", [2.0, 1.0, 1.0, 1.0, 0.5]), ("1/data", [2.0, 1.0, 1.0, 2.0, 1.0])]


def test_axes_that_ngff_does_not_allow_have_no_ngff_attributes(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, AXES, photometric="minisblack", metadata={"axes": "TZCYX"})
    assert mf.parse(path).attributes == {}


def test_planes_in_other_files_are_not_taken_for_those_of_this_file(tmp_path, monkeypatch):
    """tifffile opens the files that OME-XML names, in the working directory; their offsets mean nothing here."""
    monkeypatch.chdir(tmp_path)
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z % 2}" PlaneCount="1"><UUID FileName="{z // 2}.tif">urn:{z // 2}</UUID></TiffData>'
        for z in range(4)
    )
    for number in range(2):
        document = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:{number}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="48" SizeY="32" SizeZ="4" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(f"{number}.tif") as file:
            for z in range(2):
                text = document if z == 0 else None
                page = AXES[number, z, 0]
                file.write(page, description=text, metadata=None, contiguous=False, photometric="minisblack")
    assert tifffile.imread("1.tif").shape == (4, 32, 48)
    tree = mf.parse(tmp_path / "1.tif")
    assert [issue.feature for issue in tree.issues] == ["series over several files"]
    assert tree["0"].dims == ("page", "y", "x")
    np.testing.assert_array_equal(read(tree, "0"), AXES[1, :2, 0])


def test_ranges_are_joined_in_any_order():
    assert merge_ranges([(90, 99), (0, 10), (12, 20), (5, 8)], gap=2) == [(0, 20), (90, 99)]
    assert merge_ranges([(12, 20), (0, 10)], gap=1) == [(0, 10), (12, 20)]


@pytest.mark.parametrize("kind", LIBRARY_ERRORS)
def test_what_tifffile_raises_is_an_error_of_ours(kind):
    with pytest.raises(MalformedFileError, match="page 3: tifffile: "), library_errors("page 3"):
        raise kind("something")
