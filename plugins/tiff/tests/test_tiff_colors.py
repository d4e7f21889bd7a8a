"""What the components of a pixel are, as GDAL says it; for all levels of a pyramid alike."""

import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry_tiff.descriptions import gdal_metadata
from manifestry_tiff.structure.levels import have_same_proportions
from rasterio.enums import ColorInterp

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

EXTRAS = ([], [0], [1], [2], [0, 2], [2, 2], [2, 0], [0, 0, 2], [0, 0, 0, 2])
PALETTE = (320, 3, list(range(0, 768 * 85, 85)))


def interpretation(array, count):
    found = array.attributes.get("color_interpretation")
    if found is None:  # what photometric says well enough
        return [{"palette": "palette"}.get(array.attributes["photometric"], "gray"), *["undefined"] * (count - 1)]
    return [found] if isinstance(found, str) else found


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("photometric", [1, 2, 3])
def test_extra_samples_as_gdal_takes_them(make_tiff, count, photometric):
    for extra in (extra for extra in EXTRAS if len(extra) <= count):
        tags = make_tiff.gray(
            8, 8, 16, 64 * count, (258, 3, [8] * count), (262, 3, photometric), (277, 3, count), (284, 3, 1),
            *([(338, 3, extra)] if extra else []), *([PALETTE] if photometric == 3 else []),
        )  # fmt: skip
        path = make_tiff([tags], bytes(64 * count), name=f"{len(extra)}{sum(extra)}.tif")
        with rasterio.open(path) as file:
            expected = [color.name for color in file.colorinterp]
        assert interpretation(mf.parse(path)["0"], count) == expected, extra


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(
    "colors", [("red", "green", "blue", "alpha"), ("nir", "red", "green", "undefined"), ("gray", "alpha"), ("lwir",)]
)
def test_items_of_gdal_and_levels_say_the_same(tmp_path, colors, interleave):
    path = tmp_path / "a.tif"
    count = len(colors)
    with rasterio.open(
        path, "w", driver="GTiff", width=64, height=64, count=count, dtype="uint8", interleave=interleave,
        tiled=True, blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(np.zeros((count, 64, 64), "u1"))
        file.colorinterp = [ColorInterp[color] for color in colors]
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    with rasterio.open(path) as file:
        expected = [color.name for color in file.colorinterp]
    assert expected == list(colors)
    tree = mf.parse(path)
    assert [interpretation(tree[f"{level}/data"], count) for level in range(3)] == [expected] * 3


def test_names_that_gdal_does_not_know_are_undefined(tmp_path):
    text = '<GDALMetadata><Item name="COLORINTERP" sample="0" role="colorinterp">XXXX</Item></GDALMetadata>'
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), "u1"), metadata=None, extratags=[(42112, "s", 0, text, True)])
    assert mf.parse(tmp_path / "a.tif")["0"].attributes["color_interpretation"] == "undefined"


def test_metadata_of_a_pyramid_are_parsed_once_each(tmp_path, monkeypatch):
    parsed = []
    parse_xml = gdal_metadata.parse_xml
    monkeypatch.setattr(gdal_metadata, "parse_xml", lambda text, *rest: (parsed.append(text), parse_xml(text, *rest)))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for level in range(4):
            text = f'<GDALMetadata><Item name="LEVEL">{level}</Item></GDALMetadata>'
            file.write(
                np.zeros((64 >> level, 64 >> level), "u1"),
                metadata=None,
                subfiletype=int(level > 0),
                extratags=[(42112, "s", 0, text, True)],
            )
    mf.parse(tmp_path / "a.tif")
    assert len(parsed) == len(set(parsed)) == 4


@given(st.integers(1, 40_000), st.integers(1, 40_000), st.sampled_from([2, 3, 4, 8, 64]), st.booleans())
@settings(max_examples=examples(300))
def test_sides_that_are_rounded_by_themselves_have_the_same_proportions(width, length, factor, up):
    reduced = [max(1, -(-side // factor) if up else side // factor) for side in (width, length)]
    assert have_same_proportions((width, length), tuple(reduced))
    assert not have_same_proportions((width, length), (width + 1, length))


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize(
    ("shape", "is_level"), [((5, 9), True), ((4, 9), True), ((6, 9), True), ((7, 9), False), ((5, 17), False)]
)
def test_one_rule_for_levels_of_images_and_of_series(tmp_path, shape, is_level, series):
    """The full image has 9 rows and 17 columns."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, shaped=series) as file:
        more = {"metadata": {} if series else None, "photometric": "minisblack", "contiguous": False}
        file.write(np.zeros((9, 17), "u1"), **more)
        file.write(np.zeros(shape, "u1"), subfiletype=1, **more)
    assert ("multiscales" in mf.parse(path).attributes) == is_level
