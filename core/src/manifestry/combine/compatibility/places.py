"""Where on Earth arrays lie: the same place but for noise, and tiles that adjoin along a dimension.

Source: the GeoZarr conventions ``spatial:`` v0.1 (the transform is that of an affine matrix, ``[a, b, c, d, e, f]``), and GDAL's
``GeoTransform`` (``c a b f d e``) in variables of grid mappings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from manifestry.model.attributes import Attributes
from manifestry.model.tree import VirtualArray

__all__ = ["TILES_JOINED", "adjoining_tiles", "same_place"]

TILES_JOINED: Final = "adjoining tiles joined"
"""What issues of joined tiles are called."""

_NOISE: Final = 1e-6
"""Pixels by which the same place may seem to lie elsewhere."""

type Transform = tuple[float, float, float, float, float, float]
type Arrays = Mapping[str, VirtualArray]


def same_place(name: str, a: Attributes, b: Attributes) -> bool:
    """Whether a transform or bounding box says the same but for noise of less than a millionth of a pixel."""
    if name == "GeoTransform":
        transforms = [_geotransform(side) for side in (a, b)]
    elif name in ("spatial:transform", "spatial:bbox"):
        transforms = [_transform(side) for side in (a, b)]
    else:
        return False
    one, other = transforms
    if one is None or other is None:
        return False
    if name == "spatial:bbox":
        boxes = [_numbers(side.get(name), 4) for side in (a, b)]
        return boxes[0] is not None and boxes[1] is not None and _near(boxes[0], boxes[1], _NOISE * _pixel(one))
    return _near((one[2], one[5]), (other[2], other[5]), _NOISE * _pixel(one)) and _linear(one) == _linear(other)


def adjoining_tiles(
    dim: str, like: Arrays, sources: Sequence[Arrays]
) -> tuple[dict[str, Attributes], list[dict[str, Attributes]]] | None:
    """Georeferences of tiles that lie side by side along a spatial dimension, as those of the whole.

    Returns
    -------
    tuple or None
        Attributes that change, by path: of what decides for all, and of each source. None where there are no tiles, or they
        do not adjoin in this order.
    """
    changed: list[dict[str, Attributes]] = [{} for _ in sources]
    whole: dict[str, Attributes] = {}
    origins: list[tuple[float, float]] = []
    for path, array in like.items():
        if not _is_along(array, dim):
            continue
        tiles = [arrays[path] for arrays in sources if path in arrays]
        if len(tiles) < len(sources) or not all(_is_along(tile, dim) for tile in tiles):
            return None
        joined = _joined(tiles, dim)
        if joined is None:
            return None
        transforms = [_transform(tile.attributes) for tile in tiles]
        origins = [(t[2], t[5]) for t in transforms if t is not None]
        whole[path] = {**array.attributes, **joined}
        for own, tile in zip(changed, tiles, strict=True):
            own[path] = {**tile.attributes, **joined}
    if not whole:
        return None
    for path in like:
        mappings = [arrays[path].attributes if path in arrays else {} for arrays in sources]
        transforms = [_geotransform(attributes) for attributes in mappings]
        if all(t is not None and (t[2], t[5]) == at for t, at in zip(transforms, origins, strict=True)):
            first = mappings[0]["GeoTransform"]
            whole[path] = {**like[path].attributes, "GeoTransform": first}
            for own, attributes in zip(changed, mappings, strict=True):
                own[path] = {**attributes, "GeoTransform": first}
    return whole, changed


def _is_along(array: VirtualArray, dim: str) -> bool:
    dims = array.attributes.get("spatial:dimensions")
    named = isinstance(dims, list | tuple) and len(dims) == 2 and dim in dims and dim in (array.dims or ())
    return named and _transform(array.attributes) is not None


def _joined(tiles: Sequence[VirtualArray], dim: str) -> Attributes | None:
    """The georeference of tiles side by side; None where they do not adjoin."""
    first = _transform(tiles[0].attributes)
    assert first is not None
    along_x = list(tiles[0].attributes["spatial:dimensions"]).index(dim) == 1
    step = (first[0], first[3]) if along_x else (first[1], first[4])
    done, boxes = 0, []
    for tile in tiles:
        own = _transform(tile.attributes)
        if own is None or _linear(own) != _linear(first):
            return None
        if not _near((own[2], own[5]), (first[2] + done * step[0], first[5] + done * step[1]), _NOISE * _pixel(first)):
            return None
        done += tile.shape[(tile.dims or ()).index(dim)]
        boxes.append(_numbers(tile.attributes.get("spatial:bbox"), 4))
    joined: dict[str, Any] = {"spatial:transform": tiles[0].attributes["spatial:transform"]}
    known = [box for box in boxes if box is not None]
    if len(known) == len(boxes):
        lows, highs = np.min([box[:2] for box in known], 0), np.max([box[2:] for box in known], 0)
        joined["spatial:bbox"] = [*lows.tolist(), *highs.tolist()]
    shape = _numbers(tiles[0].attributes.get("spatial:shape"), 2)
    if shape is not None:
        joined["spatial:shape"] = [int(shape[0]), done] if along_x else [done, int(shape[1])]
    return joined


def _numbers(value: Any, count: int) -> list[float] | None:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or len(value) < count:
        return None
    plain = [one for one in value[:count] if isinstance(one, int | float | np.number)]
    return [float(one) for one in plain] if len(plain) == count else None


def _transform(attributes: Attributes) -> Transform | None:
    found = _numbers(attributes.get("spatial:transform"), 6)
    return None if found is None else (found[0], found[1], found[2], found[3], found[4], found[5])


def _geotransform(attributes: Attributes) -> Transform | None:
    text = attributes.get("GeoTransform")
    try:
        found = [float(word) for word in text.split()] if isinstance(text, str) else []
    except ValueError:
        return None
    return (found[1], found[2], found[0], found[4], found[5], found[3]) if len(found) == 6 else None


def _pixel(transform: Transform) -> float:
    return min(math.hypot(transform[0], transform[3]), math.hypot(transform[1], transform[4]))


def _linear(transform: Transform) -> tuple[float, ...]:
    return transform[0], transform[1], transform[3], transform[4]


def _near(a: Sequence[float], b: Sequence[float], within: float) -> bool:
    return all(abs(one - other) <= within for one, other in zip(a, b, strict=True))
