"""Ranges that every source states of itself, as those of the whole: ``valid_min``, ``valid_max``, ``valid_range``, ``actual_range``.

A valid range of the whole holds the valid ranges of all sources; where one has no limit, the whole has none. The actual range
is known where it is known of all sources. Source: the netCDF users' guide, "Attribute Conventions", and CF conventions 1.11, 2.5.1:
of packed data a range is in stored numbers where it is given in whole numbers, else in unpacked ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.issues import Issue
from manifestry.model.attributes import PACKING, Attributes, values_equal
from manifestry.model.datatypes import is_float, is_integer
from manifestry.zarr_documents.masking import read_as

__all__ = ["ACTUAL", "RANGES", "range_issues", "same_numbers", "united_ranges", "with_ranges"]

ACTUAL: Final = "actual_range"
"""The smallest and the largest value of one source, in its unit."""

VALID: Final = ("valid_min", "valid_max", "valid_range")
"""What values of one source may be."""

RANGES: Final = frozenset({*VALID, ACTUAL})

_PACKED: Final = frozenset(PACKING)

type Part = tuple[Attributes, np.dtype[Any]]
type _Limits = tuple[Any, Any]
"""The lower and the upper limit; None where there is none."""


def united_ranges(parts: Sequence[Part]) -> dict[str, Any]:
    """The range attributes that change where sources state them differently: new values, None for those that go.

    Where ranges are not numbers of one kind, they stay as they are: such arrays differ.

    Parameters
    ----------
    parts
        Attributes and data type of an array in every source; its numbers are in one unit, packed alike.
    """
    if all(RANGES.isdisjoint(attributes) for attributes, _ in parts):
        return {}
    return _united_valid(parts) | _united_actual(parts)


def same_numbers(name: str, a: Attributes, b: Attributes) -> bool:
    """Whether an attribute with equal values counts the same in both: whole numbers and fractions of packed data do not."""
    return name not in VALID or _PACKED.isdisjoint(a) or _kind(a[name]) == _kind(b[name])


def with_ranges(attributes: Attributes, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with what `united_ranges` changes; the order is kept."""
    changed = {name: changes.get(name, value) for name, value in attributes.items()}
    changed |= {name: value for name, value in changes.items() if name not in changed}
    return {name: value for name, value in changed.items() if name not in changes or value is not None}


def range_issues(path: str, changes: Mapping[str, Any]) -> list[Issue]:
    """What is said of the changes of an array."""
    found = []
    for name in sorted(changes):
        gone = changes[name] is None
        message = "it is not stated of all sources" if gone else "sources state their own; it holds those of all"
        feature = "attribute left out" if gone else "ranges united"
        found.append(Issue(path=f"{path}@{name}", feature=feature, message=message, severity="reported"))
    return found


def _same(name: str, parts: Sequence[Part]) -> bool:
    """Whether an attribute is the same everywhere, and of one kind: of packed data, 5 and 5.0 are not one value."""
    first, _ = parts[0]
    return all(
        (name in attributes) == (name in first)
        and (
            name not in first
            or attributes[name] is first[name]
            or (_kind(attributes[name]) == _kind(first[name]) and _equal(attributes[name], first[name]))
        )
        for attributes, _ in parts[1:]
    )


def _equal(a: Any, b: Any) -> bool:
    return values_equal(a, b) or bool(np.array_equal(np.asarray(a).reshape(-1), np.asarray(b).reshape(-1)))


def _kind(value: Any) -> str:
    dtype = np.asarray(value).dtype
    return "integer" if is_integer(dtype) else "float" if is_float(dtype) else "other"


def _united_valid(parts: Sequence[Part]) -> dict[str, Any]:
    if all(_same(name, parts) for name in VALID):
        return {}
    limits = [_limits(attributes) for attributes, _ in parts]
    given = [one for both in limits if both is not None for one in both if one is not None]
    if any(both is None for both in limits) or len({_kind(one) for one in given}) > 1:
        return {}
    order = _order(parts)
    low = _outermost([both[0] for both in limits if both is not None], min, order)
    high = _outermost([both[1] for both in limits if both is not None], max, order)
    dtype = np.result_type(*(np.asarray(one) for one in given))
    ends = {
        name: None if one is None else np.asarray(one).astype(dtype)[()]
        for name, one in (("valid_min", low), ("valid_max", high))
    }
    first = next(attributes for attributes, _ in parts if not attributes.keys().isdisjoint(VALID))
    if "valid_range" in first and None not in ends.values():
        ends = {"valid_range": np.array(list(ends.values()), dtype)}
    stated = {name for attributes, _ in parts for name in VALID if name in attributes}
    names = stated | {name for name, one in ends.items() if one is not None}
    return {name: ends.get(name) for name in VALID if name in names and not _same(name, parts)}


def _united_actual(parts: Sequence[Part]) -> dict[str, Any]:
    if _same(ACTUAL, parts):
        return {}
    rows = [_numbers(attributes.get(ACTUAL, ())) for attributes, _ in parts]
    known = [row for row in rows if row is not None and row.size == 2]
    if len(known) < len(parts) or len({_kind(row) for row in known}) > 1:
        return {ACTUAL: None}
    order = _order(parts)
    ends = [min((row[0] for row in known), key=order), max((row[1] for row in known), key=order)]
    return {ACTUAL: np.array(ends, np.result_type(*known))}


def _limits(attributes: Attributes) -> _Limits | None:
    """The limits that attributes state, None where they are not understood."""
    both = _numbers(attributes.get("valid_range", ()))
    ends = [_numbers(attributes.get(name, ())) for name in ("valid_min", "valid_max")]
    if both is None or both.size not in (0, 2) or any(one is None or one.size > 1 for one in ends):
        return None
    low, high = (None if one is None or not one.size else one[0] for one in ends)
    if not both.size:
        return low, high
    return None if low is not None or high is not None else (both[0], both[1])


def _numbers(value: Any) -> NDArray[Any] | None:
    """Numbers in a row; None where one is none."""
    row = np.asarray(value).reshape(-1)
    if not row.size:
        return row
    return row if is_integer(row.dtype) or (is_float(row.dtype) and not np.isnan(row).any()) else None


def _order(parts: Sequence[Part]) -> Callable[[Any], Any]:
    """By what stored limits are compared: with ``_Unsigned``, by the numbers of the other sign that readers take."""
    attributes, dtype = parts[0]
    other = read_as(dtype, attributes)
    if other is None:
        return lambda one: one
    lowest, count = int(np.iinfo(other).min), 256**dtype.itemsize
    return lambda one: (int(one) - lowest) % count + lowest if is_integer(np.asarray(one).dtype) else one


def _outermost(ends: Sequence[Any], choose: Callable[..., Any], order: Callable[[Any], Any]) -> Any:
    return None if any(one is None for one in ends) else choose(ends, key=order)
