"""What gives the values of other arrays their meaning: coordinates, grid mappings, and whatever else attributes name.

Source: CF conventions 1.11: groups (2.7), ancillary data (3.4), formula terms (4.3.3), coordinates (5), grid mappings
(5.6), bounds (7.1), cell measures (7.2), geometries (7.5); UGRID 1.0 for meshes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
from manifestry.model.tree import VirtualArray, VirtualGroup

__all__ = ["GRID_MAPPING", "explain_losses", "lost_meaning", "nearest"]

GRID_MAPPING: Final = frozenset({"grid_mapping_name", "crs_wkt", "spatial_ref", "GeoTransform"})
"""Attributes that grid mapping variables have (CF conventions 5.6)."""

_LINKS: Final = {
    "coordinates": "coordinates",
    "grid_mapping": "grid mapping",
    "bounds": "bounds",
    "climatology": "bounds",
    "ancillary_variables": "ancillary data",
    "cell_measures": "cell measures",
    "formula_terms": "formula terms",
    "geometry": "geometry",
    "node_coordinates": "coordinates",
    "node_count": "geometry",
    "part_node_count": "geometry",
    "interior_ring": "geometry",
    "mesh": "mesh",
    "face_node_connectivity": "mesh",
    "edge_node_connectivity": "mesh",
    "face_coordinates": "coordinates",
    "edge_coordinates": "coordinates",
}
"""Attributes that name other arrays, and what those are to the array that names them."""

_PLACES: Final = frozenset(
    {
        "latitude", "longitude", "grid_latitude", "grid_longitude", "projection_x_coordinate", "projection_y_coordinate",
        "projection_x_angular_coordinate", "projection_y_angular_coordinate",
    }
)  # fmt: skip
"""Standard names of coordinates, which not every file lists in an attribute ``coordinates``."""

_DEGREES: Final = tuple(f"degree{s}_{way}" for s in ("", "s") for way in ("north", "east"))

_NAMED: Final = 5
"""How many arrays a sentence names."""


def nearest(group: str, name: str, paths: Collection[str]) -> str | None:
    """The path of what a name means inside a group: the array of that name in the group, or in the next one above."""
    while f"{group}/{name}".lstrip("/") not in paths:
        if not group:
            return None
        group = group.rpartition("/")[0]
    return f"{group}/{name}".lstrip("/")


def lost_meaning(trees: Sequence[VirtualGroup], kept: Collection[str]) -> dict[str, str]:
    """What the arrays that are kept lack without others, as a sentence for the path of each that matters to them.

    Parameters
    ----------
    trees
        What is combined.
    kept
        Paths of the arrays that the result has; all others are left out.
    """
    arrays: dict[str, list[VirtualArray]] = {}
    for tree in trees:
        for path, array in tree.walk_arrays():
            arrays.setdefault(path, []).append(array)
    lost = arrays.keys() - set(kept)
    if not lost:
        return {}
    uses: dict[str, dict[str, list[str]]] = {}
    for path in sorted(arrays.keys() & set(kept)):
        for other, role in dict.fromkeys(_needs(path, arrays, lost)):
            uses.setdefault(other, {}).setdefault(role, []).append(path)
    for path, group in ((path, group) for tree in trees for path, group in tree.walk()):
        for other in _words(group.attributes, "coordinates", path, arrays.keys()):
            inside = f"{path}/".lstrip("/")
            users = [user for user in arrays if user in kept and user.startswith(inside)] if other in lost else []
            if users:
                uses.setdefault(other, {}).setdefault("coordinates", users)
    return {path: _sentence(roles) for path, roles in uses.items()}


def _sentence(roles: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for role, users in roles.items():
        more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
        parts.append(f"{', '.join(users[:_NAMED])}{more} lose{'s' * (len(users) == 1)} the {role}")
    return ", ".join(parts)


def explain_losses(issues: Sequence[Issue], lacks: Mapping[str, str]) -> list[Issue]:
    """The issues of what is left out, with what others lack without it (see `lost_meaning`)."""
    return [
        replace(issue, message=f"{issue.message}; without it {lacks[issue.path]}")
        if issue.path in lacks and issue.severity == "refused"
        else issue
        for issue in issues
    ]


def _needs(path: str, arrays: Mapping[str, Sequence[VirtualArray]], lost: Collection[str]) -> Iterator[tuple[str, str]]:
    """What an array needs of what is lost, and as what."""
    group = path.rpartition("/")[0]
    dims = {dim for array in arrays[path] for dim in array.dims or () if dim}
    for dim in sorted(dims):
        coordinate = nearest(group, dim, arrays.keys())
        if coordinate in lost and coordinate is not None:
            yield coordinate, f"coordinate along {dim}"
    mapped = False
    for array in arrays[path]:
        for link in sorted(_LINKS.keys() & array.attributes.keys()):
            for other in _words(array.attributes, link, group, arrays.keys()):
                mapped |= link == "grid_mapping"
                if other in lost:
                    yield other, _LINKS[link]
    for other in sorted(lost):
        if not f"{group}/".startswith(f"{other.rpartition('/')[0]}/".lstrip("/")):
            continue
        array = arrays[other][0]
        if _is_grid_mapping(array):
            if dims and not mapped and path.rpartition("/")[2] not in dims:
                yield other, "grid mapping"
        elif array.dims and dims.issuperset(array.dims) and _is_place(array.attributes):
            yield other, "coordinates"


def _words(attributes: Attributes, link: str, group: str, paths: Collection[str]) -> Iterator[str]:
    """The paths that an attribute names: absolute, relative, or a name in the group, in one above, or anywhere."""
    text = attributes.get(link)
    for word in text.replace(":", " ").split() if isinstance(text, str) else ():
        if "/" in word:
            yield posixpath.normpath(posixpath.join("/", group, word)).lstrip("/")
            continue
        near = nearest(group, word, paths)
        if near is not None:
            yield near
        else:
            yield from (path for path in paths if path.endswith(f"/{word}"))


def _is_grid_mapping(array: VirtualArray) -> bool:
    attributes = array.attributes
    return "grid_mapping_name" in attributes or (not array.shape and not GRID_MAPPING.isdisjoint(attributes))


def _is_place(attributes: Attributes) -> bool:
    units, name = attributes.get("units"), attributes.get("standard_name")
    return (
        (isinstance(units, str) and units.startswith(_DEGREES))
        or (isinstance(name, str) and name in _PLACES)
        or "axis" in attributes
        or "_CoordinateAxisType" in attributes
    )
