"""The line of Python that opens what was written, one rule for all writers.

xarray opens a group whose arrays have names for their dimensions, each of one length; the rest is for zarr. Names may
repeat in an array, and be those of arrays of several dimensions. Of groups below each other xarray makes a tree only where
dimensions agree and no index is given twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from manifestry.model.tree import VirtualGroup

__all__ = ["opening_lines"]


def opening_lines(
    trees: Sequence[VirtualGroup], store: str, group: str = "", *, zarr_format: Literal[2, 3] | None = None
) -> tuple[str, str]:
    """The import and the line that open a group of a Zarr store with all that is in it.

    Parameters
    ----------
    trees
        What was written there.
    store
        A Python expression of the store.
    group
        Path of the group; ``""`` for the root.
    zarr_format
        The version that is to be read, where a store may have both.

    Returns
    -------
    str, str
        The line gives a name to what it opens: ``ds``, ``tree``, ``datasets`` (groups that make no tree) or ``root`` (a
        zarr group).
    """
    version = "" if zarr_format is None else f", zarr_format={zarr_format}"
    if any(_sizes(node) is None for tree in trees for _, node in tree.walk()):
        where = f", path={group!r}" if group else ""
        return "import zarr", f"root = zarr.open_group({store}{where}, mode='r'{version})"
    where = f"{f', group={group!r}' if group else ''}, consolidated=False{version}"
    if not any(tree.groups for tree in trees):
        return "import xarray as xr", f"ds = xr.open_zarr({store}{where})"
    if all(_aligned(tree, {}, frozenset()) for tree in trees):
        return "import xarray as xr", f"tree = xr.open_datatree({store}, engine='zarr'{where})"
    return "import xarray as xr", f"datasets = xr.open_groups({store}, engine='zarr'{where})"


def _sizes(group: VirtualGroup) -> dict[str | None, int] | None:
    """The lengths of the dimensions of a group, None where it is no dataset."""
    sizes: dict[str | None, int] = {}
    for array in group.arrays.values():
        if array.dims is None:
            return None
        for dim, size in zip(array.dims, array.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                return None
    scalars = {name for name, array in group.arrays.items() if not array.shape}
    return None if scalars & sizes.keys() else sizes  # a dimension of a scalar's name


def _aligned(group: VirtualGroup, sizes: Mapping[str | None, int], indexed: Collection[str]) -> bool:
    """Whether groups fit their parents, as xarray's DataTree wants: lengths are equal, and no index hides another."""
    own = _sizes(group) or {}
    indexes = {name for name, array in group.arrays.items() if array.dims == (name,)}
    if any(sizes.get(dim, size) != size for dim, size in own.items()) or not group.arrays.keys().isdisjoint(indexed):
        return False
    return all(_aligned(child, {**sizes, **own}, {*indexed, *indexes}) for child in group.groups.values())
