"""The order of sources along the combined dimension, and values of its coordinate that occur twice: decided before any is combined.

The coordinate of every source is read first, by itself where nothing prepares the trees. What is decided then is which elements
of which source go into the output, in which order, and which take the place of elements that the output has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.times import Times, TimeUnit, calendar_of, is_time, missing_elements
from manifestry.combine.values import read_values
from manifestry.errors import IncompatibleArraysError, MalformedFileError, OptionError, translated
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
from manifestry.model.datatypes import is_float, is_integer
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry

__all__ = ["Coordinate", "Kept", "OnDuplicate", "Order", "Replaced", "coordinate_of", "decide_order"]

type OnDuplicate = Literal["keep", "keep-first", "replace", "raise"]
"""What happens to values of the coordinate that occur twice."""

type Kept = tuple[int, Sequence[tuple[int, int]]]
"""How many elements a source has, and the ranges of those that go into the output."""

_EPOCH: Final = "days since 2000-01-01"


class Coordinate(NamedTuple):
    """The coordinate of one source.

    Attributes
    ----------
    name
        URL of the source.
    keys
        What its elements are compared by; times as nanoseconds. None of values that are missing.
    shown
        The same for messages.
    """

    name: str
    keys: list[Any]
    shown: list[str]


class Replaced(NamedTuple):
    """Elements ``start:stop`` of a source that take the place of those of the output from `at` on."""

    start: int
    stop: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What of each source goes where.

    Attributes
    ----------
    names
        URLs of the sources in their order.
    kept
        Ranges of elements of those sources that do not go into the output as a whole, with the length that they have.
    replaced
        What takes the place of elements of the output, by URL.
    duplicates
        How many elements of each source are left out, with the first of them in words, by URL.
    """

    names: Sequence[str]
    kept: Mapping[str, Kept] = field(default_factory=dict)
    replaced: Mapping[str, Sequence[Replaced]] = field(default_factory=dict)
    duplicates: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def issues(self, dim: str) -> list[Issue]:
        """What is reported of it."""
        found = []
        for url, (count, first) in self.duplicates.items():
            message = f"{count} in {url}; first {first}"
            found.append(Issue(path=dim, feature="duplicate values left out", message=message, severity="reported"))
        for url, parts in self.replaced.items():
            count = sum(part.stop - part.start for part in parts)
            message = f"{count} that the output had are those of {url}"
            found.append(Issue(path=dim, feature="values replaced", message=message, severity="reported"))
        return found


def coordinate_of(name: str, tree: VirtualGroup, dim: str, stores: StoreRegistry) -> Coordinate | None:
    """The coordinate of a dimension in a tree: of the root, or of the first group that has one; None without one.

    Raises
    ------
    IncompatibleArraysError
        Groups of the tree have different ones.
    """
    found: list[Coordinate] = []
    for path, array in tree.walk_arrays():
        if path.rpartition("/")[2] == dim and array.dims == (dim,):
            with translated(ValueError, MalformedFileError, f"{name}: {path}"):
                found.append(_coordinate(name, array, stores))
    if any(one.keys != found[0].keys for one in found):
        raise IncompatibleArraysError(f"{name}: groups have coordinates {dim} of their own, which differ")
    return found[0] if found else None


def _coordinate(name: str, array: VirtualArray, stores: StoreRegistry) -> Coordinate:
    values = read_values(array, stores)
    attributes = array.attributes
    missing = np.zeros(values.shape, bool)
    keys: NDArray[Any] = values
    if is_integer(values.dtype) or is_float(values.dtype):
        missing = missing_elements(values, attributes)
        if is_time(attributes):
            keys = _moments(values, attributes)
    pairs = zip(keys.tolist(), missing.tolist(), strict=True)
    units = f" {attributes['units']}" if isinstance(attributes.get("units"), str) else ""
    return Coordinate(
        name, [None if gone else key for key, gone in pairs], [f"{value}{units}" for value in values.tolist()]
    )


def _moments(values: NDArray[Any], attributes: Attributes) -> NDArray[Any]:
    epoch = TimeUnit.of({"units": _EPOCH, "calendar": calendar_of(attributes)}).epoch
    return Times.of(values, attributes, epoch).ticks


def decide_order(
    sources: Sequence[Coordinate], stored: Coordinate | None, *, sort: bool, on_duplicate: OnDuplicate, dim: str
) -> Order:
    """What of each source goes where.

    Parameters
    ----------
    stored
        The coordinate of the output that goes on.
    sort
        Sources come in the order of their first values, ascending unless the values of sources descend.

    Raises
    ------
    IncompatibleArraysError
        A value occurs twice, and ``on_duplicate`` is ``"raise"``.
    OptionError
        Sources cannot be sorted.
    """
    if sort:
        sources = _sorted(sources, dim)
    names = [source.name for source in sources]
    if on_duplicate == "keep":
        return Order(names=names)
    places = _places(stored)
    if on_duplicate == "raise":
        _check_unique(sources, stored, dim)
        return Order(names=names)
    owners = _owners(sources, last=on_duplicate == "replace")
    kept: dict[str, Kept] = {}
    replaced: dict[str, Sequence[Replaced]] = {}
    duplicates: dict[str, tuple[int, str]] = {}
    for source in sources:
        wins = [key is None or owners[key] == (source.name, i) for i, key in enumerate(source.keys)]
        new = [won and (key is None or key not in places) for won, key in zip(wins, source.keys, strict=True)]
        if not all(new):
            kept[source.name] = (len(new), _runs(np.flatnonzero(new)))
        there = [i for i, won in enumerate(wins) if won and not new[i]]
        if there and on_duplicate == "replace":
            replaced[source.name] = _replacements(there, source.keys, places)
        lost = [i for i, won in enumerate(wins) if not won or (not new[i] and on_duplicate == "keep-first")]
        if lost:
            duplicates[source.name] = (len(lost), source.shown[lost[0]])
    way = _way(list(dict.fromkeys(key for source in sources for key in source.keys if key is not None)))
    if on_duplicate == "replace" and kept and way and not sort:  # what replaces comes where it was
        names = [one.name for one in _sorted_by_kept(sources, kept, down=way < 0)]
    return Order(names=names, kept=kept, replaced=replaced, duplicates=duplicates)


def _sorted(sources: Sequence[Coordinate], dim: str) -> list[Coordinate]:
    firsts: dict[str, Any] = {}
    for source in sources:
        firsts[source.name] = next((key for key in source.keys if key is not None), None)
        if firsts[source.name] is None and source.keys:
            raise OptionError(f"{source.name}: all values of {dim} are missing, so it has no place in the order")
    empty = [source for source in sources if not source.keys]
    with translated(TypeError, OptionError, f"the values of {dim} have no order"):
        ordered = sorted((s for s in sources if s.keys), key=lambda s: firsts[s.name], reverse=_descend(sources))
    return ordered + empty


def _descend(sources: Sequence[Coordinate]) -> bool:
    """Whether the values inside of sources go down."""
    ends = [(known[0], known[-1]) for s in sources if len(known := [key for key in s.keys if key is not None]) > 1]
    return sum(bool(a > b) for a, b in ends) > sum(bool(a < b) for a, b in ends)


def _places(stored: Coordinate | None) -> dict[Any, list[int]]:
    """Where the output has each value."""
    places: dict[Any, list[int]] = {}
    for at, key in enumerate(() if stored is None else stored.keys):
        if key is not None:
            places.setdefault(key, []).append(at)
    return places


def _check_unique(sources: Sequence[Coordinate], stored: Coordinate | None, dim: str) -> None:
    seen: dict[Any, str] = {}
    for source in (*([] if stored is None else [stored]), *sources):
        for key, shown in zip(source.keys, source.shown, strict=True):
            if key is not None and seen.setdefault(key, source.name) != source.name:
                raise IncompatibleArraysError(f"{dim}: {shown} is in {source.name} and in {seen[key]}")
        if source is not stored and len(known := [key for key in source.keys if key is not None]) > len(set(known)):
            raise IncompatibleArraysError(f"{dim}: a value occurs twice in {source.name}")


def _owners(sources: Sequence[Coordinate], *, last: bool) -> dict[Any, tuple[str, int]]:
    """Which element of which source each value is taken from."""
    owners: dict[Any, tuple[str, int]] = {}
    for source in sources:
        for i, key in enumerate(source.keys):
            if key is not None and (last or key not in owners):
                owners[key] = (source.name, i)
    return owners


def _runs(elements: NDArray[np.intp]) -> list[tuple[int, int]]:
    if not elements.size:
        return []
    parts = np.split(elements, np.flatnonzero(np.diff(elements) != 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def _replacements(elements: Sequence[int], keys: Sequence[Any], places: Mapping[Any, Sequence[int]]) -> list[Replaced]:
    found: list[Replaced] = []
    for i in elements:
        for at in places[keys[i]]:
            last = found[-1] if found else None
            if last is not None and (i, at) == (last.stop, last.at + last.stop - last.start):
                found[-1] = Replaced(last.start, i + 1, last.at)
            else:
                found.append(Replaced(i, i + 1, at))
    return found


def _way(keys: Sequence[Any]) -> int:
    """1 of values that go up, -1 of those that go down, 0 of others."""
    pairs = list(pairwise(keys))
    return 1 if all(a < b for a, b in pairs) else -1 if all(a > b for a, b in pairs) else 0


def _sorted_by_kept(sources: Sequence[Coordinate], kept: Mapping[str, Kept], *, down: bool) -> list[Coordinate]:
    """The sources in the order of what is kept of them; those of which nothing is kept come last."""
    firsts: dict[str, Any] = {}
    for source in sources:
        _, ranges = kept.get(source.name, (0, [(0, 0)]))
        firsts[source.name] = source.keys[ranges[0][0]] if source.keys and ranges else None
    some = [source for source in sources if firsts[source.name] is not None]
    rest = [source for source in sources if firsts[source.name] is None]
    return sorted(some, key=lambda source: firsts[source.name], reverse=down) + rest
