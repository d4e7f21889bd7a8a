"""Georeferences: noise is no other place, and tiles that adjoin become one array with the georeference of the whole."""

import manifestry as mf
import numpy as np
import pytest
from manifestry.combine import inline_array
from manifestry.combine.values import read_values
from manifestry.errors import IncompatibleArraysError
from manifestry.storage.registry import StoreRegistry

SIZE, PIXEL = 4, 10.0


def tile(column=0.0, row=0.0, number=1, pixel=PIXEL):
    """A tile some pixels east and south of the first one."""
    west, north = 500000 + PIXEL * column, 5000000 - PIXEL * row
    attributes = {
        "spatial:dimensions": ["y", "x"], "spatial:shape": [SIZE, SIZE],
        "spatial:transform": [pixel, 0.0, west, 0.0, -pixel, north],
        "spatial:bbox": [west, north - SIZE * pixel, west + SIZE * pixel, north],
    }  # fmt: skip
    mapping = {"grid_mapping_name": "transverse_mercator", "GeoTransform": f"{west} {pixel} 0.0 {north} 0.0 -{pixel}"}
    steps = np.arange(SIZE) + 0.5
    arrays = {
        "v": inline_array(np.full((SIZE, SIZE), number), ("y", "x"), attributes),
        "x": inline_array(west + pixel * steps, ("x",)),
        "y": inline_array(north - pixel * steps, ("y",)),
        "spatial_ref": inline_array(np.int32(0), (), mapping),
    }
    return mf.VirtualGroup(arrays)


@pytest.mark.parametrize("noise", [0.0, 1e-8])
@pytest.mark.parametrize("dim", ["x", "y"])
def test_adjoining_tiles(dim, noise):
    tiles = [tile(**{"column" if dim == "x" else "row": SIZE * i + noise * (i == 1)}, number=i) for i in range(3)]
    whole = mf.concat(tiles, dim)
    order = [np.full((SIZE, SIZE), i) for i in range(3)]
    expected = np.concatenate(order, 1 if dim == "x" else 0)
    np.testing.assert_array_equal(read_values(whole["v"], StoreRegistry.of(None)), expected)
    found, first = whole["v"].attributes, tiles[0]["v"].attributes
    assert found["spatial:transform"] == first["spatial:transform"]
    assert found["spatial:shape"] == list(expected.shape)
    west, south, east, north = first["spatial:bbox"]
    box = [west, south, east + 80, north] if dim == "x" else [west, south - 80, east, north]
    np.testing.assert_allclose(found["spatial:bbox"], box, rtol=0, atol=1e-5)
    assert whole["spatial_ref"].attributes == tiles[0]["spatial_ref"].attributes
    assert {issue.feature for issue in whole.issues if issue.path == "v"} >= {"adjoining tiles joined"}
    assert mf.concat([mf.concat(tiles[:2], dim), tiles[2]], dim)["v"].attributes == found


@pytest.mark.parametrize("others", [
    [tile(column=SIZE + 1)], [tile(column=SIZE - 1)], [tile(column=-SIZE)], [tile(column=SIZE, row=1)],
    [tile(column=SIZE, pixel=10.5)], [tile(column=2 * SIZE), tile(column=SIZE)],
])  # fmt: skip
def test_what_does_not_adjoin_is_refused(others):
    with pytest.raises(IncompatibleArraysError, match=r"spatial:|GeoTransform|differs in"):
        mf.concat([tile(), *others], "x")


@pytest.mark.parametrize(("pixels", "same"), [(0.0, True), (1e-7, True), (1e-5, False), (3.0, False)])
def test_noise_is_no_other_place(pixels, same):
    trees = [tile(), tile(column=pixels)]
    trees = [tree.with_(arrays={n: tree[n] for n in ("v", "spatial_ref")}) for tree in trees]
    if same:
        stacked = mf.stack(trees, "time")
        assert stacked["v"].attributes == trees[0]["v"].attributes
        assert all(issue.severity == "reported" for issue in stacked.issues)
        assert bool(stacked.issues) == (pixels > 0)
    else:
        with pytest.raises(IncompatibleArraysError, match=r"spatial:|GeoTransform"):
            mf.stack(trees, "time")
