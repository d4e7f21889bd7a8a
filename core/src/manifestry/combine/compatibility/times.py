"""CF times: what the numbers of a time coordinate count, and from when; the same times in another unit and type.

Source: CF conventions 4.4, "Time Coordinate", and 4.4.1, "Calendar". Times are the same when they are the same to the
nanosecond, the finest that readers decode: 0.1 days are 8,640 s, although no binary fraction is a tenth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.model.attributes import PACKING, Attributes
from manifestry.model.datatypes import is_float

__all__ = [
    "FINER",
    "NOT_COUNTED",
    "TimeUnit",
    "Times",
    "calendar_of",
    "is_time",
    "missing_elements",
    "mixes_calendars",
    "reform_of",
    "same_units",
]

_SECOND: Final = 1_000_000_000
_STEPS: Final = {  # nanoseconds
    ("nanoseconds", "nanosecond", "nanosec", "nanosecs", "ns"): 1,
    ("microseconds", "microsecond", "microsec", "microsecs", "us"): 1_000,
    ("milliseconds", "millisecond", "millisec", "millisecs", "msec", "msecs", "ms"): 1_000_000,
    ("seconds", "second", "sec", "secs", "s"): _SECOND,
    ("minutes", "minute", "min", "mins"): 60 * _SECOND,
    ("hours", "hour", "hr", "hrs", "h"): 3_600 * _SECOND,
    ("days", "day", "d"): 86_400 * _SECOND,
}
_STEP_OF: Final = {name: step for names, step in _STEPS.items() for name in names}
FINER: Final = {step: names[0] for names, step in sorted(_STEPS.items(), key=lambda item: -item[1])}
"""Names of the units by their nanoseconds, the longest first."""

NOT_COUNTED: Final = (*PACKING, "_Unsigned")
"""Attributes with which stored numbers are not those that the units count."""

_ALIASES: Final = {"gregorian": "standard", "365_day": "noleap", "366_day": "all_leap"}
_REFORM: Final = (1582, 10, 15)
_UNITS: Final = re.compile(r"\s*(\w+)\s+since\s+(.+?)\s*", re.IGNORECASE)
_EPOCH: Final = re.compile(
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T ]\s*(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?",
    re.IGNORECASE,
)
_MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_INT64: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """``"hours since 1970-01-01"`` in a calendar.

    Attributes
    ----------
    step
        Nanoseconds of one unit.
    epoch
        Nanoseconds from the year 0 of the calendar to the epoch.
    calendar
        CF name, aliases resolved.
    """

    step: int
    epoch: int
    calendar: str

    @classmethod
    def of(cls, attributes: Attributes) -> TimeUnit:
        """The unit that the attributes of a time coordinate give.

        Raises
        ------
        ValueError
            They give none, or one that has no fixed length (months, years).
        """
        return _time_unit(str(attributes.get("units", "")), calendar_of(attributes))


@lru_cache(maxsize=4096)
def _time_unit(units: str, calendar: str) -> TimeUnit:
    match = _UNITS.fullmatch(units)
    step = _STEP_OF.get(match[1].lower()) if match else None
    if match is None or step is None:
        raise ValueError(f"{units!r} is not a time unit of fixed length")
    return TimeUnit(step, _nanoseconds(match[2], calendar), calendar)


def is_time(attributes: Attributes) -> bool:
    """Whether attributes are those of a CF time coordinate."""
    return isinstance(attributes.get("units"), str) and _UNITS.fullmatch(attributes["units"]) is not None


def calendar_of(attributes: Attributes) -> str:
    """The calendar of a time coordinate, ``"standard"`` where none is named; one name for each calendar."""
    name = str(attributes.get("calendar", "standard")).strip().lower()
    return _ALIASES.get(name, name)


def same_units(a: Attributes, b: Attributes) -> bool:
    """Whether two time coordinates count the same unit from the same moment, however it is spelt."""
    try:
        one, other = TimeUnit.of(a), TimeUnit.of(b)
    except ValueError:
        return False
    return one == other


def mixes_calendars(units: list[TimeUnit]) -> bool:
    """Whether both the standard and the proleptic calendar occur, which agree after the Gregorian reform only.

    Raises
    ------
    ValueError
        Other calendars differ: their dates are not each other's.
    """
    names = {unit.calendar for unit in units}
    if len(names) > 1 and names != {"standard", "proleptic_gregorian"}:
        first, other = units[0].calendar, next(unit.calendar for unit in units if unit.calendar != units[0].calendar)
        raise ValueError(f"times of the calendar {other} are not times of {first}")
    return len(names) > 1


def reform_of(calendar: str) -> int:
    """Nanoseconds from the year 0 of a calendar to the Gregorian reform."""
    return _days(*_REFORM, calendar) * 86_400 * _SECOND


def _nanoseconds(epoch: str, calendar: str) -> int:
    match = _EPOCH.fullmatch(epoch)
    if match is None:
        raise ValueError(f"{epoch!r} is not a date")
    year, month, day = (int(part) for part in match.group(1, 2, 3))
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    if not (
        1 <= month <= 12
        and 1 <= day <= _month_length(year, month, calendar)
        and hour < 24
        and minute < 60
        and second < 60
    ):
        raise ValueError(f"{epoch!r} is not a date")
    fraction = (match[7] or "0").ljust(9, "0")
    if fraction[9:].strip("0"):
        raise ValueError(f"{epoch!r} has fractions of a nanosecond")
    seconds = _days(year, month, day, calendar) * 86400 + hour * 3600 + minute * 60 + second - _zone(match[8] or "")
    return seconds * _SECOND + int(fraction[:9])


def _month_length(year: int, month: int, calendar: str) -> int:
    if calendar == "360_day":
        return 30
    if month != 2 or calendar == "noleap":
        return _MONTHS[month - 1]
    centuries = calendar == "proleptic_gregorian" or (calendar == "standard" and year > _REFORM[0])
    leap = calendar == "all_leap" or (year % 4 == 0 and (not centuries or year % 100 != 0 or year % 400 == 0))
    return 29 if leap else 28


def _zone(text: str) -> int:
    """Seconds east of Greenwich."""
    if text[:1] not in ("+", "-"):
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    return (int(hours) * 3600 + int(minutes) * 60) * (1 if text[0] == "+" else -1)


def _days(year: int, month: int, day: int, calendar: str) -> int:
    """Days since the beginning of year 0 of a calendar."""
    before = year - 1
    match calendar:
        case "360_day":
            return year * 360 + (month - 1) * 30 + day - 1
        case "noleap":
            return year * 365 + _day_of_year(month, day, leap=False)
        case "all_leap":
            return year * 366 + _day_of_year(month, day, leap=True)
        case "julian":
            return _julian_days(year, month, day)
        case "standard" if (year, month, day) < _REFORM:
            if (year, month, day) > (1582, 10, 4):
                raise ValueError(f"{year}-{month}-{day} was left out by the Gregorian reform")
            return _julian_days(year, month, day) - 2
        case "standard" | "proleptic_gregorian":
            leaps = before // 4 - before // 100 + before // 400 + 1
            leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            return year * 365 + leaps + _day_of_year(month, day, leap=leap)
    raise ValueError(f"the calendar {calendar!r} is not known")


def _day_of_year(month: int, day: int, *, leap: bool) -> int:
    return sum(_MONTHS[: month - 1]) + (1 if leap and month > 2 else 0) + day - 1


def _julian_days(year: int, month: int, day: int) -> int:
    """Days since the beginning of year 0 of the Julian calendar, two days before that of the Gregorian one."""
    return year * 365 + (year - 1) // 4 + 1 + _day_of_year(month, day, leap=year % 4 == 0)


@dataclass(frozen=True, slots=True)
class Times:
    """Moments, as nanoseconds after an epoch.

    Attributes
    ----------
    ticks
        Nanoseconds; of type int64, or Python integers where they are too many. Of missing times 0.
    missing
        Which times are missing.
    numbers, unit
        What is stored, and what it counts.
    """

    ticks: NDArray[Any]
    missing: NDArray[np.bool_]
    numbers: NDArray[Any]
    unit: TimeUnit

    @classmethod
    def of(cls, numbers: NDArray[Any], attributes: Attributes, epoch: int) -> Times:
        """The moments that stored numbers stand for.

        Parameters
        ----------
        numbers
            Whole or floating-point; NaN, and what ``_FillValue`` or ``missing_value`` mark, are missing.
        epoch
            Nanoseconds from the year 0 of the calendar.

        Raises
        ------
        ValueError
            A number is infinite, or the attributes give no unit of fixed length.
        """
        unit = TimeUnit.of(attributes)
        missing = missing_elements(numbers, attributes)
        counted = np.where(missing, numbers.dtype.type(0), numbers)
        ticks = _scaled(counted, unit.step)
        shift = unit.epoch - epoch
        if ticks.dtype != object and (_largest(ticks) + abs(shift)) > _INT64:
            ticks = ticks.astype(object)
        return cls(np.where(missing, 0, ticks + shift), missing, numbers, unit)

    def as_numbers(self, unit: TimeUnit, dtype: np.dtype[Any], mark: Any = None) -> NDArray[Any] | None:
        """The same moments as numbers of another unit and type, None where one has none.

        Parameters
        ----------
        unit
            With the epoch that `ticks` count from.
        mark
            What stands for a missing time; None: NaN.
        """
        if self.missing.any() and mark is None and not is_float(dtype):
            return None
        if unit == self.unit and self.numbers.dtype == dtype:
            found: NDArray[Any] | None = self.numbers.copy()
        else:
            found = self._moved(unit, dtype)
            found = _divided(self.ticks, unit.step, dtype) if found is None else found
        if found is None:
            return None
        if mark is not None and bool((_equals(found, mark) & ~self.missing).any()):
            return None  # a time would look like a missing one
        if self.missing.any():
            found[self.missing] = np.nan if mark is None else mark
        return found

    def _moved(self, unit: TimeUnit, dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Fractions of the same unit, counted from another epoch: the sum, where that is exact."""
        shift = self.unit.epoch - unit.epoch
        if self.unit.step != unit.step or shift % unit.step or not (is_float(dtype) and is_float(self.numbers.dtype)):
            return None
        old, moved = np.where(self.missing, 0, self.numbers).astype("f8"), float(shift // unit.step)
        new = old + moved
        exact = (new - moved == old) & (new - old == moved) & (new.astype(dtype).astype("f8") == new)
        if not exact.all() or (_decodes(old, unit.step) and not _decodes(new, unit.step)):
            return None
        return new.astype(dtype)


def missing_elements(values: NDArray[Any], attributes: Attributes) -> NDArray[np.bool_]:
    """Which stored numbers are none: NaN, and those that ``_FillValue`` or ``missing_value`` names (CF 1.11, 2.5.1)."""
    gone = np.isnan(values) if is_float(values.dtype) else np.zeros(values.shape, bool)
    for name in ("_FillValue", "missing_value"):
        for mark in np.asarray(attributes.get(name, ())).reshape(-1):
            gone = gone | _equals(values, mark)
    return gone


def _equals(values: NDArray[Any], mark: Any) -> NDArray[np.bool_]:
    return np.asarray(values == mark)


def _largest(ticks: NDArray[Any]) -> int:
    return max(abs(int(ticks.max())), abs(int(ticks.min()))) if ticks.size else 0


def _scaled(numbers: NDArray[Any], step: int) -> NDArray[Any]:
    """Numbers times `step`, to the nearest whole number."""
    part: Any = 0
    if is_float(numbers.dtype):
        if np.isinf(numbers).any():
            raise ValueError("infinite numbers are not times")
        floats = numbers.astype("f8")
        floor = np.floor(floats)
        part = np.rint((floats - floor) * step).astype("i8")  # exact but for a hundredth of a nanosecond
        whole = _whole(floor)
    else:
        whole = numbers.astype(object) if numbers.dtype == np.uint64 else numbers.astype("i8")
    if whole.dtype != object and (_largest(whole) + 1) * step > _INT64:
        whole = whole.astype(object)
    return np.asarray(whole * step + part)


def _whole(floats: NDArray[np.float64]) -> NDArray[Any]:
    """Whole numbers as int64, or as Python integers where they are too large."""
    if not floats.size or float(np.abs(floats).max()) < _INT64:
        return floats.astype("i8")
    return np.array([int(one) for one in floats.reshape(-1).tolist()], object).reshape(floats.shape)


def _divided(ticks: NDArray[Any], step: int, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """`ticks` in units of `step`; None where one has no number of the type."""
    whole, rest = ticks // step, ticks % step
    if not is_float(dtype):
        limits = np.iinfo(dtype)
        if rest.any() or (whole.size and not limits.min <= int(whole.min()) <= int(whole.max()) <= limits.max):
            return None
        return whole.astype(dtype)
    with np.errstate(over="ignore"):  # infinity is not the number
        found = (whole.astype("f8") + rest.astype("f8") / step).astype(dtype)
    if not np.isfinite(found.astype("f8") * step).all() or not _decodes(found, step):
        return None
    return found if bool((_scaled(found, step) == ticks).all()) else None


def _decodes(numbers: NDArray[Any], step: int) -> bool:
    """Whether xarray, which multiplies and cuts off fractions of a nanosecond, decodes floating-point numbers exactly."""
    cut = np.trunc(numbers.astype("f8") * step)
    return bool((_whole(cut) == _scaled(numbers, step)).all())
