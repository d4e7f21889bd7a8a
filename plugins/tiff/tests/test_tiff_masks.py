"""Masks belong to the level of their size, wherever they stand in the file."""

import itertools

import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from rasterio.enums import Resampling

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RNG = np.random.default_rng(3)


def image(size, value):
    return "image", size, np.full((size, size), value, "u1")


def mask(size, seed):
    return "mask", size, np.random.default_rng(seed).integers(0, 2, (size, size)).astype("?")


def write(path, parts, sub=0):
    """Parts as ``(kind, size, values)``; those that are smaller than the first are reduced; `sub` of them are SubIFDs."""
    full = parts[0][1]
    with tifffile.TiffWriter(path) as file:
        for i, (kind, size, values) in enumerate(parts):
            file.write(
                values,
                photometric="minisblack" if kind == "image" else "mask",
                subfiletype=(size < full) + 4 * (kind == "mask"),
                metadata=None,
                contiguous=False,
                subifds=sub if i == 0 and sub else None,
            )
    return path


def masks(tree):
    """The values of every mask, and of the image beside it the first one, by the path of the group."""
    root = zarr.open_group(mf.open_store(tree), mode="r")
    found = {}
    for path, group in [("", tree), *tree.walk()]:
        if "mask" in group.arrays:
            (name,) = (n for n in group.arrays if n != "mask")
            assert group.arrays[name].attributes["ancillary_variables"] == "mask"
            found[path] = root[f"{path}/mask".lstrip("/")][...], int(root[f"{path}/{name}".lstrip("/")][0, 0])
    return found


PYRAMID = [image(64, 1), mask(64, 0), image(32, 2), mask(32, 1), image(16, 3), mask(16, 2)]


@pytest.mark.parametrize("sub", [0, 5])
@pytest.mark.parametrize("order", list(itertools.permutations(range(1, 6)))[::7])
def test_levels_and_masks_in_any_order(tmp_path, order, sub):
    parts = [PYRAMID[0], *(PYRAMID[i] for i in order)]
    found = masks(mf.parse(write(tmp_path / "a.tif", parts, sub)))
    assert sorted(found) == ["0", "1", "2"]
    for level, (values, value) in found.items():
        assert value == int(level) + 1
        np.testing.assert_array_equal(values, PYRAMID[2 * int(level) + 1][2])


@pytest.mark.parametrize("masked", [{0}, {1}, {2}, {0, 2}, {1, 2}])
def test_masks_of_some_levels_only(tmp_path, masked):
    parts = [part for i, part in enumerate(PYRAMID) if i % 2 == 0 or i // 2 in masked]
    tree = mf.parse(write(tmp_path / "a.tif", parts))
    assert masks(tree).keys() == {str(level) for level in masked}
    assert all(("ancillary_variables" in tree[f"{level}/data"].attributes) == (level in masked) for level in range(3))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([image(16, 0), mask(16, 0), image(16, 1), mask(16, 1)], {"0": 0, "1": 1}),
        ([image(16, 0), image(16, 1), mask(16, 0), mask(16, 1)], {"0": 0, "1": 1}),
        ([image(16, 0), image(8, 1), mask(8, 1), mask(16, 0)], None),
        ([image(16, 0), image(16, 1), mask(16, 1)], {}),
        ([image(16, 0), image(16, 1), mask(16, 1), image(16, 2), mask(16, 2)], {}),
    ],
)
def test_masks_of_several_images(tmp_path, parts, expected):
    tree = mf.parse(write(tmp_path / "a.tif", parts))
    if expected is None:  # the second is an overview
        assert masks(tree).keys() == {"0", "1"}
        return
    found = masks(tree)
    assert {path: value for path, (_, value) in found.items()} == expected
    for values, value in found.values():
        np.testing.assert_array_equal(values, np.random.default_rng(value).integers(0, 2, values.shape))
    unclear = [issue for issue in tree.issues if issue.feature == "a mask whose image is not clear"]
    assert len(unclear) == (sum(kind == "mask" for kind, *_ in parts) if not expected else 0)


def test_a_mask_alone_is_an_image(tmp_path):
    tree = mf.parse(write(tmp_path / "a.tif", [mask(16, 0)]))
    assert list(tree.arrays) == ["0"]
    tree = mf.parse(write(tmp_path / "b.tif", [mask(16, 0), mask(8, 1)]))
    assert list(tree.groups) == ["0", "1"]
    assert not tree.issues


def test_a_mask_of_other_bands_is_refused_by_itself(make_tiff):
    bands = ((277, 3, 3), (258, 3, [8, 8, 8]), (262, 3, 2))
    full = make_tiff.gray(8, 8, 16, 192, *bands)
    other = make_tiff.gray(8, 8, 16, 128, (277, 3, 2), (258, 3, [8, 8]), (254, 4, 4))
    path = make_tiff([full, other], bytes(192))
    tree = mf.parse(path, on_unsupported="skip")
    assert list(tree.arrays) == ["0"]
    assert "ancillary_variables" not in tree["0"].attributes
    assert [issue.path for issue in tree.issues] == ["mask"]


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("count", [1, 3])
def test_masks_and_overviews_of_gdal(tmp_path, count, interleave):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "width": 61, "height": 67, "count": count, "dtype": "uint8", "interleave": interleave}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as file:
        file.write(RNG.integers(0, 255, (count, 67, 61), "u1"))
        file.write_mask(RNG.integers(0, 2, (67, 61)).astype("u1") * 255)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.nearest)
    tree = mf.parse(path)
    root = zarr.open_group(mf.open_store(tree), mode="r")
    for level in range(3):
        with rasterio.open(path, **({} if level == 0 else {"overview_level": level - 1})) as file:
            np.testing.assert_array_equal(root[f"{level}/mask"][...].astype("u1") * 255, file.read_masks(1))
        assert tree[f"{level}/mask"].attributes["flag_meanings"] == "masked valid"
        assert tree[f"{level}/mask"].attributes["flag_values"] == [0, 1]
