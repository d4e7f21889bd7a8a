"""``_FillValue`` and ``missing_value``: xarray masks in an output what it masks in the file.

In a file, xarray takes every element for missing that equals any value of either attribute, as numpy compares them; that
there is such an attribute makes floats of integers, whether or not anything equals it. Zarr holds less: version 3 has one
number as ``_FillValue`` (xarray's ``FillValueCoder``), version 2 one element as ``fill_value`` of the array. What is
neither, as several numbers, numbers that no element can be and texts are not, readers find under a name that takes any
JSON: ``missing_value`` in version 3, the attribute itself in version 2. What is lost in JSON is left out and reported,
never written as something else: bytes, infinities, complex numbers.

``_Unsigned`` makes xarray read integers by the other sign; then ``_FillValue`` is an element of the same bits.

Sources: CF conventions 2.5.1, "Missing data"; netCDF users' guide, ``_Unsigned``; xarray 2026.9, ``CFMaskCoder``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from manifestry.errors import ManifestError
from manifestry.issues import Issue
from manifestry.model.attributes import PACKING, Attributes, value_to_json
from manifestry.model.datatypes import (
    datatype_of,
    is_bool,
    is_bytes,
    is_complex,
    is_float,
    is_inexact,
    is_integer,
    is_number,
    is_text,
    single,
)

__all__ = [
    "FILL_ATTRIBUTE",
    "MASKING",
    "Masks",
    "fill_element",
    "fill_mask_from_v3",
    "marks_nothing",
    "masks_to_v2",
    "masks_to_v3",
    "read_as",
    "without_masks",
]

FILL_ATTRIBUTE: Final = "_FillValue"
MISSING_ATTRIBUTE: Final = "missing_value"
MASKING: Final = frozenset({FILL_ATTRIBUTE, MISSING_ATTRIBUTE})
"""Attributes that say which elements are missing."""

_NO_FORM: Final = "xarray masks by either name alike, and reads no such _FillValue from Zarr v3"

_SIGNS: Final[Mapping[Any, Any]] = {"true": np.unsignedinteger, "false": np.signedinteger}


@dataclass(slots=True)
class Masks:
    """What the documents of an array have of its masks.

    Attributes
    ----------
    element
        What ``_FillValue`` means as an element of the array; None where there is none.
    attributes
        The attributes, as JSON.
    nothing_missing
        Whether ``missing_value`` is NaN alone, which marks nothing.
    issues
        What has another name than in the source, or no form.
    """

    where: str
    element: Any = None
    nothing_missing: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    def report(self, name: str, feature: str, message: str, hint: str = "") -> None:
        """Note what became of an attribute."""
        at = f"{self.where}@{name}"
        self.issues.append(Issue(path=at, feature=feature, message=message, hint=hint, severity="reported"))


def masks_to_v3(dtype: np.dtype[Any], attributes: Attributes, where: str = "") -> Masks:
    """The masks of an array as attributes of Zarr v3.

    Parameters
    ----------
    where
        Path of the array, for issues.
    """
    masks = _masks(dtype, attributes, where)
    if masks.element is not None:
        other = read_as(dtype, attributes)
        if other is not None and np.issubdtype(other, np.signedinteger):
            masks.attributes[FILL_ATTRIBUTE] = masks.element.view(other).item()  # xarray converts it with a check
            return masks
        try:
            masks.attributes[FILL_ATTRIBUTE] = datatype_of(dtype).mask_to_v3(masks.element)
        except TypeError as error:
            if is_bytes(dtype) or not is_text(dtype):
                hint = "Kerchunk of zarr_format=2 has it" if is_bytes(dtype) else ""
                masks.report(FILL_ATTRIBUTE, "_FillValue left out", str(error), hint)
            else:
                masks.attributes[FILL_ATTRIBUTE] = str(masks.element)
                _to_missing_value(masks)
    elif FILL_ATTRIBUTE in masks.attributes:
        _to_missing_value(masks)
    return masks


def _to_missing_value(masks: Masks, reason: str = _NO_FORM) -> None:
    """Move ``_FillValue`` to where xarray takes any JSON."""
    moved = masks.attributes.pop(FILL_ATTRIBUTE)
    others = [] if masks.nothing_missing else _list(masks.attributes.get(MISSING_ATTRIBUTE, []))
    both = [*_list(moved), *(value for value in others if value not in _list(moved))]
    if not _same_in_numpy(both):
        masks.report(FILL_ATTRIBUTE, "_FillValue left out", f"{moved!r} and missing_value have no common type")
        return
    masks.attributes[MISSING_ATTRIBUTE] = both if isinstance(moved, list) or len(both) > 1 else moved
    masks.report(FILL_ATTRIBUTE, "_FillValue named missing_value", reason)


def masks_to_v2(dtype: np.dtype[Any], attributes: Attributes, where: str = "", byteorder: str = "<") -> Masks:
    """The masks of an array in Zarr v2: the element goes into ``fill_value``, the rest into attributes.

    Parameters
    ----------
    where
        Path of the array, for issues.
    byteorder
        How elements are stored, ``"<"`` or ``">"``.
    """
    masks = _masks(dtype, attributes, where)
    other = read_as(dtype, attributes)
    if masks.element is None or other is None or not np.issubdtype(other, np.unsignedinteger):
        return masks
    if byteorder == ">" and dtype.itemsize > 1:  # xarray takes the element's bytes for those of a little-endian one
        masks.attributes[FILL_ATTRIBUTE] = masks.element.view(other).item()
        masks.element = None
        _to_missing_value(masks, "without its sign: xarray reads another _FillValue from big-endian integers")
    return masks


def without_masks(attributes: Attributes) -> Attributes:
    """The attributes that do not say what is missing."""
    if MASKING.isdisjoint(attributes):
        return attributes
    return {name: value for name, value in attributes.items() if name not in MASKING}


def _masks(dtype: np.dtype[Any], attributes: Attributes, where: str) -> Masks:
    masks = Masks(where)
    unread = [name for name in sorted(MASKING & attributes.keys()) if marks_nothing(dtype, attributes[name])]
    for name in unread:
        masks.report(name, f"{name} left out", "xarray opens nothing that has one of records or opaque elements")
    if unread:
        attributes = {name: value for name, value in attributes.items() if name not in unread}
    if MISSING_ATTRIBUTE in attributes:
        missing = attributes[MISSING_ATTRIBUTE]
        masks.nothing_missing = is_float(np.asarray(missing).dtype) and bool(np.isnan(missing).all())
        if masks.nothing_missing and not attributes.keys().isdisjoint(PACKING):  # as a text it would count as a value
            masks.report(
                MISSING_ATTRIBUTE, "missing_value left out", "NaN marks nothing, and as JSON changes unpacking"
            )
        else:
            _keep(masks, MISSING_ATTRIBUTE, missing, dtype)
    if FILL_ATTRIBUTE not in attributes:
        return masks
    value = attributes[FILL_ATTRIBUTE]
    try:
        masks.element = fill_element(dtype, attributes)
    except (TypeError, ValueError, OverflowError, ManifestError) as error:
        if read_as(dtype, attributes) is not None or not (is_number(dtype) or is_bool(dtype) or is_text(dtype)):
            masks.report(FILL_ATTRIBUTE, "_FillValue left out", str(error))
        else:
            _keep(masks, FILL_ATTRIBUTE, value, dtype)
    return masks


def fill_element(dtype: np.dtype[Any], attributes: Attributes) -> Any:
    """The element of an array that its ``_FillValue`` means.

    Raises
    ------
    TypeError, ValueError, OverflowError, ManifestError
        None is that.
    """
    value = attributes[FILL_ATTRIBUTE]
    other = read_as(dtype, attributes)
    if other is None:
        return datatype_of(dtype).exact_element(value)
    number = single(value)[()]
    if not is_number(np.asarray(number).dtype) or not number == int(number):
        raise ValueError(f"{number!r} is no whole number")
    for candidate in (dtype, other):
        if np.iinfo(candidate).min <= int(number) <= np.iinfo(candidate).max:
            return np.array(int(number), candidate).view(dtype)[()]
    raise ValueError(f"{number!r} is neither of {dtype} nor of {other}")


def marks_nothing(dtype: np.dtype[Any], value: Any) -> bool:
    """Whether xarray compares no elements with a value of ``_FillValue``: records and opaque elements, which it cannot."""
    return "V" in (dtype.kind, np.asarray(value).dtype.kind)


def read_as(dtype: np.dtype[Any], attributes: Attributes) -> np.dtype[Any] | None:
    """The type of the other sign as which xarray reads integers because of ``_Unsigned``; None where it does not."""
    value = attributes.get("_Unsigned")
    wanted = _SIGNS.get(
        value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""
    )
    if wanted is None or not is_integer(dtype) or np.issubdtype(dtype, wanted):
        return None
    return np.dtype(f"{'u' if wanted is np.unsignedinteger else 'i'}{dtype.itemsize}")


def _keep(masks: Masks, name: str, value: Any, dtype: np.dtype[Any]) -> None:
    """Take an attribute as JSON if readers mask by that what they mask by the attribute itself."""
    try:
        known = _comparable(value, dtype)
        masks.attributes[name] = value_to_json(known)
    except (TypeError, ValueError) as error:
        masks.report(name, f"{name} left out", str(error))
        return
    if np.size(known) < np.size(value):
        masks.report(
            name, f"{name} without NaN", "NaN beside other numbers marks nothing, and makes texts of them in JSON"
        )


def _comparable(value: Any, dtype: np.dtype[Any]) -> Any:
    """What of a value is to be in JSON, so that xarray finds equal to it what equals it in the file.

    Raises
    ------
    ValueError
        JSON has nothing that equals the same elements.
    """
    given = np.asarray(value)
    if is_bytes(dtype) and is_bytes(given.dtype):
        raise ValueError(f"{value!r}: JSON has texts and no bytes to compare with")
    if not (is_inexact(given.dtype) and given.size):
        return value
    if is_complex(given.dtype):
        if given.imag.any():
            raise ValueError(f"{value!r}: JSON has no complex numbers to compare with")
        given = given.real
    known = given[~np.isnan(given)]
    if np.isinf(known).any() and (is_inexact(dtype) or given.size > 1):
        raise ValueError(f"{value!r}: JSON has no infinities to compare with")
    if known.size:
        return known if known.size < given.size else given
    if not is_float(dtype):
        raise ValueError(f"{value!r} marks no element of {dtype}")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _same_in_numpy(values: list[Any]) -> bool:
    """Whether numpy, in which xarray puts them together, keeps each value of a list."""
    return bool(np.asarray(values).tolist() == values)


def fill_mask_from_v3(dtype: np.dtype[Any], attributes: Attributes) -> Any:
    """``_FillValue`` of Zarr v3 attributes as an element; what is none, or not in xarray's form, stays as it is."""
    value = attributes[FILL_ATTRIBUTE]
    try:
        if read_as(dtype, attributes) is not None:
            return fill_element(dtype, attributes)
        return datatype_of(dtype).mask_from_v3(value)
    except (TypeError, ValueError, OverflowError, struct.error, IndexError, ManifestError):
        return value
