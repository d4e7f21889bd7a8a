"""CF time coordinates in another unit or from another epoch, converted exactly or not at all.

Source: CF conventions 4.4, "Time Coordinate", and 4.4.1, "Calendar".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.model.attributes import Attributes, values_equal
from manifestry.model.datatypes import is_float

__all__ = ["TimeUnit", "convert_times", "is_time"]

_STEPS: Final = {  # microseconds
    ("microseconds", "microsecond", "microsec", "microsecs"): 1,
    ("milliseconds", "millisecond", "millisec", "millisecs", "msec", "msecs", "ms"): 1_000,
    ("seconds", "second", "sec", "secs", "s"): 1_000_000,
    ("minutes", "minute", "min", "mins"): 60_000_000,
    ("hours", "hour", "hr", "hrs", "h"): 3_600_000_000,
    ("days", "day", "d"): 86_400_000_000,
}
_STEP_OF: Final = {name: step for names, step in _STEPS.items() for name in names}
_DAY: Final = 86_400_000_000
_ALIASES: Final = {"gregorian": "standard", "365_day": "noleap", "366_day": "all_leap"}
_REFORM: Final = (1582, 10, 15)
_UNITS: Final = re.compile(r"\s*(\w+)\s+since\s+(.+?)\s*", re.IGNORECASE)
_EPOCH: Final = re.compile(
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T ]\s*(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?",
    re.IGNORECASE,
)
_MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """``"hours since 1970-01-01"`` in a calendar.

    Attributes
    ----------
    step
        Microseconds of one unit.
    epoch
        Microseconds from the year 0 of the calendar to the epoch.
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
        units = str(attributes.get("units", ""))
        match = _UNITS.fullmatch(units)
        step = _STEP_OF.get(match[1].lower()) if match else None
        if match is None or step is None:
            raise ValueError(f"{units!r} is not a time unit of fixed length")
        name = str(attributes.get("calendar", "standard")).lower()
        calendar = _ALIASES.get(name, name)
        return cls(step, _microseconds(match[2], calendar), calendar)


def is_time(attributes: Attributes) -> bool:
    """Whether attributes are those of a CF time coordinate."""
    return isinstance(attributes.get("units"), str) and _UNITS.fullmatch(attributes["units"]) is not None


def _microseconds(epoch: str, calendar: str) -> int:
    match = _EPOCH.fullmatch(epoch)
    if match is None:
        raise ValueError(f"{epoch!r} is not a date")
    year, month, day = (int(part) for part in match.group(1, 2, 3))
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError(f"{epoch!r} is not a date")
    fraction = (match[7] or "0").ljust(6, "0")
    if fraction[6:].strip("0"):
        raise ValueError(f"{epoch!r} has fractions of a microsecond")
    seconds = _days(year, month, day, calendar) * 86400 + hour * 3600 + minute * 60 + second - _zone(match[8] or "")
    return seconds * 1_000_000 + int(fraction[:6])


def _zone(text: str) -> int:
    """Seconds east of Greenwich."""
    if text[:1] not in ("+", "-"):
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    return (int(hours) * 3600 + int(minutes) * 60) * (1 if text[0] == "+" else -1)


def _days(year: int, month: int, day: int, calendar: str) -> int:
    """Days since the beginning of year 0 of a calendar."""
    match calendar:
        case "360_day":
            return year * 360 + (month - 1) * 30 + day - 1
        case "noleap" | "all_leap":
            leap = calendar == "all_leap"
            return (
                year * (366 if leap else 365) + sum(_MONTHS[: month - 1]) + (1 if leap and month > 2 else 0) + day - 1
            )
        case "standard" | "proleptic_gregorian":
            if calendar == "standard" and (year, month, day) < _REFORM:
                raise ValueError("the epoch lies before the Gregorian reform")
            before = year - 1
            leaps = before // 4 - before // 100 + before // 400 + 1
            leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            return year * 365 + leaps + sum(_MONTHS[: month - 1]) + (1 if leap and month > 2 else 0) + day - 1
    raise ValueError(f"the calendar {calendar!r} is not known")


def convert_times(values: NDArray[Any], have: Attributes, want: Attributes) -> NDArray[Any]:
    """Numbers of one time coordinate as numbers of another, in the same data type.

    Parameters
    ----------
    values
        Stored numbers; what ``_FillValue`` in `have` or NaN marks as missing stays so.
    have, want
        Attributes of the coordinate that they are from, and of the one that they shall belong to.

    Raises
    ------
    ValueError
        A number is no number of the other unit in this data type, or the calendars differ.
    """
    old, new = TimeUnit.of(have), TimeUnit.of(want)
    if old.calendar != new.calendar and {old.calendar, new.calendar} != {"standard", "proleptic_gregorian"}:
        raise ValueError(f"times of the calendar {old.calendar} are not times of {new.calendar}")
    mixed = old.calendar != new.calendar  # they agree only after the Gregorian reform
    earliest = Fraction(_days(*_REFORM, "standard") * _DAY - new.epoch, new.step) if mixed else None
    scale = Fraction(old.step, new.step)
    shift = Fraction(old.epoch - new.epoch, new.step)
    missing = _missing(values, have)
    if np.isinf(values[~missing]).any():
        raise ValueError("infinite numbers are not times")
    result = values.copy()
    flat = result.reshape(-1)
    for i in np.flatnonzero(~missing.reshape(-1)).tolist():
        exact = Fraction(flat[i].item()) * scale + shift
        if earliest is not None and exact < earliest:
            raise ValueError(f"a time before the Gregorian reform is not the same in {old.calendar} and {new.calendar}")
        flat[i] = _as_number(exact, values.dtype)
    marked = missing & ~_nan(values)
    if marked.any() and not values_equal(have["_FillValue"], want.get("_FillValue")):
        if "_FillValue" not in want:
            raise ValueError("missing times have no value in the other coordinate")
        result[marked] = want["_FillValue"]
    return result


def _nan(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isnan(values) if is_float(values.dtype) else np.zeros(values.shape, bool)


def _missing(values: NDArray[Any], attributes: Attributes) -> NDArray[np.bool_]:
    gone = _nan(values)
    return gone | (values == attributes["_FillValue"]) if "_FillValue" in attributes else gone


def _as_number(exact: Fraction, dtype: np.dtype[Any]) -> Any:
    if is_float(dtype):
        with np.errstate(over="ignore"):  # infinity is not the number
            number = dtype.type(float(exact))
        if np.isfinite(number) and Fraction(float(number)) == exact:
            return number
    elif exact.denominator == 1 and np.iinfo(dtype).min <= exact.numerator <= np.iinfo(dtype).max:
        return dtype.type(exact.numerator)
    raise ValueError(f"the time {float(exact)} has no exact number of type {dtype} in the other unit")
