"""GeoZarr conventions: ``proj:``, ``spatial:`` and ``multiscales`` as attributes of arrays and groups.

The identity of a convention is its UUID (zarr-conventions framework), by which GDAL and rio-tiler know it. The name that
its schema wants is the plain one; rioxarray looks for the prefix with its colon, so that each has an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from manifestry_tiff.geo.system import CoordinateSystem
from manifestry_tiff.geo.transform import Affine

__all__ = ["multiscales_attributes", "proj_attributes", "spatial_attributes", "with_conventions"]


def _convention(uuid: str, repository: str, name: str, description: str) -> dict[str, str]:
    return {
        "uuid": uuid,
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{repository}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{repository}/blob/v0.1/README.md",
        "name": name,
        "description": description,
    }


PROJ: Final = _convention(
    "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "proj",
    "proj",
    "Coordinate reference system information for geospatial data",
)
SPATIAL: Final = _convention(
    "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "spatial", "spatial", "Spatial coordinate information"
)
MULTISCALES: Final = _convention(
    "d35379db-88df-4056-af3a-620245f8e347", "multiscales", "multiscales", "Multiscale layout of zarr datasets"
)


def with_conventions(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes, in front of them the conventions that they use; nothing where they use none."""
    used: list[dict[str, str]] = []
    for convention in (PROJ, SPATIAL):
        prefix = convention["name"] + ":"
        if any(key.startswith(prefix) for key in attributes):
            used += [convention, convention | {"name": prefix}]
    if "multiscales" in attributes:
        used.append(MULTISCALES)
    return {"zarr_conventions": used, **attributes} if used else {}


def proj_attributes(system: CoordinateSystem) -> dict[str, Any]:
    """The coordinate reference system: a code where one says everything, else WKT 2 and PROJJSON."""
    if system.code:
        return {"proj:code": system.code}
    return {"proj:wkt2": system.crs.to_wkt("WKT2_2019"), "proj:projjson": system.crs.to_json_dict()}


def spatial_attributes(transform: Affine, width: int, length: int, *, node: bool = False) -> dict[str, Any]:
    """The transform of pixel corners; of pixel centres where the registration is to be ``node``."""
    if node:
        transform, width_between, length_between = transform.shift(0.5), width - 1, length - 1
    else:
        width_between, length_between = width, length
    return {
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": [length, width],
        "spatial:transform": transform.coefficients,
        "spatial:transform_type": "affine",
        "spatial:bbox": transform.bounds(width_between, length_between),
        "spatial:registration": "node" if node else "pixel",
    }


def multiscales_attributes(
    sizes: Sequence[tuple[int, int]],
    transforms: Sequence[list[float] | None],
    methods: Sequence[str],
    names: Sequence[str],
) -> dict[str, Any]:
    """The levels of a pyramid, from fine to coarse.

    Parameters
    ----------
    sizes
        Width and length of each level.
    transforms
        ``spatial:transform`` of each level, None where the image has none.
    methods
        How each level was made, ``""`` where it is not known.
    names
        Of the groups.
    """
    width, length = sizes[0]
    layout: list[dict[str, Any]] = []
    shared = methods[-1] if len(set(methods[1:])) == 1 else ""
    for name, (across, down), transform, method in zip(names, sizes, transforms, methods, strict=True):
        entry: dict[str, Any] = {"asset": name}
        if name != names[0]:
            entry["derived_from"] = names[0]
        entry["transform"] = {"scale": [length / down, width / across], "translation": [0.0, 0.0]}
        if transform is not None:
            entry |= {"spatial:shape": [down, across], "spatial:transform": transform}
        if method:
            entry["resampling_method"] = method
        layout.append(entry)
    multiscales: dict[str, Any] = {"layout": layout}
    if shared:
        multiscales["resampling_method"] = shared
    return {"multiscales": multiscales}
