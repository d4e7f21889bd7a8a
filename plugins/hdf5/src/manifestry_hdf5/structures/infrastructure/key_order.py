"""Whether the keys of a B-tree lie where a search for them goes: libhdf5 does not find a chunk that is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

__all__ = ["check_ascending", "check_levels", "ends", "precedes"]

type Keys = NDArray[Any]
"""Keys ``(n,)``, or ``(n, dimensions)`` where several numbers are one."""


def precedes(first: Keys, second: Keys) -> NDArray[np.bool_]:
    """Whether each key comes before the one in its place in `second`."""
    if first.ndim == 1:
        return first < second
    result, tie = np.zeros(len(first), bool), np.ones(len(first), bool)
    for one, other in zip(first.T, second.T, strict=True):
        result |= tie & (one < other)
        tie &= one == other
    return result


def check_ascending(first: Keys, second: Keys, structure: str) -> None:
    """Make sure that each key comes before the one in its place in `second`.

    Raises
    ------
    MalformedFileError
        One does not; the message names the structure.
    """
    if not precedes(first, second).all():
        raise MalformedFileError(f"{structure}: its keys do not ascend")


def ends(keys: Keys, counts: NDArray[np.int64]) -> tuple[Keys, Keys]:
    """The first and the last key of each node, from the keys of all nodes one after the other; no node is empty."""
    stops = np.cumsum(counts)
    return keys[stops - counts], keys[stops - 1]


def check_levels(levels: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], tree: str) -> None:
    """Make sure that the keys of a B-tree whose nodes hold keys between their children ascend.

    Parameters
    ----------
    levels
        From the root down, the keys of all nodes one after the other, and the number of keys in each.

    Raises
    ------
    MalformedFileError
        They do not, or a node below the root is empty.
    """
    first = last = None
    for keys, counts in reversed(levels):
        if not counts.all():
            if len(levels) > 1:
                raise MalformedFileError(f"{tree}: a node has no chunks")
            return
        starts = np.cumsum(counts) - counts
        if first is None or last is None:
            inner = np.ones(len(keys), bool)
            inner[starts] = False
            check_ascending(keys[:-1][inner[1:]], keys[1:][inner[1:]], tree)
            first, last = ends(keys, counts)
            continue
        children = np.arange(len(keys)) + np.repeat(np.arange(len(counts)), counts)  # the one before each key
        check_ascending(last[children], keys, tree)
        check_ascending(keys, first[children + 1], tree)
        outer = starts + np.arange(len(counts))
        first, last = first[outer], last[outer + counts]
