"""`merge`: trees with different variables as one tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from manifestry.combine.compatibility.decoded import is_encoding
from manifestry.combine.compatibility.differences import differences, inherited_attributes, units_of
from manifestry.combine.compatibility.fixed_arrays import OTHER_ENCODING, FixedArray
from manifestry.combine.compatibility.meaning import explain_losses, lost_meaning
from manifestry.combine.concatenation import Concatenation
from manifestry.combine.hints import ConflictError, MeaningLostError, remedy, with_advice
from manifestry.combine.index import GAPS, check_order
from manifestry.combine.options import CombineOptions
from manifestry.combine.trees import (
    build_tree,
    check_some,
    combine_attributes,
    label,
    ordered_union,
    shared_parts,
    without_summaries,
)
from manifestry.combine.values import read_values
from manifestry.errors import IncompatibleArraysError
from manifestry.hints import Hint
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
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
    chosen = CombineOptions.of(options, "merge", call=merge)
    registry = StoreRegistry.of(stores)
    parts = check_some(trees)
    try:
        return _merge_trees(parts, chosen, registry)
    except IncompatibleArraysError as error:
        raise with_advice(error, partial(_attempt, parts, chosen, registry)) from error


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
        ways: dict[str, Sequence[Hint]] = {}
        arrays = dict(_merge_trees(parts, chosen, stores, ways).walk_arrays())
        if all(path.rpartition("/")[2] in (array.dims or ()) for path, array in arrays.items()):
            raise IncompatibleArraysError("nothing but coordinates would be left")
        if lacks := lost_meaning(parts, arrays.keys()):
            raise MeaningLostError(lacks, ways)
        return sorted(paths - arrays.keys())
    tree = Concatenation(parts, dim, chosen, stores=stores, check_order=False, trial=True).join()
    coordinates = [a for path, a in tree.walk_arrays() if path.rpartition("/")[2] == dim and a.dims == (dim,)]
    unordered = [check_order(dim, read_values(a, stores), a.shape, lambda _: "") for a in coordinates]
    if not coordinates or any(issue.feature != GAPS for issues in unordered for issue in issues):
        raise IncompatibleArraysError(f"the trees do not follow each other along {dim}")
    return sorted(paths - {path for path, _ in tree.walk_arrays()})


def _merge_trees(
    parts: Sequence[VirtualGroup],
    chosen: CombineOptions,
    registry: StoreRegistry,
    ways: dict[str, Sequence[Hint]] | None = None,
) -> VirtualGroup:
    """The trees as one; `ways` gets what may help with each array that is left out."""
    issues: list[Issue] = []

    def labels(position: int) -> str:
        return label(parts[position], position)

    by_path: dict[str, list[tuple[int, VirtualArray]]] = {}
    for position, tree in enumerate(parts):
        for path, array in tree.walk_arrays():
            by_path.setdefault(path, []).append((position, array))
    inherited = [inherited_attributes(dict(tree.walk_arrays())) for tree in parts]
    arrays = {}
    for path, holders in by_path.items():
        kept = FixedArray(holders[0][1], registry, chosen.inline_limit, inherited[holders[0][0]].get(path))
        try:
            meanings = [{**inherited[i].get(path, {}), **array.attributes} for i, array in holders]
            arrays[path] = _merge_arrays(
                path, holders, meanings, kept, labels=labels, options=chosen, report=issues.append
            )
        except IncompatibleArraysError as error:
            if chosen.on_conflict != "drop":
                raise
            issues.append(Issue(path=path, feature="incompatible in some sources", message=str(error), hint="left out"))
            if ways is not None:
                ways[path] = getattr(error, "remedies", ())
    _check_dimensions(arrays)
    if len(arrays) < len(by_path):
        issues = explain_losses(issues, lost_meaning(parts, arrays.keys()))
    walked = [dict(tree.walk()) for tree in parts]
    groups = {}
    for path in ordered_union(walked):
        positions = [i for i, groups_of in enumerate(walked) if path in groups_of]
        attributes = without_summaries(path, [walked[i][path] for i in positions], issues.append)
        names = partial(_label_at, labels, positions)
        groups[path] = combine_attributes(path, attributes, names, chosen, issues.append)
    return build_tree(arrays, groups).with_(**shared_parts(parts, issues))


def _merge_arrays(
    path: str,
    holders: list[tuple[int, VirtualArray]],
    meanings: Sequence[Attributes],
    kept: FixedArray,
    *,
    labels: Callable[[int], str],
    options: CombineOptions,
    report: Callable[[Issue], None],
) -> VirtualArray:
    first = kept.array
    others = [array for _, array in holders[1:]]
    remedies = [*(remedy("concat_dim", dim) for dim in first.dims or () if dim), remedy("on_conflict", "drop")]
    near = kept.near(others) if options.compat != "override" else iter(others)
    for (position, _), other, own in zip(holders[1:], near, meanings[1:], strict=True):
        different = differences(first, other, None, (units_of(kept.meaning), units_of(own)))
        matters = [difference for difference in different if not difference.only_storage]
        where = f"{labels(holders[0][0])} and {labels(position)}"
        if not is_encoding(different, kept.meaning, own):
            raise ConflictError(f"{path} is in {where}, and {'; '.join(map(str, matters))}", remedies)
        alike = not different and same_bits(first.metadata.fill_value, other.metadata.fill_value)
        meaning = own if matters else None
        if options.compat == "override" or kept.equals(other, same_decoding=alike, meaning=meaning):
            if matters:
                message = "the values are equal; as in the first source"
                report(Issue(path=path, feature=OTHER_ENCODING, message=message, severity="reported"))
            continue
        more = kept.more_than_rounding(other, meaning)
        asked = options.compat == "close"
        if more or not asked:
            raise ConflictError(
                f"{path} is in {where} with different values: {kept.first_difference(other, meaning)}"
                + (f"; that is more than rounding (compat=close): {more}" if asked else ""),
                remedies if more else [remedy("compat", "close"), *remedies],
            )
        report(
            Issue(path=path, feature="values differ by rounding", message="as in the first source", severity="reported")
        )
    attributes = combine_attributes(
        path, [a.attributes for _, a in holders], partial(_label_at, labels, [i for i, _ in holders]), options, report
    )
    return VirtualArray(first.metadata.with_(attributes=attributes), first.manifest)


def _label_at(labels: Callable[[int], str], positions: Sequence[int], at: int) -> str:
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
