"""Values that are stored and those of a tree: whether they are the same, and whether the order of both is one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

import icechunk
import numpy as np
import zarr
from manifestry.combine.index import check_order, unread_order
from manifestry.errors import IncompatibleArraysError, ManifestryError, SourceError
from manifestry.issues import Issue
from manifestry.model.datatypes import is_variable_length
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry
from manifestry.views import open_store

__all__ = ["order_issues", "read_region", "same_values"]

_BLOCK_BYTES: Final = 64 << 20


def same_values(store: icechunk.IcechunkStore, path: str, array: VirtualArray, stores: StoreRegistry) -> bool:
    """Whether the stored array at a path has the values of `array`; both have one shape.

    Raises
    ------
    IncompatibleArraysError
        One of them cannot be read.
    """
    try:
        there: Any = zarr.open_array(store, path=path, mode="r", zarr_format=3)
        here = _open(array, stores)
        return all(_equal(np.asarray(there[part]), np.asarray(here[part])) for part in _blocks(array))
    except (ManifestryError, icechunk.IcechunkError, OSError, ValueError, RuntimeError) as error:
        raise IncompatibleArraysError(
            f"{path}: has none of the dimensions that change, and its values cannot be compared with those stored "
            f"({str(error).partition(chr(10))[0]})"
        ) from error


def read_region(array: VirtualArray, stores: StoreRegistry) -> Any:
    """All elements of an array of a tree.

    Raises
    ------
    SourceError
        The sources cannot be read.
    """
    return np.asarray(_open(array, stores)[...])


def order_issues(
    store: icechunk.IcechunkStore, path: str, array: VirtualArray, stores: StoreRegistry, names: tuple[str, str]
) -> list[Issue]:
    """What is unusual about the order of a coordinate that continues the one that is stored at a path.

    Parameters
    ----------
    names
        Of the output and of what is appended.
    """
    try:
        there = np.asarray(zarr.open_array(store, path=path, mode="r", zarr_format=3)[...])
        here = read_region(array, stores)
    except (ManifestryError, icechunk.IcechunkError, OSError, ValueError, RuntimeError) as error:
        return [unread_order(path, SourceError(str(error).partition("\n")[0]))]
    lengths = [there.size, here.size]
    return check_order(path, np.concatenate([there, here]), lengths, lambda at: names[min(at, 1)], known=there.size)


def _open(array: VirtualArray, stores: StoreRegistry) -> Any:
    tree = VirtualGroup({"array": VirtualArray(array.metadata.with_(attributes={}), array.manifest)})
    return zarr.open_array(open_store(tree, stores=stores), path="array", mode="r", zarr_format=3)


def _blocks(array: VirtualArray) -> Iterator[tuple[slice, ...]]:
    """Regions of bounded size that cover an array, cut along its first dimension and then the next."""
    budget = max(1, _BLOCK_BYTES // max(1, array.dtype.itemsize))
    steps = []
    for axis, size in enumerate(array.shape):
        inner = math.prod(array.shape[axis + 1 :])
        steps.append(max(1, min(size, budget // max(1, inner))))
    ranges = (range(0, size, step) for size, step in zip(array.shape, steps, strict=True))
    for starts in itertools.product(*ranges):
        yield tuple(slice(start, start + step) for start, step in zip(starts, steps, strict=True))


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if is_variable_length(a.dtype):
        return bool(a.tolist() == b.tolist())
    return a.tobytes() == b.tobytes()
