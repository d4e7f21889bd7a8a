"""Arrays that do not have the combined dimension: the same in every source, or refused."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.values import read_values, stored_chunks
from manifestry.errors import IncompatibleArraysError
from manifestry.model.tree import VirtualArray
from manifestry.storage.registry import StoreRegistry

__all__ = ["Constant"]

_ROUNDING: Final = 4
"""Units in the last place by which numbers may differ that are the same but for rounding."""


class Constant:
    """One array that others are compared with by value.

    Parameters
    ----------
    array
        The array that is kept.
    stores
        Where its bytes and those of the others are.
    limit
        Bytes of one array that may be read for comparing.
    """

    def __init__(self, array: VirtualArray, stores: StoreRegistry, limit: int) -> None:
        self.array = array
        self._stores = stores
        self._limit = limit

    @cached_property
    def _chunks(self) -> list[bytes | None]:
        return stored_chunks(self.array, self._stores)

    @cached_property
    def _values(self) -> NDArray[np.generic]:
        return read_values(self.array, self._stores)

    def equals(self, other: VirtualArray, *, same_decoding: bool) -> bool:
        """Whether every element of `other` is the same; NaN equals NaN.

        Stored bytes are compared first: equal bytes that decode alike need no decoding.

        Raises
        ------
        IncompatibleArraysError
            It is too large to be read.
        """
        mine, theirs = self.array.manifest, other.manifest
        if same_decoding and mine == theirs:
            return True
        if other.metadata.nbytes > self._limit:
            raise IncompatibleArraysError(
                f"comparing its values reads {other.metadata.nbytes} bytes of every source; the limit is "
                f"inline_limit={self._limit}"
            )
        if (
            same_decoding
            and mine.grid_shape == theirs.grid_shape
            and self._chunks == stored_chunks(other, self._stores)
        ):
            return True
        return _same(self._values, read_values(other, self._stores))

    def close_to(self, other: VirtualArray) -> bool:
        """Whether every element differs by rounding at most: by some units in the last place of its data type."""
        mine, theirs = self._values, read_values(other, self._stores)
        if mine.dtype.kind != "f" or (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
            return False
        different = _differ(mine, theirs)
        a, b = mine[different], theirs[different]
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return False
        unit = np.spacing(np.maximum(np.abs(a), np.abs(b)))
        return bool((np.abs(a.astype("f8") - b.astype("f8")) <= _ROUNDING * unit.astype("f8")).all())

    def first_difference(self, other: VirtualArray) -> str:
        """Where the values differ, for a message."""
        mine, theirs = self._values, read_values(other, self._stores)
        at = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(_differ(mine, theirs))))
        shown = at if mine.ndim else ()
        return f"element {list(shown)} is {theirs[shown]!s} instead of {mine[shown]!s}"


def _differ(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.bool_]:
    different = np.asarray(a != b)
    if a.dtype.kind in "fcmM":
        different &= ~((a != a) & (b != b))  # noqa: PLR0124 NaN and NaT are what do not equal themselves
    return different


def _same(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and not bool(_differ(a, b).any())
