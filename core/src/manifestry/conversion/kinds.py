"""Sources that lie beside each other along the combined dimension: other variables, or other places along further dimensions.

What follows each other is of one kind. Each kind is combined by itself; then kinds that lie along a further dimension are joined
along it, and kinds of other variables are merged, which they can be where their coordinates are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from manifestry.combine.trees import is_named
from manifestry.conversion.order import coordinate_of
from manifestry.errors import OptionError, translated
from manifestry.model.tree import VirtualGroup
from manifestry.storage.registry import StoreRegistry

__all__ = ["Kind", "are_columns", "join_kinds", "kind_of", "like_of_kind"]


class Kind(NamedTuple):
    """What sources have in common that follow each other.

    Attributes
    ----------
    paths
        Paths of the arrays along the combined dimension.
    places
        Values of the coordinates of the further dimensions.
    """

    paths: frozenset[str] = frozenset()
    places: tuple[tuple[Any, ...], ...] = ()


def kind_of(
    name: str, tree: VirtualGroup, dim: str, others: Sequence[str], *, stack: Sequence[str], stores: StoreRegistry
) -> Kind:
    """The kind of a source; what `stack` names gets the dimension.

    Raises
    ------
    OptionError
        It has no coordinate of a further dimension.
    """
    places = []
    for other in others:
        found = coordinate_of(name, tree, other, stores)
        if found is None:
            raise OptionError(
                f"{name}: there is no coordinate {other!r}, by which sources are put side by side; "
                f"coords=['{other}=...'] (--coord) makes one from names or attributes"
            )
        places.append(tuple(found.keys))
    return Kind(_paths_along(tree, dim, stack), tuple(places))


def _paths_along(tree: VirtualGroup, dim: str, stack: Sequence[str] = ()) -> frozenset[str]:
    arrays = tree.walk_arrays()
    return frozenset(path for path, array in arrays if dim in (array.dims or ()) or is_named(path, stack))


def like_of_kind(like: VirtualGroup | None, kind: Kind, dim: str, present: Collection[str]) -> VirtualGroup | None:
    """What a tree says of sources of a kind, which have arrays at some paths; None where it has not all that they have."""
    if like is None or kind.places or not kind.paths <= _paths_along(like, dim):
        return None
    if kind.paths == _paths_along(like, dim):
        return like
    return like.map_arrays(lambda path, array: array if path in present or dim not in (array.dims or ()) else None)


def are_columns(kinds: Iterable[Kind]) -> bool:
    """Whether the variables of several kinds go beside each other: each has some of its own, beside what all have."""
    sets = list({kind.paths for kind in kinds})
    if len(sets) == 1:
        return True
    shared = frozenset.intersection(*sets)
    own = [paths - shared for paths in sets]
    return all(own) and sum(map(len, own)) == len(frozenset.union(*own))


def join_kinds(
    trees: Mapping[Kind, VirtualGroup],
    others: Sequence[str],
    *,
    concat: Callable[[Sequence[VirtualGroup], str], VirtualGroup],
    merge: Callable[[Sequence[VirtualGroup]], VirtualGroup],
) -> VirtualGroup:
    """The trees of kinds as one.

    Raises
    ------
    ManifestryError
        As `concat` and `merge`.
    """
    columns: dict[frozenset[str], dict[tuple[Any, ...], VirtualGroup]] = {}
    for kind, tree in trees.items():
        columns.setdefault(kind.paths, {})[kind.places] = tree
    whole = [_join_places(list(column.items()), list(others), concat) for column in columns.values()]
    return whole[0] if len(whole) == 1 else merge(whole)


def _join_places(
    parts: Sequence[tuple[tuple[Any, ...], VirtualGroup]],
    others: Sequence[str],
    concat: Callable[[Sequence[VirtualGroup], str], VirtualGroup],
) -> VirtualGroup:
    """Trees by their places along further dimensions, joined along the last of these first."""
    if not others:
        return parts[0][1]
    with translated(TypeError, OptionError, f"values of {', '.join(others)} have no order"):
        ordered = sorted(parts, key=lambda part: part[0])
    inner = []
    for first, same in groupby(ordered, key=lambda part: part[0][0]):
        rest = [(places[1:], tree) for places, tree in same]
        inner.append((first, _join_places(rest, others[1:], concat)))
    trees = [tree for _, tree in inner]
    return trees[0] if len(trees) == 1 else concat(trees, others[0])
