"""Arrays that do not have the combined dimension: the same in every source, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.decoded import Decoded
from manifestry.combine.compatibility.rounding import Rounding, differing
from manifestry.combine.compatibility.times import is_time
from manifestry.combine.values import fetch_ahead, read_values, stored_chunks
from manifestry.errors import IncompatibleArraysError, translated
from manifestry.model.attributes import Attributes
from manifestry.model.tree import VirtualArray
from manifestry.storage.registry import StoreRegistry

__all__ = ["OTHER_ENCODING", "FixedArray", "is_same_array"]

OTHER_ENCODING: Final = "encoded differently in some sources"
"""What issues of arrays are called that hold the same numbers in another encoding."""


class FixedArray:
    """One array that others are compared with by value.

    Parameters
    ----------
    array
        The array that is kept.
    stores
        Where its bytes and those of the others are.
    limit
        Bytes of one array that may be read for comparing.
    inherited
        Attributes that it has from the variable it describes the bounds of.
    """

    def __init__(
        self, array: VirtualArray, stores: StoreRegistry, limit: int, inherited: Attributes | None = None
    ) -> None:
        self.array = array
        self.meaning = {**(inherited or {}), **array.attributes}
        self._stores = stores
        self._limit = limit

    @cached_property
    def _chunks(self) -> list[bytes | None]:
        return stored_chunks(self.array, self._stores)

    @cached_property
    def _values(self) -> NDArray[np.generic]:
        return read_values(self.array, self._stores)

    def equals(self, other: VirtualArray, *, same_decoding: bool, meaning: Attributes | None = None) -> bool:
        """Whether every element of `other` is the same; NaN equals NaN.

        Stored bytes are compared first: equal bytes that decode alike need no decoding.

        Parameters
        ----------
        meaning
            The attributes of `other`, inherited ones included, where it is encoded differently: then numbers are compared
            as they are decoded.

        Raises
        ------
        IncompatibleArraysError
            It is too large to be read.
        """
        own, others = self.array.manifest, other.manifest
        if same_decoding and own == others:
            return True
        size = max(other.metadata.nbytes, self.array.metadata.nbytes)
        if size > self._limit:
            raise IncompatibleArraysError(
                f"comparing its values reads {size} bytes of every source; the limit is inline_limit={self._limit}, and "
                f"inline_limit={size} goes on"
            )
        if same_decoding and own.grid_shape == others.grid_shape and self._chunks == stored_chunks(other, self._stores):
            return True
        if meaning is None:
            return _same(self._values, read_values(other, self._stores))
        if self.array.shape != other.shape:
            return False
        one, two = self._decoded(other, meaning)
        return not bool(one.differing(two).any())

    def _decoded(self, other: VirtualArray, meaning: Attributes) -> tuple[Decoded, Decoded]:
        with translated(ValueError, IncompatibleArraysError):
            return Decoded.pair((self._values, self.meaning), (read_values(other, self._stores), meaning))

    @cached_property
    def _rounding(self) -> Rounding:
        return Rounding(self._values, self.meaning)

    def near(self, others: Sequence[VirtualArray]) -> Iterator[VirtualArray]:
        """Arrays that are compared with it, fetched if they are remote (see `fetch_ahead`)."""
        return fetch_ahead(others, self._stores, self._limit)

    def more_than_rounding(self, other: VirtualArray, meaning: Attributes | None = None) -> str:
        """Why an array that is not the same differs by more than rounding; nothing where it does not.

        It is asked once for each source, in their order (see `Rounding`); `meaning` is as for `equals`.
        """
        if meaning is None:
            return self._rounding.excludes(read_values(other, self._stores))
        one, two = self._decoded(other, meaning)
        return "" if one.rounds_to(two) and not is_time(meaning) else "it is encoded differently"

    def first_difference(self, other: VirtualArray, meaning: Attributes | None = None) -> str:
        """Where the values differ, for a message; `meaning` is as for `equals`."""
        own, others = self._values, read_values(other, self._stores)
        if meaning is None:
            different = differing(own, others)
        else:
            one, two = self._decoded(other, meaning)
            different = one.differing(two)
        at = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(different)))
        shown = at if own.ndim else ()
        return f"element {list(shown)} is {others[shown]!s} instead of {own[shown]!s}"


def is_same_array(first: VirtualArray, other: VirtualArray) -> bool:
    """Whether two arrays are the same bytes, so that nothing has to be read."""
    return other is first or (other.metadata == first.metadata and other.manifest == first.manifest)


def _same(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and not bool(differing(a, b).any())
