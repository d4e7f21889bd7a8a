"""Times of several sources in one unit and data type that hold all of them, exactly.

The unit and the epoch of the first source are kept where all times have numbers there. Otherwise the epoch is kept, and the
unit becomes the longest shorter one (hours, minutes, …) of which all times are whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.times import (
    FINER,
    NOT_COUNTED,
    Times,
    TimeUnit,
    missing_elements,
    mixes_calendars,
    reform_of,
)
from manifestry.errors import ManifestError
from manifestry.model.attributes import Attributes
from manifestry.model.datatypes import as_element, is_float, is_integer

__all__ = ["CommonTimes", "TimeSeries", "common_times", "renewed_times"]

_MARKS: Final = ("_FillValue", "missing_value")
_CFTIME_RESOLUTION: Final = 1_000  # nanoseconds: what dates of other calendars than the standard one are decoded to
_CLOCK: Final = frozenset({"standard", "proleptic_gregorian"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeries:
    """The times of one array in every source.

    Attributes
    ----------
    dtype, attributes
        Of the first source; inherited attributes included.
    parts
        Stored numbers of each source, and its attributes.
    labels
        Names of the sources.
    """

    dtype: np.dtype[Any]
    attributes: Attributes
    parts: Sequence[tuple[NDArray[Any], Attributes]]
    labels: Callable[[int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonTimes:
    """The times of one array in the form that all sources have in common.

    Attributes
    ----------
    dtype
        Their data type.
    attributes
        Of the first source, with the units and the marks of missing times of this form.
    parts
        Stored numbers of each source.
    """

    dtype: np.dtype[Any]
    attributes: Attributes
    parts: tuple[NDArray[Any], ...]

    def __str__(self) -> str:
        return f"{self.attributes['units']!r} ({self.dtype})"


def common_times(several: Sequence[TimeSeries]) -> list[CommonTimes]:
    """Arrays whose times count the same unit (a coordinate and its bounds), each in a type that holds its times.

    Raises
    ------
    ValueError
        No unit and type hold all times exactly, or the calendars differ; the message has the time that none holds.
    """
    first = TimeUnit.of(several[0].attributes)
    units = [TimeUnit.of(attributes) for one in several for _, attributes in one.parts]
    mixed = mixes_calendars([first, *units])
    times = [[Times.of(*part, first.epoch) for part in one.parts] for one in several]
    for one, found in zip(several, times, strict=True):
        _check_plain(one)
        if mixed:
            _check_reformed(one, found, first)
    for step in _steps(several, first):
        unit = TimeUnit(step, first.epoch, first.calendar)
        forms = [_in_unit(one, found, unit) for one, found in zip(several, times, strict=True)]
        if all(form is not None for form in forms):
            return [form for form in forms if form is not None]
    raise _no_form_error(several, times, first)


def renewed_times(numbers: NDArray[Any], have: Attributes, want: Attributes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Stored numbers of one time coordinate as those of another one.

    Raises
    ------
    ValueError
        One of them has no exact number there.
    """
    unit = TimeUnit.of(want)
    mixed = mixes_calendars([unit, TimeUnit.of(have)])
    times = Times.of(numbers, have, unit.epoch)
    series = TimeSeries(dtype=dtype, attributes=want, parts=[(numbers, have)], labels=lambda _: "it")
    _check_plain(series)
    if mixed:
        _check_reformed(series, [times], unit)
    found = times.as_numbers(unit, dtype, _mark(want, dtype))
    if found is None or not _says_what_is_missing(found, want, times):
        raise _no_form_error([series], [[times]], unit)
    return found


def _check_plain(series: TimeSeries) -> None:
    for at, (numbers, attributes) in enumerate(series.parts):
        if not is_integer(numbers.dtype) and not is_float(numbers.dtype):
            raise ValueError(f"times of type {numbers.dtype} in {series.labels(at)} are no numbers")
        packed = next((name for name in NOT_COUNTED if name in attributes), None)
        if packed is not None:
            raise ValueError(f"times with {packed} in {series.labels(at)} are not given in another unit")


def _check_reformed(series: TimeSeries, times: Sequence[Times], first: TimeUnit) -> None:
    earliest = reform_of("standard") - first.epoch
    for at, found in enumerate(times):
        if bool(((found.ticks < earliest) & ~found.missing).any()):
            raise ValueError(
                "a time before the Gregorian reform is not the same in the calendars standard and proleptic_gregorian "
                f"({series.labels(at)})"
            )


def _steps(several: Sequence[TimeSeries], first: TimeUnit) -> Iterator[int]:
    """Lengths of the units that are tried, the first source's first."""
    fractions = any(is_float(numbers.dtype) for one in several for numbers, _ in one.parts)
    least = _CFTIME_RESOLUTION if fractions or first.calendar not in _CLOCK else 1
    yield first.step
    yield from (step for step in FINER if least <= step < first.step)


def _in_unit(series: TimeSeries, times: Sequence[Times], unit: TimeUnit) -> CommonTimes | None:
    """The times of an array in a unit, in the first of some data types that holds them."""
    first = TimeUnit.of(series.attributes)
    types = [series.dtype]
    if unit.step == first.step and any(is_float(numbers.dtype) for numbers, _ in series.parts):
        types.append(np.dtype("f8"))
    for dtype in dict.fromkeys((*types, np.dtype("i8"))):
        mark, attributes = _mark(series.attributes, dtype), _attributes_in(series.attributes, unit, dtype)
        parts = []
        for one in times:
            numbers = one.as_numbers(unit, dtype, mark)
            if numbers is None or not _says_what_is_missing(numbers, attributes, one):
                break
            parts.append(numbers)
        else:
            return CommonTimes(dtype=dtype, attributes=attributes, parts=tuple(parts))
    return None


def _says_what_is_missing(numbers: NDArray[Any], attributes: Attributes, times: Times) -> bool:
    """Whether the numbers of missing times, and no others, are marked: there may be several marks."""
    return bool((missing_elements(numbers, attributes) == times.missing).all())


def _mark(attributes: Attributes, dtype: np.dtype[Any]) -> Any:
    """What marks missing times; None where nothing does in this data type."""
    for name in _MARKS:
        if name in attributes:
            try:
                return as_element(dtype, np.asarray(attributes[name]).reshape(-1)[0])
            except (IndexError, ManifestError):
                continue
    return None


def _attributes_in(attributes: Attributes, unit: TimeUnit, dtype: np.dtype[Any]) -> Attributes:
    """The attributes of the first source for numbers of another unit or type."""
    first = TimeUnit.of(attributes)
    changed: dict[str, Any] = dict(attributes)
    if unit.step != first.step:
        since = str(attributes["units"]).lower().partition("since")[0]
        changed["units"] = FINER[unit.step] + " " + str(attributes["units"])[len(since) :]
    for name in _MARKS:
        if name in changed and np.asarray(changed[name]).dtype != dtype:
            mark = _mark({name: changed[name]}, dtype)
            if mark is None:
                del changed[name]
            else:
                changed[name] = mark
    return changed


def _no_form_error(several: Sequence[TimeSeries], times: Sequence[Sequence[Times]], first: TimeUnit) -> ValueError:
    """The refusal, with the first time that goes into no unit together with the others."""
    for one, found in zip(several, times, strict=True):
        for at, part in enumerate(found):
            if _in_some_unit(part, first):
                continue
            numbers = part.numbers.reshape(-1)
            alone = (
                value
                for value in numbers
                if not _in_some_unit(Times.of(value.reshape(1), one.parts[at][1], first.epoch), first)
            )
            shown = next(alone, numbers[0])
            return ValueError(
                f"the time {shown} ({one.parts[at][1].get('units')}) in {one.labels(at)} has no exact number in a unit and "
                "type that hold all"
            )
    return ValueError("no unit and type hold the times of all sources exactly")


def _in_some_unit(times: Times, first: TimeUnit) -> bool:
    units = (TimeUnit(step, first.epoch, first.calendar) for step in FINER if _CFTIME_RESOLUTION <= step <= first.step)
    mark = None if not times.missing.any() else np.iinfo("i8").min
    return any(times.as_numbers(unit, np.dtype("i8"), mark) is not None for unit in units)
