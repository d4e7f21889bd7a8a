"""A small array that decodes differently, read and encoded as the first array is: exactly, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.differences import Aspect, Difference
from manifestry.combine.values import encode_values, read_values
from manifestry.errors import IncompatibleArraysError, translated
from manifestry.model.attributes import Attributes, values_equal
from manifestry.model.tree import VirtualArray
from manifestry.storage.registry import StoreRegistry

__all__ = ["harmonise", "harmonise_values"]

_MISSING: Final = frozenset({"_FillValue"})


def harmonise(
    first: VirtualArray,
    other: VirtualArray,
    found: Sequence[Difference],
    meaning: tuple[Attributes, Attributes],
    *,
    stores: StoreRegistry,
    limit: int,
) -> VirtualArray:
    """`other` with its values copied and encoded as those of `first`.

    Parameters
    ----------
    found
        In what they differ.
    meaning
        The attributes of both, inherited ones included.
    limit
        Bytes that may be copied.

    Raises
    ------
    IncompatibleArraysError
        The values cannot be given exactly in the form of `first`, or are too many.
    """
    if other.metadata.nbytes > limit:
        raise IncompatibleArraysError(f"{other.metadata.nbytes} bytes would be copied; the limit is {limit}")
    values = harmonise_values(read_values(other, stores), first.dtype, found, meaning)
    metadata = first.metadata.with_(attributes={**other.attributes, **first.attributes})
    return encode_values(values, metadata)


def harmonise_values(
    values: NDArray[Any], dtype: np.dtype[Any], found: Sequence[Difference], meaning: tuple[Attributes, Attributes]
) -> NDArray[Any]:
    """Stored numbers as the first array would store them; see `harmonise`.

    Raises
    ------
    IncompatibleArraysError
        A value has no exact form there.
    """
    names = {difference.attribute for difference in found}
    beyond = sorted(difference.subject for difference in found if not _can_harmonise(difference))
    want, have = meaning
    if beyond:
        raise IncompatibleArraysError(f"{beyond[0]} differs, and values cannot be given exactly in the other form")
    with translated((ValueError, OverflowError), IncompatibleArraysError):
        if values.dtype != dtype and "_Unsigned" in want:
            raise ValueError("with _Unsigned, stored numbers of another type are other numbers")
        if names & _MISSING:
            values = _mark_missing(values, have, want)
        return _cast(values, dtype)


def _can_harmonise(difference: Difference) -> bool:
    known = difference.attribute in _MISSING
    return difference.only_storage or difference.aspect is Aspect.DATA_TYPE or known


def _mark_missing(values: NDArray[Any], have: Attributes, want: Attributes) -> NDArray[Any]:
    """Missing values marked as the first array marks them; no other value may look like that mark."""
    old, new = have.get("_FillValue"), want.get("_FillValue")
    gone = np.zeros(values.shape, bool) if old is None else _equals(values, old)
    if new is not None and bool((_equals(values, new) & ~gone).any()):
        raise ValueError(f"the value {new!r} means missing in the first source and a value in this one")
    if not gone.any():
        return values
    if new is None:
        raise ValueError("missing values have no mark in the first source")
    result = values.copy()
    result[gone] = new
    return result


def _equals(values: NDArray[Any], mark: Any) -> NDArray[np.bool_]:
    scalar = np.asarray(mark).reshape(-1)[0]
    return np.isnan(values) if scalar != scalar else np.asarray(values == scalar)  # noqa: PLR0124 NaN


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if values.dtype == dtype:
        return values
    with np.errstate(all="ignore"):
        cast = values.astype(dtype)
        back = cast.astype(values.dtype)
    if not (values_equal(back, values) or np.array_equal(back, values)):
        raise ValueError(f"values of type {values.dtype} are not exact as {dtype}")
    return cast
