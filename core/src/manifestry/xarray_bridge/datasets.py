"""A tree as a virtual Dataset or DataTree, and back without loss."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from types import EllipsisType
from typing import Any

import numpy as np
import xarray as xr

from manifestry.combine.compatibility.differences import inherited_attributes
from manifestry.combine.values import inline_array, read_values
from manifestry.formats.loading import installed_formats
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.xarray_bridge.decoding import attributes_for_xarray
from manifestry.xarray_bridge.duck_array import VirtualDuckArray
from manifestry.xarray_bridge.naming import base_group, group_at, named_arrays, original_dims, unnamed_dims

__all__ = [
    "from_virtual_dataset",
    "from_virtual_datatree",
    "mark_coordinates",
    "to_datatree",
    "to_xarray",
]


def to_xarray(
    tree: VirtualGroup, group: str = "", *, load: bool | Collection[str] = False, stores: Stores = None
) -> xr.Dataset:
    """See `manifestry.views.to_xarray`."""
    installed_formats()  # what plugins know of codecs of their own decides what can be joined later
    return _dataset(group_at(tree, base_group(tree, group)), load, StoreRegistry.of(stores))


def _dataset(group: VirtualGroup, load: bool | Collection[str], stores: StoreRegistry) -> xr.Dataset:  # noqa: FBT001 as users gave it
    arrays = named_arrays(group)
    indexes = {name for name, array in arrays.items() if array.dims == (name,)}
    wanted = indexes if load is True else set(load or ())
    unknown = sorted(wanted - arrays.keys())
    if unknown:
        raise KeyError(f"load: {unknown[0]} is not a variable; there are: {', '.join(sorted(arrays))}")
    coordinates = _coordinates(group)
    inherited = inherited_attributes(group.arrays)
    variables = {
        name: xr.Variable(
            array.dims or (),
            VirtualDuckArray(array, stores, inherited.get(name), unnamed_dims(group.arrays[name])),
            dict(array.attributes),
        )
        for name, array in arrays.items()
        if name not in wanted
    }
    loaded = _load({name: arrays[name] for name in arrays if name in wanted}, stores)
    coords = xr.Coordinates({n: v for n, v in variables.items() if n in coordinates}, indexes={})
    data = {name: variable for name, variable in variables.items() if name not in coordinates}
    dataset = xr.Dataset(data, coords, dict(group.attributes))
    return dataset.assign_coords({n: v for n, v in loaded.items() if n in coordinates}).assign(
        {n: v for n, v in loaded.items() if n not in coordinates}
    )


def _coordinates(group: VirtualGroup) -> set[str]:
    """The arrays that xarray takes for coordinates: named like a dimension, or in an attribute ``coordinates``.

    Whatever else attributes name (grid mappings, bounds) it takes for data, unless it is told ``decode_coords="all"``.
    """
    texts = [group.attributes.get("coordinates")]
    texts += [array.attributes.get("coordinates") for array in group.arrays.values()]
    words = {word for text in texts if isinstance(text, str) for word in text.split()}
    dims = {dim for array in group.arrays.values() for dim in array.dims or ()}
    return {name for name in group.arrays if name in dims or name in words}


def _load(arrays: dict[str, VirtualArray], stores: StoreRegistry) -> dict[Any, xr.Variable]:
    """Values, decoded by the CF conventions as xarray decodes them."""
    if not arrays:
        return {}
    raw = xr.Dataset(
        {
            name: xr.Variable(a.dims or (), read_values(a, stores), attributes_for_xarray(a.attributes, a.dtype))
            for name, a in arrays.items()
        }
    )
    return dict(xr.decode_cf(raw, decode_coords=False).variables)


def to_datatree(tree: VirtualGroup, *, load: bool | Collection[str] = False, stores: Stores = None) -> xr.DataTree:
    """See `manifestry.views.to_datatree`."""
    installed_formats()  # as above
    registry = StoreRegistry.of(stores)
    names = load if isinstance(load, bool) else set(load)
    nodes = {
        f"/{path}": _dataset(group, names if isinstance(names, bool) else names & group.arrays.keys(), registry)
        for path, group in tree.walk()
    }
    return xr.DataTree.from_dict(nodes)


def from_virtual_dataset(dataset: xr.Dataset) -> VirtualGroup:
    """The tree of a dataset: virtual variables as they are, variables in memory encoded and copied."""
    tree = VirtualGroup(
        {str(name): _array(str(name), variable) for name, variable in dataset.variables.items()},
        groups={},
        attributes={str(key): value for key, value in dataset.attrs.items()},
    )
    return mark_coordinates(tree, dataset.coords)


def mark_coordinates(tree: VirtualGroup, names: Iterable[Hashable]) -> VirtualGroup:
    """A tree in which readers find the coordinates of a dataset again.

    Those that neither a dimension nor an attribute marks are named in the attribute ``coordinates`` of the group, where
    xarray itself writes them. That text has blanks between names, so a name with a blank stays unmarked.
    """
    already = tree.attributes.get("coordinates", "")
    unmarked = sorted({name for name in map(str, names) if len(name.split()) == 1} - _coordinates(tree))
    if not unmarked or not isinstance(already, str):
        return tree
    return tree.with_(attributes={**tree.attributes, "coordinates": " ".join([*already.split(), *unmarked])})


def from_virtual_datatree(tree: xr.DataTree) -> VirtualGroup:
    """The tree of a DataTree; see `from_virtual_dataset`."""
    root = from_virtual_dataset(tree.to_dataset(inherit=False))
    return root.with_(groups={str(name): from_virtual_datatree(child) for name, child in tree.children.items()})


def _array(name: str, variable: xr.Variable) -> VirtualArray:
    data = variable.data
    if isinstance(data, VirtualDuckArray):
        attributes = {str(key): value for key, value in variable.attrs.items()}
        dims = original_dims(variable.dims)
        if not isinstance(data.unnamed, EllipsisType) and not any(dims or ()):
            dims = data.unnamed
        metadata = data.array.metadata.with_(dims=dims, attributes=attributes)
        return VirtualArray(metadata, data.array.manifest)
    encoded = xr.conventions.encode_cf_variable(variable, name=name)
    values = np.asarray(encoded.data)
    if values.dtype == object:
        values = values.astype(np.dtypes.StringDType())
    attributes = {str(key): value for key, value in encoded.attrs.items()}
    return inline_array(values, [str(dim) for dim in variable.dims], attributes)
