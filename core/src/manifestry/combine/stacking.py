"""`stack`: trees one after the other along a new dimension."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from manifestry.combine.concatenation import Concatenation
from manifestry.combine.dimensions import expand_array
from manifestry.combine.options import CombineOptions
from manifestry.combine.trees import check_some, is_named
from manifestry.combine.values import inline_array
from manifestry.errors import OptionError
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import Stores

__all__ = ["coordinate_paths", "expand", "stack"]

_LINKS: Final = ("coordinates", "grid_mapping", "bounds", "climatology", "cell_measures")


def stack(
    trees: Iterable[VirtualGroup],
    dim: str,
    *,
    coords: Mapping[str, Any] | None = None,
    variables: Sequence[str] = (),
    like: VirtualGroup | None = None,
    stores: Stores = None,
    **options: Any,
) -> VirtualGroup:
    """Trees one after the other along a dimension that they do not have yet; it becomes the first one.

    Coordinates (arrays named like a dimension, and those that a ``coordinates``, ``grid_mapping`` or ``bounds``
    attribute names) must hold the same values everywhere and are kept once; all other arrays get the new dimension.

    Parameters
    ----------
    trees
        In the order in which they follow each other.
    dim
        Name of the new dimension. An array of that name is stacked too, and becomes its coordinate.
    coords
        Values along the new dimension by name, one for each tree, for example ``{"time": dates}``. A value with
        attributes is an array made by `manifestry.combine.inline_array`.
    variables
        Names or paths of coordinates that get the new dimension too; the option ``stack`` says the same.
    like, stores, **options
        As for `concat`.

    Raises
    ------
    IncompatibleArraysError, OptionError
        As for `concat`; a codec that depends on the number of dimensions is refused.
    """
    parts = check_some(trees)
    chosen = CombineOptions.of(options, "stack", call=stack)
    for name, values in (coords or {}).items():
        if len(values if not isinstance(values, VirtualArray) else range(values.shape[0])) != len(parts):
            raise OptionError(f"coords: {name} needs one value for each of the {len(parts)} trees")
    named = (*variables, *chosen.stack)
    expanded = [expand(tree, dim, variables=named) for tree in parts]
    template = None if like is None else expand(like, dim, variables=named)
    tree = Concatenation(expanded, dim, chosen, like=template, stores=stores).run()
    added = {
        name: values if isinstance(values, VirtualArray) else inline_array(values, (dim,))
        for name, values in (coords or {}).items()
    }
    for name in added:
        if name in tree.arrays and name != dim:
            raise OptionError(f"coords: the trees have an array {name!r} already")
    return tree.with_(arrays={**tree.arrays, **added})


def expand(tree: VirtualGroup, dim: str, *, variables: Sequence[str] = ()) -> VirtualGroup:
    """A tree whose arrays, except coordinates, have a new first dimension of length 1."""
    if any(dim in (array.dims or ()) for _, array in tree.walk_arrays()):
        raise OptionError(
            f"the dimension {dim!r} exists already; concat() joins trees along a dimension that they have"
        )
    kept = coordinate_paths(tree) - {path for path, _ in tree.walk_arrays() if is_named(path, (dim, *variables))}
    return tree.map_arrays(lambda path, array: array if path in kept else expand_array(array, dim, path))


def coordinate_paths(tree: VirtualGroup) -> set[str]:
    """Paths of the arrays that describe others: named like a dimension, or by an attribute that links to them."""
    found = set()
    for path, group in tree.walk():
        prefix = f"{path}/" if path else ""
        dims = {dim for array in group.arrays.values() for dim in array.dims or ()}
        linked = [group.attributes.get("coordinates")]
        linked += [array.attributes.get(link) for array in group.arrays.values() for link in _LINKS]
        words = {word for text in linked if isinstance(text, str) for word in text.replace(":", " ").split()}
        found |= {prefix + name for name in group.arrays if name in dims or name in words}
    return found
