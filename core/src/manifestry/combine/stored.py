"""What an output holds already, and whether a tree continues it: for writers that append and fill regions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray

from manifestry.combine.compatibility.common_times import renewed_times
from manifestry.combine.compatibility.times import is_time
from manifestry.combine.index import check_order, unread_order
from manifestry.combine.placement import Destination, Same, place_tree
from manifestry.combine.values import read_values
from manifestry.errors import IncompatibleArraysError, ManifestryError, SourceError, first_line
from manifestry.formats.plugin_errors import PluginCall
from manifestry.formats.targets import Placement
from manifestry.issues import Issue
from manifestry.model.datatypes import is_variable_length
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry

__all__ = ["StoredGroup"]

_BLOCK_BYTES: Final = 64 << 20


class StoredGroup:
    """A group of an output, as readers see it.

    Parameters
    ----------
    store
        A zarr store (`zarr.abc.store.Store`) of the output.
    path
        Path of the group in it.
    documents
        The ``zarr.json`` of everything at and below the group, by the path below it.
    stores
        For reading the arrays of trees.
    """

    def __init__(
        self, store: Any, path: str, documents: Mapping[str, Mapping[str, Any]], stores: StoreRegistry
    ) -> None:
        self._store = store
        self._path = path
        self._documents = documents
        self._stores = stores

    def place(
        self,
        tree: VirtualGroup,
        at: Placement,
        rewrite_below: int,
        *,
        same: Same | None = None,
        renews: bool = False,
    ) -> dict[str, Destination]:
        """Where the arrays of a tree go that change something, by path.

        Parameters
        ----------
        rewrite_below
            Arrays of fewer bytes may be stored anew by their values, where their chunks do not continue those stored.
        same
            Asked for arrays without a dimension that changes, in place of `same_values`.
        renews
            The writer heeds `Destination.renewed`: stored times may get another unit or type.

        Raises
        ------
        IncompatibleArraysError
            The tree does not go there; the message names the array and the reason.
        """
        read = self._read if renews else None
        return place_tree(
            tree,
            at,
            self._documents,
            same=same or self.same_values,
            read=read,
            rewrite_below=rewrite_below,
            stores=self._stores if renews else None,
        )

    def same_values(self, path: str, array: VirtualArray) -> bool:
        """Whether the stored array at a path has the values of `array`; both have one shape.

        Raises
        ------
        IncompatibleArraysError
            One of them cannot be read.
        """
        try:
            with PluginCall(f"reading {path}", SourceError):
                stored = self._stored(path)
                parts = ((np.asarray(stored[part]), self._part(array, part)) for part in _blocks(array))
                return all(_equal(one, other) for one, other in parts)
        except ManifestryError as error:
            raise IncompatibleArraysError(
                f"{path}: has none of the dimensions that change, and its values cannot be compared with those stored "
                f"({first_line(error)})"
            ) from error

    @staticmethod
    def values(array: VirtualArray, stores: StoreRegistry) -> Any:
        """All elements of an array of a tree, as they are stored.

        Raises
        ------
        MalformedFileError, SourceError
            They cannot be read.
        """
        return read_values(array, stores)

    def order_issues(self, tree: VirtualGroup, dim: str, names: tuple[str, str]) -> Iterator[Issue]:
        """What is unusual about the order of the coordinate of a dimension that grows.

        Parameters
        ----------
        names
            Of the output and of what is appended, for messages.
        """
        for path, array in tree.walk_arrays():
            if path.rpartition("/")[2] == dim and array.dims == (dim,) and array.shape[0]:
                yield from self._order_issues(path, array, names)

    def _order_issues(self, path: str, array: VirtualArray, names: tuple[str, str]) -> list[Issue]:
        where = self._below(path)
        try:
            with PluginCall(f"reading {where}", SourceError):
                stored, new = np.asarray(self._stored(path)[...]), self.values(array, self._stores)
        except ManifestryError as error:
            return [unread_order(where, SourceError(first_line(error)))]
        have = self._documents[path].get("attributes", {})
        if is_time(have) and is_time(array.attributes):
            with suppress(ValueError):  # in other words: places of the tree that are refused anyway
                stored = renewed_times(stored, have, array.attributes, np.dtype("f8"))
        lengths = [stored.size, new.size]
        both = np.concatenate([stored, new])
        return check_order(where, both, lengths, lambda at: names[min(at, 1)], known=stored.size)

    def _read(self, path: str | None, array: VirtualArray) -> NDArray[Any]:
        if path is None:
            return read_values(array, self._stores)
        try:
            with PluginCall(f"reading {path}", SourceError):
                return np.asarray(self._stored(path)[...])
        except ManifestryError as error:
            raise IncompatibleArraysError(
                f"{path}: its times are to be given in another unit or type, and cannot be read ({first_line(error)})"
            ) from error

    def _below(self, path: str) -> str:
        return f"{self._path}/{path}".strip("/")

    def _stored(self, path: str) -> Any:
        return zarr.open_array(self._store, path=self._below(path), mode="r", zarr_format=3)

    def _part(self, array: VirtualArray, region: tuple[slice, ...]) -> Any:
        return read_values(array, self._stores, region if array.metadata.ndim else None)


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
