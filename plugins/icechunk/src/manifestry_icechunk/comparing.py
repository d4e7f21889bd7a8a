"""Whether a stored array and one of a tree have the same values, chunk by chunk and bit by bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

import icechunk
import numpy as np
import zarr
from manifestry.errors import IncompatibleArraysError, ManifestryError
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry

__all__ = ["read_region", "same_values"]

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


def _open(array: VirtualArray, stores: StoreRegistry) -> Any:
    tree = VirtualGroup({"array": array})
    return zarr.open_array(tree.store(stores=stores), path="array", mode="r", zarr_format=3)


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
    if a.dtype.kind in "TO":
        return bool(a.tolist() == b.tolist())
    return a.tobytes() == b.tobytes()
