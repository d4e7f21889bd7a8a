"""`stack` and `merge`."""

from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.combine import inline_array
from manifestry.combine.dimensions import drop_axis, expand_array
from manifestry.model.codecs import Codec
from manifestry.model.validation import validate_tree
from manifestry.testing.building import TreeBuilder

LITTLE = Codec("bytes", {"endian": "little"})


def scene(directory: Path, name: str, value: int, **extra):
    (directory / name).mkdir()
    builder = TreeBuilder(directory / name)
    pixels = np.full((4, 6), value, "u2")
    builder.array("band", pixels, (2, 3), dims=("y", "x"), codecs=(LITTLE, Codec("numcodecs.zlib", {"level": 1})),
                  attributes={"grid_mapping": "crs"})  # fmt: skip
    builder.array(
        "mask",
        pixels.T.copy() > 2,
        (6, 2),
        dims=("x", "y"),
        codecs=(Codec("transpose", {"order": [1, 0]}), Codec("bytes")),
    )
    builder.array("crs", np.array(0, "i4"), attributes={"epsg": 4326})
    builder.array("x", np.arange(6.0) + extra.get("shift", 0), dims=("x",))
    return builder.tree()


def read(tree, path):
    validate_tree(tree)
    return np.asarray(zarr.open_group(mf.open_store(tree), mode="r")[path][...])


def test_scenes_become_a_time_series(tmp_path):
    trees = [scene(tmp_path, name, i) for i, name in enumerate("abc")]
    tree = mf.stack(
        trees, "time", coords={"time": inline_array([3, 5, 9], ("time",), {"units": "days since 2000-01-01"})}
    )
    assert tree["band"].dims == ("time", "y", "x")
    assert tree["band"].metadata.chunk_shape == (1, 2, 3)
    assert tree["crs"].dims is None or tree["crs"].dims == ()
    assert tree["x"].dims == ("x",)
    np.testing.assert_array_equal(read(tree, "band"), np.arange(3).reshape(3, 1, 1) * np.ones((3, 4, 6)))
    np.testing.assert_array_equal(read(tree, "mask"), np.zeros((3, 6, 4), bool) | (np.arange(3) > 2)[:, None, None])
    np.testing.assert_array_equal(read(tree, "time"), [3, 5, 9])
    assert tree["time"].attributes == {"units": "days since 2000-01-01"}


def test_stacking_refuses_what_is_not_the_same(tmp_path):
    trees = [scene(tmp_path, "a", 0), scene(tmp_path, "b", 1, shift=0.25)]
    with pytest.raises(mf.IncompatibleArraysError, match=r"^x: has no dimension 'time' and differs"):
        mf.stack(trees, "time")
    tree = mf.stack(trees, "time", variables=["x"])
    np.testing.assert_array_equal(read(tree, "x"), [np.arange(6.0), np.arange(6.0) + 0.25])
    with pytest.raises(mf.OptionError, match="the dimension 'x' exists already"):
        mf.stack(trees, "x")
    with pytest.raises(mf.OptionError, match="time needs one value for each of the 2 trees"):
        mf.stack(trees, "time", coords={"time": [1]})


def test_codec_that_knows_dimensions_is_refused(tmp_path):
    tree = scene(tmp_path, "a", 0)
    band = tree.arrays["band"]
    odd = mf.VirtualArray(band.metadata.with_(codecs=(Codec("imagecodecs_zfp"),)), band.manifest)
    with pytest.raises(mf.IncompatibleArraysError, match="band: the codec imagecodecs_zfp depends on the dimensions"):
        mf.stack([tree.with_(arrays={"band": odd})], "time")


@pytest.mark.parametrize(
    ("codecs", "expected"),
    [
        ([Codec("imagecodecs_delta", {"axis": -1}), LITTLE], [Codec("imagecodecs_delta", {"axis": -1}), LITTLE]),
        ([Codec("imagecodecs_delta", {"axis": 1}), LITTLE], [Codec("imagecodecs_delta", {"axis": 2}), LITTLE]),
        ([Codec("imagecodecs_lerc")], [Codec("imagecodecs_lerc")]),
        ([Codec("transpose", {"order": [1, 0]}), Codec("imagecodecs_png")],
         [Codec("transpose", {"order": [0, 2, 1]}), Codec("imagecodecs_png")]),
    ],
)  # fmt: skip
def test_codecs_follow_a_new_dimension(codecs, expected):
    array = inline_array(np.zeros((2, 3), "u2"), ("y", "x"))
    coded = mf.VirtualArray(array.metadata.with_(codecs=tuple(codecs)), array.manifest)
    more = expand_array(coded, "time")
    assert list(more.metadata.codecs) == expected
    assert drop_axis(more, 0) == coded


def test_scenes_compressed_as_images_read_back(tmp_path):
    import tifffile

    files, pixels = [], np.arange(3 * 40 * 50, dtype="u2").reshape(3, 40, 50) % 911
    for i, image in enumerate(pixels):
        files.append(tmp_path / f"S2_2020010{i + 1}.tif")
        tifffile.imwrite(files[-1], image, tile=(16, 32), compression="zlib", predictor=2)
    tree = mf.stack([mf.parse(file) for file in files], "time", coords={"time": [1, 2, 3]})
    np.testing.assert_array_equal(read(tree, "0"), pixels)


def test_text_coordinate(tmp_path):
    trees = [scene(tmp_path, name, i) for i, name in enumerate("ab")]
    tree = mf.stack(trees, "scene", coords={"scene": ["first", "zweite ß"]})
    assert read(tree, "scene").tolist() == ["first", "zweite ß"]


def test_merge_puts_variables_beside_each_other(tmp_path):
    whole = scene(tmp_path, "a", 5)
    left = whole.with_(arrays={k: whole.arrays[k] for k in ("band", "crs", "x")})
    right = scene(tmp_path, "b", 7)
    right = right.with_(arrays={"other": right.arrays["band"], "crs": right.arrays["crs"], "x": right.arrays["x"]})
    tree = mf.merge([left, right])
    assert list(tree.arrays) == ["band", "crs", "x", "other"]
    assert read(tree, "other")[0, 0] == 7
    with pytest.raises(
        mf.IncompatibleArraysError, match=r"band is in .* with different values: element .* is 7 instead of 5"
    ):
        mf.merge([whole, scene(tmp_path, "c", 7)])
    assert "band" not in mf.merge([whole, scene(tmp_path, "d", 7)], on_conflict="drop").arrays


def test_merge_refuses_two_lengths_of_a_dimension():
    a = mf.VirtualGroup({"a": inline_array(np.arange(3), ("x",))})
    b = mf.VirtualGroup({"b": inline_array(np.arange(4), ("x",))})
    with pytest.raises(mf.IncompatibleArraysError, match="the dimension x has length 3 in a and 4 in b"):
        mf.merge([a, b])
