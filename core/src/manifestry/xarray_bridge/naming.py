"""Names for dimensions that have none, since xarray needs some and the way back must know them; groups by their paths."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import EllipsisType
from typing import cast

from manifestry.combine.trees import label
from manifestry.errors import OptionError
from manifestry.model.tree import UNNAMED_DIM, VirtualArray, VirtualGroup

__all__ = ["base_group", "group_at", "named_arrays", "original_dims", "unnamed_dims"]


def original_dims(dims: Sequence[Hashable]) -> tuple[str | None, ...] | None:
    """The dimension names of the model: made-up names are none, and none at all is None."""
    found = tuple(None if str(dim).startswith(UNNAMED_DIM) else str(dim) for dim in dims)
    return None if found and all(dim is None for dim in found) else found


def unnamed_dims(array: VirtualArray) -> tuple[None, ...] | EllipsisType | None:
    """The dimension names of an array of which no dimension has one; ``...`` for all others."""
    return ... if any(array.dims or ()) else cast("tuple[None, ...] | None", array.dims)


def named_arrays(group: VirtualGroup) -> Mapping[str, VirtualArray]:
    """The arrays of a group with a name for every dimension."""
    return {
        name: VirtualArray(array.metadata.with_(dims=array.named_dims(name)), array.manifest)
        for name, array in group.arrays.items()
    }


def group_at(tree: VirtualGroup, path: str) -> VirtualGroup:
    """The group at a path.

    Raises
    ------
    OptionError
        There is no such group, as for the option `group` of a parser.
    """
    try:
        node = tree[path]
    except KeyError:
        groups = ", ".join(name for name, _ in tree.walk() if name) or "none"
        raise OptionError(f"there is no group {path!r} in {label(tree, 0)}; there are: {groups}") from None
    if isinstance(node, VirtualArray):
        raise OptionError(f"{path!r} in {label(tree, 0)} is an array, not a group")
    return node


def base_group(tree: VirtualGroup, path: str = "") -> str:
    """The path of the group that is opened: of a pyramid (GeoZarr ``multiscales``), the level of highest resolution.

    Raises
    ------
    OptionError
        There is no such group.
    """
    node = group_at(tree, path)
    layout = node.attributes.get("multiscales")
    if node.arrays or not isinstance(layout, Mapping):
        return path
    levels = layout.get("layout") or layout.get("datasets") or ()
    names = [str(level.get("asset", level.get("path", ""))) for level in levels if isinstance(level, Mapping)]
    first = next((name for name in names if name in node.groups), None)
    return path if first is None else f"{path}/{first}".strip("/")
