"""Attributes that are written differently and mean the same: units, calendars, marks of missing values, packing.

Source: CF conventions 2.5.1 (missing data), 3.1 (units), 4.3 (positive), 4.4 (times), 8.1 (packed data); the netCDF users'
guide for ``_Unsigned``. Units are a table of those that archives write: UDUNITS-2 needs a C library, and pint takes other
spellings than CF and longer to import than combining takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from manifestry.combine.compatibility.places import same_place
from manifestry.combine.compatibility.times import calendar_of, same_units
from manifestry.model.attributes import Attributes
from manifestry.model.datatypes import is_float, is_integer

__all__ = ["mean_the_same"]

_UNITS: Final = (
    ("m", "meter", "meters", "metre", "metres"),
    ("km", "kilometer", "kilometers", "kilometre", "kilometres"),
    ("cm", "centimeter", "centimeters", "centimetre", "centimetres"),
    ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    ("s", "sec", "second", "seconds"),
    ("min", "minute", "minutes"),
    ("h", "hr", "hour", "hours"),
    ("d", "day", "days"),
    ("kg", "kilogram", "kilograms"),
    ("g", "gram", "grams"),
    ("K", "kelvin", "kelvins", "degK", "degree_K", "degrees_K", "deg_K", "degreeK", "degreesK"),
    ("degC", "celsius", "degree_Celsius", "degrees_Celsius", "degree_C", "degrees_C", "deg_C", "degreeC", "degreesC", "°C"),
    ("degF", "fahrenheit", "degree_Fahrenheit", "degree_F", "degrees_F", "deg_F", "°F"),
    ("Pa", "pascal", "pascals"),
    ("hPa", "hectopascal", "hectopascals", "mbar", "millibar", "millibars"),
    ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN"),
    ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE"),
    ("degree", "degrees", "deg", "°"),
    ("radian", "radians", "rad"),
    ("m s-1", "m/s", "m.s-1", "m*s-1", "m s^-1", "m s**-1", "meter/second", "meters/second", "meter second-1", "meters per second"),
    ("mm s-1", "mm/s", "mm s**-1", "mm s^-1"),
    ("mm day-1", "mm/day", "mm d-1", "mm/d"),
    ("mm h-1", "mm/h", "mm/hr", "mm hr-1"),
    ("m2", "m^2", "m**2", "meter2", "meters2"),
    ("m3", "m^3", "m**3", "meter3", "meters3"),
    ("m2 s-2", "m^2 s^-2", "m**2 s**-2", "m2/s2", "m^2/s^2"),
    ("W m-2", "W/m2", "W/m^2", "W m**-2", "W m^-2", "W.m-2", "watt m-2"),
    ("J m-2", "J/m2", "J/m^2", "J m**-2", "J m^-2"),
    ("kg m-2", "kg/m2", "kg/m^2", "kg m**-2", "kg m^-2"),
    ("kg m-3", "kg/m3", "kg/m^3", "kg m**-3", "kg m^-3"),
    ("kg m-2 s-1", "kg/m2/s", "kg/m^2/s", "kg m**-2 s**-1", "kg m^-2 s^-1", "kg/(m^2*s)", "kg m-2.s-1"),
    ("kg kg-1", "kg/kg", "kg kg**-1", "kg kg^-1"),
    ("mol m-3", "mol/m3", "mol/m^3", "mol m**-3"),
    ("mol m-2 s-1", "mol/m2/s", "mol m**-2 s**-1"),
    ("%", "percent"),
)  # fmt: skip
_UNIT_OF: Final = {name: names[0] for names in _UNITS for name in names}
_WORDS: Final = {name.casefold(): unit for name, unit in _UNIT_OF.items() if len(name) > 4 and name.isalpha()}
"""Symbols have a case (``Mm`` is no ``mm``); words have none."""

_MARKS: Final = ("_FillValue", "missing_value")


def mean_the_same(name: str, a: Attributes, b: Attributes, dtypes: tuple[np.dtype[Any], np.dtype[Any]]) -> bool:
    """Whether an attribute says the same of two arrays, although its values differ or only one has it.

    Parameters
    ----------
    a, b
        All attributes of both.
    dtypes
        Data types of both.
    """
    rule = _RULES.get(name)
    return same_place(name, a, b) if rule is None else rule(a, b, dtypes)


def _same_calendar(a: Attributes, b: Attributes, _: Any) -> bool:
    return calendar_of(a) == calendar_of(b)


def _same_units(a: Attributes, b: Attributes, _: Any) -> bool:
    one, other = a.get("units"), b.get("units")
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    return _unit(one) == _unit(other) or same_units(a, b)


def _unit(text: str) -> str:
    plain = " ".join(text.split())
    return _UNIT_OF.get(plain) or _WORDS.get(plain.casefold()) or plain


def _same_marks(a: Attributes, b: Attributes, dtypes: tuple[np.dtype[Any], np.dtype[Any]]) -> bool:
    """Marks of missing values count together; NaN is missing in floating-point numbers, marked or not."""
    one, other = (_marks(*side) for side in zip((a, b), dtypes, strict=True))
    return one is not None and one == other


def _marks(attributes: Attributes, dtype: np.dtype[Any]) -> set[float] | None:
    """The numbers that mark missing values, None where they are not of the array's own data type."""
    found: set[float] = set()
    for name in _MARKS:
        marks = np.asarray(attributes.get(name, ())).reshape(-1)
        for mark in marks:
            if not (is_integer(marks.dtype) or is_float(marks.dtype)):
                return None
            if is_float(marks.dtype) and np.isnan(mark):
                if not is_float(dtype):
                    return None
                continue
            with np.errstate(all="ignore"):
                if not (is_integer(dtype) or is_float(dtype)) or dtype.type(mark) != mark:
                    return None
            found.add(mark.item())
    return found


def _without_effect(name: str, neutral: float) -> Callable[[Attributes, Attributes, Any], bool]:
    def same(a: Attributes, b: Attributes, _: Any) -> bool:
        one, other = (np.asarray(side.get(name, neutral)) for side in (a, b))
        numbers = all(value.size == 1 and (is_integer(value.dtype) or is_float(value.dtype)) for value in (one, other))
        return numbers and one.item() == other.item() == neutral

    return same


def _same_sign(a: Attributes, b: Attributes, dtypes: tuple[np.dtype[Any], np.dtype[Any]]) -> bool:
    """``_Unsigned = "false"`` says nothing of signed numbers."""
    signed = all(is_integer(dtype) and np.issubdtype(dtype, np.signedinteger) for dtype in dtypes)
    return signed and all(str(side.get("_Unsigned", "false")).lower() == "false" for side in (a, b))


def _same_direction(a: Attributes, b: Attributes, _: Any) -> bool:
    one, other = a.get("positive"), b.get("positive")
    return isinstance(one, str) and isinstance(other, str) and one.lower() == other.lower()


_RULES: Final[dict[str, Callable[[Attributes, Attributes, Any], bool]]] = {
    "units": _same_units,
    "calendar": _same_calendar,
    "_FillValue": _same_marks,
    "missing_value": _same_marks,
    "scale_factor": _without_effect("scale_factor", 1),
    "add_offset": _without_effect("add_offset", 0),
    "_Unsigned": _same_sign,
    "positive": _same_direction,
}
