"""Attributes: text with a type → typed values.

Containers become mappings; those in which BES keeps the global attributes of the source become attributes of the group
again. What describes the document and not the data, and the attributes by which netCDF-4 keeps its books, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from manifestry.model.datatypes import is_float, is_integer

from manifestry_dmrpp.document import Attribute, Variable
from manifestry_dmrpp.elements import ATOMIC

__all__ = ["coordinates", "group_attributes", "own_type", "variable_attributes"]

_GLOBAL_CONTAINERS: Final = frozenset({"HDF5_GLOBAL", "NC_GLOBAL", "HDF5_ROOT_GROUP"})
_OF_THE_DOCUMENT: Final = frozenset({"build_dmrpp_metadata", "DODS_EXTRA", "DAP4_Checksum_CRC32"})
_PLUMBING: Final = frozenset({
    "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS",
    "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict",
})  # fmt: skip
_SCALE_PLUMBING: Final = frozenset({"CLASS", "NAME"})


def group_attributes(attributes: Iterable[Attribute]) -> dict[str, Any]:
    """The attributes of a group."""
    found: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.type == "Container" and attribute.name in _GLOBAL_CONTAINERS:
            found |= _visible(attribute.members)
    return found | _visible(a for a in attributes if a.name not in _GLOBAL_CONTAINERS)


def variable_attributes(variable: Variable, dtype: np.dtype[Any], dims: Iterable[str]) -> dict[str, Any]:
    """The attributes of a variable; its Maps that are no dimensions as ``coordinates``, as CF has them.

    The handler of BES that renames variables for CF notes their names in the data file; where it renamed nothing, the
    notes are no attributes of the variable.
    """
    found = _visible(variable.attributes)
    for note, own in (("origname", variable.name), ("fullnamepath", f"/{variable.path}")):
        if found.get(note) == own:
            del found[note]
    if "_FillValue" in found:
        found["_FillValue"] = own_type(found["_FillValue"], dtype)
    others = coordinates(variable, dims)
    if others and "coordinates" not in found:
        found["coordinates"] = " ".join(others)
    return found


def coordinates(variable: Variable, dims: Iterable[str]) -> list[str]:
    """Names of the Maps that are not the coordinate variables of dimensions; full paths where in another group."""
    known = set(dims)
    found = []
    for path in variable.maps:
        group, _, name = path.rpartition("/")
        if name not in known:
            near = not path.startswith("/") or group.strip("/") == variable.group.path
            found.append(name if near else path)
    return found


def own_type(value: Any, dtype: np.dtype[Any]) -> Any:
    """A number in the type of an array, where that changes nothing; else as it is."""
    if not isinstance(value, np.integer | np.floating) or not (is_integer(dtype) or is_float(dtype)):
        return value
    with np.errstate(all="ignore"):
        own = value.astype(dtype)
    return own if own == value or (np.isnan(own) and np.isnan(value)) else value


def _visible(attributes: Iterable[Attribute]) -> dict[str, Any]:
    found = {a.name: _value(a) for a in attributes if a.name not in _PLUMBING | _OF_THE_DOCUMENT}
    if found.get("CLASS") == "DIMENSION_SCALE":
        return {name: value for name, value in found.items() if name not in _SCALE_PLUMBING}
    return found


def _value(attribute: Attribute) -> Any:
    """One value as a scalar, several as an array or a list; what is no number of its type stays text."""
    if attribute.type == "Container":
        return {member.name: _value(member) for member in attribute.members}
    code = ATOMIC.get(attribute.type)
    if code is None or attribute.type == "Char":
        values = attribute.values
        return values[0] if len(values) == 1 else values or ""
    dtype = np.dtype(code)
    numbers = _numbers(attribute.values, dtype)
    if numbers is None:
        return attribute.values[0] if len(attribute.values) == 1 else attribute.values
    return numbers[0] if numbers.size == 1 else numbers


def _numbers(texts: list[str], dtype: np.dtype[Any]) -> np.ndarray[Any, Any] | None:
    """The texts as numbers of a type, or None when one of them is none."""
    try:
        if is_float(dtype):
            return np.array([float(text) for text in texts], "f8").astype(dtype)
        return np.array([int(text) for text in texts], dtype)
    except (ValueError, OverflowError):
        return None
