"""A tree as other libraries see it: a Zarr store, and xarray objects of virtual arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from manifestry.model.tree import VirtualGroup, check_tree
from manifestry.storage.access import Access
from manifestry.storage.registry import StoreRegistry, Stores

if TYPE_CHECKING:
    import xarray as xr

    from manifestry.zarr_store import ManifestStore

__all__ = ["open_store", "to_datatree", "to_xarray"]


def open_store(tree: VirtualGroup, *, stores: Stores = None, allow: Sequence[str] | None = None) -> ManifestStore:
    """A tree as a read-only Zarr store that reads the archives.

    Parameters
    ----------
    tree
        What the store shows.
    stores
        Object stores by URL prefix, as for `manifestry.parse`.
    allow
        URL prefixes to which servers may redirect requests for files that a document names, although they are not
        public.

    Examples
    --------
    >>> import xarray as xr
    >>> import manifestry as mf
    >>> ds = xr.open_zarr(mf.open_store(mf.parse("scene.nc")), consolidated=False)  # doctest: +SKIP
    """
    from manifestry.zarr_store import ManifestStore  # noqa: PLC0415 zarr is slow to import

    check_tree(tree)
    return ManifestStore(tree, stores=StoreRegistry.of(stores, Access.of(allow)))


def to_xarray(
    tree: VirtualGroup, group: str = "", *, load: bool | Collection[str] = False, stores: Stores = None
) -> xr.Dataset:
    """One group as an xarray Dataset of virtual arrays; nothing is read and nothing is decoded.

    Parameters
    ----------
    tree
        The tree.
    group
        Path of the group; of a pyramid without it, the level of highest resolution.
    load
        Names of variables whose values are read and decoded (times become dates); True: the one-dimensional
        coordinates, which then have indexes, so that datasets can be aligned and ordered by them.
    stores
        Object stores by URL prefix, as for `manifestry.parse`.

    Raises
    ------
    OptionError
        There is no such group.
    KeyError
        There is no variable of a name in `load`.
    """
    from manifestry import xarray_bridge  # noqa: PLC0415 an optional dependency, slow to import

    check_tree(tree)
    return xarray_bridge.to_xarray(tree, group, load=load, stores=stores)


def to_datatree(tree: VirtualGroup, *, load: bool | Collection[str] = False, stores: Stores = None) -> xr.DataTree:
    """A whole tree as an xarray DataTree of virtual arrays; parameters as for `to_xarray`."""
    from manifestry import xarray_bridge  # noqa: PLC0415 as above

    check_tree(tree)
    return xarray_bridge.to_datatree(tree, load=load, stores=stores)
