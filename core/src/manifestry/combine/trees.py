"""Trees side by side: their arrays by path, the names of their sources, and a tree made of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from manifestry.combine.compatibility.differences import MEANING, places_values, same_attribute
from manifestry.combine.compatibility.places import same_place
from manifestry.combine.compatibility.ranges import ACTUAL
from manifestry.combine.hints import ConflictError, remedy
from manifestry.combine.options import CombineOptions
from manifestry.errors import OptionError
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualArray, VirtualGroup, check_tree

__all__ = [
    "build_tree",
    "check_names",
    "check_some",
    "combine_attributes",
    "is_named",
    "label",
    "ordered_union",
    "shared_parts",
    "without_summaries",
]


def label(tree: VirtualGroup, position: int) -> str:
    """What messages call a tree: the URL of its first source or file, or its position."""
    for part in tree.provenance:
        if len(part.sources):
            return part.sources.urls[0]
    return next(iter(tree.files.urls), f"tree {position}")


def check_some(trees: Iterable[VirtualGroup]) -> list[VirtualGroup]:
    """The trees as a list.

    Raises
    ------
    OptionError
        There is none.
    TypeError
        One of them is none, such as the path of a file.
    """
    if isinstance(trees, str | PathLike):
        check_tree(trees)
    parts = list(trees)
    for part in parts:
        check_tree(part)
    if not parts:
        raise OptionError("there is nothing to combine")
    return parts


def is_named(path: str, names: Iterable[str]) -> bool:
    """Whether the array at a path is meant by one of some names or paths; ``/t`` is the ``t`` of the root alone."""
    return any(name in (path, f"/{path}", path.rpartition("/")[2]) for name in names)


def check_names(option: str, names: Iterable[str], paths: Iterable[str]) -> None:
    """Make sure that every name of an option means an array.

    Raises
    ------
    OptionError
        One means none.
    """
    known = sorted(paths)
    for name in names:
        if not any(is_named(path, (name,)) for path in known):
            raise OptionError(f"{option}: {name!r} is not a variable; there are: {', '.join(known[:20])}")


def ordered_union(collections: Iterable[Iterable[str]]) -> list[str]:
    """Every name once, in the order of first appearance."""
    return list(dict.fromkeys(name for names in collections for name in names))


def build_tree(arrays: Mapping[str, VirtualArray], groups: Mapping[str, Attributes]) -> VirtualGroup:
    """A tree of arrays by path, and of group attributes by path (``""`` is the root)."""

    def build(prefix: str) -> VirtualGroup:
        start = f"{prefix}/" if prefix else ""
        return VirtualGroup(
            {path.removeprefix(start): a for path, a in arrays.items() if _is_child(path, start)},
            groups={path.removeprefix(start): build(path) for path in groups if path and _is_child(path, start)},
            attributes=groups.get(prefix, {}),
        )

    return build("")


def _is_child(path: str, start: str) -> bool:
    return path.startswith(start) and "/" not in path[len(start) :]


def shared_parts(trees: Sequence[VirtualGroup], found: Sequence[Issue] = ()) -> dict[str, Any]:
    """Issues (each once) and provenance of a tree made of others."""
    issues = dict.fromkeys([*(issue for tree in trees for issue in tree.issues), *found])
    return {
        "issues": tuple(issues),
        "provenance": Provenance.merge([part for tree in trees for part in tree.provenance]),
    }


def without_summaries(path: str, groups: Sequence[VirtualGroup], report: Callable[[Issue], None]) -> list[Attributes]:
    """The attributes of one group in several trees, without what is not the same of where its values are.

    Arrays of other places, or of none, may stand side by side. That is so only where the arrays say themselves where they are:
    what their group says is a summary then, of which nothing is lost.
    """
    attributes = [group.attributes for group in groups]
    placing = {
        name: [one.get(name) for one in attributes] for names in attributes for name in names if places_values(name)
    }
    if all(same_attribute(values[0], value) for values in placing.values() for value in values[1:]):
        return attributes
    for group in groups:
        if any(map(places_values, group.attributes)) and not any(
            places_values(name) for array in group.arrays.values() for name in array.attributes
        ):
            return attributes
    message = "it is not the same in all sources; arrays say themselves where they are"
    report(Issue(path=path, feature="place of a group left out", message=message, severity="reported"))
    return [
        {name: value for name, value in one.items() if name not in placing and name != "zarr_conventions"}
        for one in attributes
    ]


def combine_attributes(
    path: str,
    attributes: Sequence[Attributes],
    labels: Callable[[int], str],
    options: CombineOptions,
    report: Callable[[Issue], None],
) -> Attributes:
    """The attributes of the combined node; what changes the meaning of values was compared before."""
    first = attributes[0]
    differ: dict[str, int] = {}
    for position, other in enumerate(attributes[1:], 1):
        if other is first:
            continue
        for name in first.keys() | other.keys():
            if name not in differ and not (
                name in first
                and name in other
                and (first[name] is other[name] or same_attribute(first[name], other[name]))
            ):
                differ[name] = position
    if not differ:
        return first
    placing = [
        name for name in differ if places_values(name) and not all(same_place(name, first, a) for a in attributes[1:])
    ]
    strict = [name for name in differ if name not in MEANING and not places_values(name)]
    if placing or (strict and options.attributes == "raise"):
        name = min(placing or strict)
        raise ConflictError(
            f"{path or '/'}: the attribute {name} differs between {labels(0)} and {labels(differ[name])}"
            + ("; values at different places are not one array" if placing else ""),
            [remedy("attributes", "first"), remedy("attributes", "drop")],
        )

    def dropped(name: str) -> bool:
        if name == ACTUAL:
            return True
        return options.attributes == "drop" and name not in MEANING and not places_values(name)

    for name in sorted(differ):
        kept = "left out" if dropped(name) else "as in the first source"
        report(
            Issue(path=f"{path}@{name}", feature="attribute differs between sources", message=kept, severity="reported")
        )
    return {name: value for name, value in first.items() if name not in differ or not dropped(name)}
