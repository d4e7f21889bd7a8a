"""Typed attributes, and the one rule that makes JSON of them.

Attributes keep the type that the source gave them, so that combining files and our own xarray engine are exact. A
writer or store that needs JSON gets it from `attributes_to_json`:

======================  ============================================================================
text                    as it is
bytes                   text, decoded as UTF-8 or else as Latin-1
bool, integers          as they are
floats                  widened exactly to float64; NaN and the infinities are the texts that Zarr uses for fill
                        values, ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which xarray decodes in ``missing_value``
complex                 ``[real, imaginary]``
times                   ISO 8601 text; time differences as number and unit
arrays                  nested lists; an array of one stays a list of one
records                 objects, field by field
references              the path they point to
None                    null: an attribute that exists and has no value
======================  ============================================================================

What has no such form (a long double that float64 cannot hold, text that is not Unicode, unknown objects) is left out
and reported. So is the packing of an array (CF conventions, "Packed data") that is not one finite number: readers compute
with ``scale_factor`` and ``add_offset``, and no text of ours is a number to them. What is a text in the source stays one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from manifestry.issues import Issue
from manifestry.model.datatypes import is_bool, is_float, is_inexact, is_integer, is_time, spell_number

__all__ = [
    "PACKING",
    "Attributes",
    "Reference",
    "array_attributes_to_json",
    "attributes_equal",
    "attributes_to_json",
    "value_to_json",
    "values_equal",
]

PACKING: Final = ("scale_factor", "add_offset")
"""Attributes that readers compute elements with."""

type Attributes = Mapping[str, Any]
"""Attribute values: str, bytes, bool, int, float, complex, numpy scalars and arrays, Reference, None, and lists and
mappings of these."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An attribute or element that points to another object of the same source, by its absolute path."""

    path: str


def attributes_to_json(attributes: Attributes, where: str = "") -> tuple[dict[str, Any], list[Issue]]:
    """Attributes as strict JSON, and an issue for each that has no such form.

    Parameters
    ----------
    where
        Path of the array or group, for the issues.
    """
    found: dict[str, Any] = {}
    issues = []
    for name, value in attributes.items():
        try:
            found[_text(name)] = value_to_json(value)
        except (TypeError, ValueError, RecursionError) as error:
            at = f"{where}@{name}"
            issues.append(
                Issue(path=at, feature="attribute without a JSON form", message=str(error), severity="reported")
            )
    return found, issues


def array_attributes_to_json(attributes: Attributes, where: str = "") -> tuple[dict[str, Any], list[Issue]]:
    """As `attributes_to_json`, for the attributes of an array: its packing is whole and computable, or left out.

    Where one of ``scale_factor`` and ``add_offset`` is not one finite number, both are left out: what the other makes of
    the elements by itself means nothing.
    """
    found, issues = attributes_to_json(attributes, where)
    packing = [name for name in PACKING if name in attributes]
    broken = [name for name in packing if not (_is_computable(found.get(name)) or _is_plain_text(attributes[name]))]
    if broken:
        issues = [issue for issue in issues if issue.path not in {f"{where}@{name}" for name in packing}]
    for name in () if broken else packing:
        found[name] = _packing_number(found[name])
    for name in packing if broken else ():
        found.pop(name, None)
        if name in broken:
            reason = f"{attributes[name]!r} is not one finite number"
        else:
            reason = f"of no use without {', '.join(broken)}"
        hint = "readers get the elements as they are stored"
        issues.append(
            Issue(
                path=f"{where}@{name}",
                feature="packing that cannot be computed",
                message=reason,
                hint=hint,
                severity="reported",
            )
        )
    return found, issues


def _packing_number(value: Any) -> Any:
    """What a reader unpacks with: an array of one is a number, as it is to netCDF.

    A whole number would make xarray unpack to integers, which hold no not-a-number where a fill value is: it is a float where
    one holds it.
    """
    number = value[0] if isinstance(value, list) else value
    return float(number) if isinstance(number, int) and float(number) == number else number


def _is_plain_text(value: Any) -> bool:
    """Whether an attribute is a text in the source already, and not how JSON spells what is not finite."""
    return isinstance(value, str | bytes) and value not in ("NaN", "Infinity", "-Infinity")


def _is_computable(value: Any) -> bool:
    """Whether a JSON value, or the one value of a list, is a finite number for every reader."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def value_to_json(value: Any) -> Any:
    """One attribute value as strict JSON, by the rule of this module.

    Raises
    ------
    TypeError, ValueError
        The value has no such form; the message says why.
    """
    match value:
        case None | bool():
            return value
        case str():
            return _text(value)
        case np.generic():
            return _scalar(value)
        case int():
            return value
        case float():
            return spell_number(value)
        case complex():
            return [spell_number(value.real), spell_number(value.imag)]
        case bytes():
            return _decode(value)
        case Reference():
            return _text(value.path)
        case np.ndarray():
            return _array(value)
        case Mapping():
            return _mapping(value)
        case Sequence():
            return [value_to_json(v) for v in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    found = {_text(str(k)): value_to_json(v) for k, v in value.items()}
    if len(found) != len(value):
        raise ValueError("two keys have the same text")
    return found


def _array(value: np.ndarray[Any, Any]) -> Any:
    if value.ndim == 0:
        return value_to_json(value[()])
    plain = is_bool(value.dtype) or is_integer(value.dtype) or (is_float(value.dtype) and value.dtype.itemsize <= 8)
    if plain and bool(np.isfinite(value).all()):
        return value.tolist()
    return [_array(row) if isinstance(row, np.ndarray) else value_to_json(row) for row in value]


def _scalar(value: Any) -> Any:
    match value:
        case np.datetime64() | np.timedelta64():
            return str(value)
        case np.bool_() | np.integer():
            return value.item()
        case np.floating():
            return spell_number(_widen(value))
        case np.complexfloating():
            return [spell_number(_widen(value.real)), spell_number(_widen(value.imag))]
        case np.bytes_():
            return _decode(bytes(value))
        case np.str_():
            return _text(str(value))
    if value.dtype.fields is not None:
        return {name: value_to_json(value[name]) for name in value.dtype.names or ()}
    raise TypeError(f"{value.dtype} has no JSON form")


def _widen(value: Any) -> float:
    wide = float(value)
    if not math.isnan(wide) and wide != value:
        raise ValueError(f"{value!r} is not a float64")
    return wide


def _decode(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _text(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{value!r} is not Unicode text") from None
    return str(value)  # not numpy's str


def attributes_equal(mine: Attributes, other: Attributes) -> bool:
    """Whether two sets of attributes have the same names, types and values; NaN equals NaN, order does not count."""
    return mine.keys() == other.keys() and all(values_equal(mine[name], other[name]) for name in mine)


def values_equal(mine: Any, other: Any) -> bool:
    """Whether two attribute values have the same type and value; NaN equals NaN."""
    if type(mine) is not type(other):
        return False
    if isinstance(mine, np.ndarray | np.generic):
        a, b = np.asarray(mine), np.asarray(other)
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if is_inexact(a.dtype):
            return np.array_equal(a, b, equal_nan=True)
        if a.dtype.fields is not None:
            return all(values_equal(a[name], b[name]) for name in a.dtype.names or ())
        if a.dtype == object:
            return all(map(values_equal, a.ravel().tolist(), b.ravel().tolist()))
        if is_time(a.dtype):
            return np.array_equal(a.view("i8"), b.view("i8"))  # NaT too
        return bool(np.array_equal(a, b))
    if isinstance(mine, Mapping):
        return attributes_equal(mine, other)
    if isinstance(mine, list | tuple):
        return len(mine) == len(other) and all(map(values_equal, mine, other))
    if isinstance(mine, complex):
        return values_equal(mine.real, other.real) and values_equal(mine.imag, other.imag)
    return bool(mine == other) or (isinstance(mine, float) and math.isnan(mine) and math.isnan(other))
