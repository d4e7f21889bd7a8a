"""`merge`: trees with different variables beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from manifestry.combine.compatibility import STORAGE, differences
from manifestry.combine.concatenate import Concatenation
from manifestry.combine.constants import Constant
from manifestry.combine.hints import ConflictError, advised, remedy
from manifestry.combine.index import check_order
from manifestry.combine.options import CombineOptions
from manifestry.combine.trees import build_tree, check_some, combine_attributes, label, ordered_union, shared_parts
from manifestry.combine.values import at_hand, read_values
from manifestry.errors import IncompatibleArraysError
from manifestry.formats.options import make_options
from manifestry.issues import Issue
from manifestry.model.datatypes import same_bits
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry, Stores

__all__ = ["merge"]


def merge(trees: Iterable[VirtualGroup], *, stores: Stores = None, **options: Any) -> VirtualGroup:
    """Trees with different variables as one tree.

    Parameters
    ----------
    trees
        What they have in common must be equal, values included, and is kept once.
    stores
        Object stores by URL prefix, as for `manifestry.parse`: values are compared by reading them.
    **options
        See `manifestry.combine.CombineOptions`; ``compat``, ``attributes``, ``on_conflict`` and ``inline_limit`` count.

    Raises
    ------
    IncompatibleArraysError
        Arrays of one name differ, or a dimension of a group has two lengths.
    """
    chosen = make_options(CombineOptions, options, "merge", call=merge)
    registry = StoreRegistry.of(stores)
    parts = check_some(trees)
    try:
        return _joined(parts, chosen, registry)
    except IncompatibleArraysError as error:
        raise advised(error, partial(_attempt, parts, chosen, registry)) from error


def _attempt(
    parts: Sequence[VirtualGroup], options: CombineOptions, stores: StoreRegistry, changes: Mapping[str, Any]
) -> list[str]:
    """Merge the trees with other options, or join them along a dimension that they follow each other along.

    Returns
    -------
    list of str
        What is left out.
    """
    dim = changes.get("concat_dim")
    chosen = msgspec.structs.replace(
        options, **{name: value for name, value in changes.items() if name != "concat_dim"}
    )
    paths = {path for part in parts for path, _ in part.walk_arrays()}
    if dim is None:
        arrays = dict(_joined(parts, chosen, stores).walk_arrays())
        if all(path.rpartition("/")[2] in (array.dims or ()) for path, array in arrays.items()):
            raise IncompatibleArraysError("nothing but coordinates would be left")
        return sorted(paths - arrays.keys())
    tree = Concatenation(parts, dim, chosen, stores=stores, check_order=False, trial=True).joined()
    coordinates = [a for path, a in tree.walk_arrays() if path.rpartition("/")[2] == dim and a.dims == (dim,)]
    unordered = [check_order(dim, read_values(a, stores), a.shape, lambda _: "") for a in coordinates]
    if not coordinates or any(unordered):
        raise IncompatibleArraysError(f"the trees do not follow each other along {dim}")
    return sorted(paths - {path for path, _ in tree.walk_arrays()})


def _joined(parts: Sequence[VirtualGroup], chosen: CombineOptions, registry: StoreRegistry) -> VirtualGroup:
    issues: list[Issue] = []

    def labels(position: int) -> str:
        return label(parts[position], position)

    by_path: dict[str, list[tuple[int, VirtualArray]]] = {}
    for position, tree in enumerate(parts):
        for path, array in tree.walk_arrays():
            by_path.setdefault(path, []).append((position, array))
    arrays = {}
    for path, found in by_path.items():
        try:
            arrays[path] = _merged(path, found, labels, options=chosen, stores=registry, report=issues.append)
        except IncompatibleArraysError as error:
            if chosen.on_conflict != "drop":
                raise
            issues.append(Issue(path, "incompatible in some sources", str(error), "left out"))
    _check_dimensions(arrays)
    walked = [dict(tree.walk()) for tree in parts]
    groups = {}
    for path in ordered_union(walked):
        there = [i for i, groups_of in enumerate(walked) if path in groups_of]
        attributes = [walked[i][path].attributes for i in there]
        groups[path] = combine_attributes(path, attributes, partial(_picked, labels, there), chosen, issues.append)
    return build_tree(arrays, groups).with_(**shared_parts(parts, issues))


def _merged(
    path: str,
    found: list[tuple[int, VirtualArray]],
    labels: Callable[[int], str],
    *,
    options: CombineOptions,
    stores: StoreRegistry,
    report: Callable[[Issue], None],
) -> VirtualArray:
    first = found[0][1]
    kept = Constant(first, stores, options.inline_limit)
    others = [array for _, array in found[1:]]
    remedies = [*(remedy("concat_dim", dim) for dim in first.dims or () if dim), remedy("on_conflict", "drop")]
    near = at_hand(others, stores, options.inline_limit) if options.compat != "override" else iter(others)
    for (position, _), other in zip(found[1:], near, strict=True):
        different = differences(first, other, None)
        matters = [difference for difference in different if difference.what not in STORAGE]
        where = f"{labels(found[0][0])} and {labels(position)}"
        if matters:
            raise ConflictError(f"{path} is in {where}, and {'; '.join(map(str, matters))}", remedies)
        alike = not different and same_bits(first.metadata.fill_value, other.metadata.fill_value)
        if options.compat == "override" or kept.equals(other, same_decoding=alike):
            continue
        close = kept.close_to(other)
        if not (close and options.compat == "close"):
            raise ConflictError(
                f"{path} is in {where} with different values: {kept.first_difference(other)}",
                [remedy("compat", "close"), *remedies] if close else remedies,
            )
        report(Issue(path, "values differ by rounding", "as in the first source", severity="reported"))
    attributes = combine_attributes(
        path, [a.attributes for _, a in found], partial(_picked, labels, [i for i, _ in found]), options, report
    )
    return VirtualArray(first.metadata.with_(attributes=attributes), first.manifest)


def _picked(labels: Callable[[int], str], positions: Sequence[int], at: int) -> str:
    return labels(positions[at])


def _check_dimensions(arrays: dict[str, VirtualArray]) -> None:
    """A dimension of a group has one length."""
    lengths: dict[tuple[str, str], tuple[int, str]] = {}
    for path, array in arrays.items():
        group = path.rpartition("/")[0]
        for dim, length in zip(array.dims or (), array.shape, strict=False):
            if dim is None:
                continue
            known, other = lengths.setdefault((group, dim), (length, path))
            if known != length:
                raise ConflictError(
                    f"the dimension {dim} has length {known} in {other} and {length} in {path}",
                    [remedy("concat_dim", dim)],
                )
