"""Whether values that are encoded differently are the same numbers: another type, packing, marks or time units.

Source: CF conventions 2.5.1 and 8.1; times are compared to the nanosecond (see `times`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.differences import Aspect, Difference
from manifestry.combine.compatibility.times import (
    NOT_COUNTED,
    Times,
    TimeUnit,
    is_time,
    missing_elements,
    mixes_calendars,
    same_units,
)
from manifestry.model.attributes import PACKING, Attributes
from manifestry.model.datatypes import is_float, is_integer
from manifestry.zarr_documents.masking import read_as

__all__ = ["Decoded", "is_encoding"]

_ENCODING: Final = frozenset({"_FillValue", "missing_value", "_Unsigned", *PACKING})
_TIME: Final = frozenset({"units", "calendar"})
_EXACT: Final = 2.0**53
"""Whole numbers below this are numbers of type float64."""


def is_encoding(found: Sequence[Difference], one: Attributes, other: Attributes) -> bool:
    """Whether arrays differ in nothing but how their numbers are encoded, so that their values can be compared."""
    names = _ENCODING | _TIME if is_time(one) and is_time(other) else _ENCODING
    return all(d.only_storage or d.aspect is Aspect.DATA_TYPE or d.attribute in names for d in found)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Numbers as the CF conventions decode them.

    Attributes
    ----------
    values
        Of missing elements 0.
    missing
        Which elements are missing.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]

    @classmethod
    def of(cls, stored: NDArray[Any], attributes: Attributes, epoch: int | None = None) -> Self:
        """What stored numbers are.

        Parameters
        ----------
        epoch
            They are times, and become nanoseconds from this one.

        Raises
        ------
        ValueError
            They are no numbers, or times without a unit of fixed length.
        """
        if not is_integer(stored.dtype) and not is_float(stored.dtype):
            raise ValueError(f"values of type {stored.dtype} are no numbers")
        packed = not attributes.keys().isdisjoint(PACKING)
        if epoch is not None:
            times = Times.of(stored, attributes, epoch)
            return cls(times.ticks, times.missing)
        numbers = _signed(stored, attributes)
        missing = missing_elements(stored, attributes) | missing_elements(numbers, attributes)  # marks have either sign
        if packed:
            numbers = numbers * np.float64(attributes.get("scale_factor", 1)) + np.float64(
                attributes.get("add_offset", 0)
            )
        return cls(np.where(missing, numbers.dtype.type(0), numbers), missing)

    @classmethod
    def pair(cls, one: tuple[NDArray[Any], Attributes], other: tuple[NDArray[Any], Attributes]) -> tuple[Self, Self]:
        """Both of two arrays.

        Raises
        ------
        ValueError
            See `of`; or their calendars differ.
        """
        if not (is_time(one[1]) and is_time(other[1])):
            return cls.of(*one), cls.of(*other)
        uncounted = next((name for name in NOT_COUNTED if name in one[1] or name in other[1]), None)
        if uncounted is not None and same_units(one[1], other[1]):
            return cls.of(*one), cls.of(*other)
        if uncounted is not None:
            raise ValueError(f"times with {uncounted} are not compared with those of another unit")
        units = [TimeUnit.of(one[1]), TimeUnit.of(other[1])]
        if mixes_calendars(units):
            raise ValueError("times of the calendars standard and proleptic_gregorian are not compared")
        return cls.of(*one, units[0].epoch), cls.of(*other, units[0].epoch)

    def differing(self, other: Self) -> NDArray[np.bool_]:
        """Which elements are not the same number, or missing in one only."""
        a, b = self.values, other.values
        different = np.asarray(a != b)
        if is_float(a.dtype) != is_float(b.dtype):
            floats = a if is_float(a.dtype) else b
            different = different | (np.abs(floats) > _EXACT)
        return np.asarray(different & ~(self.missing & other.missing) | (self.missing != other.missing))

    def rounds_to(self, other: Self) -> bool:
        """Whether the same numbers are given in single and in double precision: rounded, they are equal."""
        a, b = self.values, other.values
        if not (is_float(a.dtype) and is_float(b.dtype)) or a.dtype == b.dtype or a.shape != b.shape:
            return False
        narrow = min(a.dtype, b.dtype, key=lambda dtype: dtype.itemsize)
        with np.errstate(over="ignore"):
            same = a.astype(narrow) == b.astype(narrow)
        return bool(same.all() and (self.missing == other.missing).all())


def _signed(stored: NDArray[Any], attributes: Attributes) -> NDArray[Any]:
    """Integers with the sign that ``_Unsigned`` gives them."""
    other = read_as(stored.dtype, attributes)
    return stored if other is None else stored.view(other)
