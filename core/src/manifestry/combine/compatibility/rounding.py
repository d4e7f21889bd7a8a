"""Whether values differ by rounding only, or are other values that lie near each other for their data type."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.model.attributes import Attributes
from manifestry.model.datatypes import is_float, is_inexact, is_integer, is_time

__all__ = ["Rounding", "differing"]

_ULPS: Final = 4
"""Units in the last place by which numbers may differ that are the same but for rounding."""

_RESOLVED: Final = 8
"""How many times as far as rounding goes neighbouring elements must lie apart."""

_CLOCK: Final = re.compile(r"\b(since|after|from|ref)\b|@|^day as ", re.IGNORECASE)
"""Units of times: "seconds since 1970-01-01", with the other words for "since" that UDUNITS-2 knows."""


def differing(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which elements are not the same; NaN is the same as NaN."""
    different = np.asarray(a != b)
    if is_inexact(a.dtype) or is_time(a.dtype):
        different &= ~((a != a) & (b != b))  # noqa: PLR0124 NaN and NaT are what do not equal themselves
    return different


class Rounding:
    """The values of one source, and how those of others, in their order, differ from them.

    Rounding goes both ways, or touches a minority of the elements. It is a few units in the last place, which is little
    compared with the steps between neighbouring elements, and it does not lead from one whole number to another.

    Parameters
    ----------
    values
        Of the source that others are compared with.
    attributes
        What they mean.
    """

    def __init__(self, values: NDArray[np.generic], attributes: Attributes) -> None:
        self._first: NDArray[Any] = values
        self._attributes = attributes
        self._last = self._first
        self._risen = np.zeros(values.shape, bool)
        self._fallen = np.zeros(values.shape, bool)
        self._moves = np.zeros(values.shape, np.int32)

    def excludes(self, other: NDArray[np.generic]) -> str:
        """Why the values of one more source, which differ, do so by more than rounding; nothing where they do not."""
        first = self._first
        if not is_float(first.dtype) or (first.dtype, first.shape) != (other.dtype, other.shape):
            return "only floating-point numbers are rounded"
        if _is_time(self._attributes):
            return "times are compared exactly"
        different = differing(first, other)
        a, b = first[different], other[different]
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return "some are missing or infinite in one source only"
        if ((a == np.rint(a)) & (b == np.rint(b))).any():
            return "whole numbers are compared exactly"
        distance = np.abs(_as_float64(a) - _as_float64(b))
        if (distance > _ULPS * _as_float64(np.spacing(np.maximum(np.abs(a), np.abs(b))))).any():
            return f"they differ by more than {_ULPS} units in the last place"
        if 0 < self._resolution < _RESOLVED * distance.max():
            return "they differ by as much as neighbouring elements do"
        up = int((b > a).sum())
        if 2 * a.size >= self._valid.sum() and 10 * min(up, a.size - up) < a.size:
            return "they are shifted in one direction"
        return self._drift(other)

    def _drift(self, other: NDArray[Any]) -> str:
        """Elements that go on in the same direction from source to source are counted up, not rounded."""
        rise, fall = other > self._last, other < self._last
        self._risen |= rise
        self._fallen |= fall
        self._moves += rise | fall
        self._last = other
        moved = self._moves >= 2
        one_way = moved & ~(self._risen & self._fallen)
        return "they go in one direction from source to source" if 2 * one_way.sum() > moved.sum() else ""

    @cached_property
    def _valid(self) -> NDArray[np.bool_]:
        """Which elements are not missing values."""
        valid = np.isfinite(self._first)
        for absent in (np.asarray(self._attributes.get(name)) for name in ("_FillValue", "missing_value")):
            valid &= ~np.isin(self._first, absent) if is_integer(absent.dtype) or is_float(absent.dtype) else True
        return np.asarray(valid)

    @cached_property
    def _resolution(self) -> float:
        """How far neighbouring elements lie apart, along the dimension where that is most; 0 where it is not known."""
        values = np.where(self._valid, _as_float64(self._first), np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            steps = [np.abs(np.diff(values, axis=i)) for i, length in enumerate(values.shape) if length > 1]
        return max((float(np.median(some)) for step in steps if (some := step[np.isfinite(step)]).size), default=0.0)


def _as_float64(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype("f8")


def _is_time(attributes: Attributes) -> bool:
    units, axis, name = (str(attributes.get(key)) for key in ("units", "axis", "standard_name"))
    known = axis == "T" or name in ("time", "forecast_reference_time")
    return known or "calendar" in attributes or _CLOCK.search(units) is not None
