"""Attributes: text with a type → typed values.

Containers become mappings; those in which BES keeps the global attributes of the source become attributes of the group
again. What describes the document and not the data, and the attributes by which netCDF-4 keeps its books, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from manifestry_dmrpp.dimensions import without_mark
from manifestry_dmrpp.document import Attribute, Variable
from manifestry_dmrpp.elements import ATOMIC

__all__ = ["group_attributes", "variable_attributes"]

_GLOBAL_CONTAINERS: Final = frozenset({"HDF5_GLOBAL", "NC_GLOBAL", "HDF5_ROOT_GROUP"})
_OF_THE_DOCUMENT: Final = frozenset({"build_dmrpp_metadata", "DODS_EXTRA", "DAP4_Checksum_CRC32"})
_PLUMBING: Final = frozenset({
    "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS",
    "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict",
})  # fmt: skip
_SCALE_PLUMBING: Final = frozenset({"CLASS", "NAME"})


def group_attributes(attributes: Iterable[Attribute]) -> dict[str, Any]:
    """The attributes of a group."""
    values: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.type == "Container" and attribute.name in _GLOBAL_CONTAINERS:
            values |= _visible_values(attribute.members)
    return values | _visible_values(a for a in attributes if a.name not in _GLOBAL_CONTAINERS)


def variable_attributes(variable: Variable, dtype: np.dtype[Any], dims: Iterable[str]) -> dict[str, Any]:
    """The attributes of a variable; its Maps that are not dimensions as ``coordinates``, as CF has them.

    The handler of BES that renames variables for CF notes their names in the data file; where it renamed nothing, the
    notes are not attributes of the variable.
    """
    values = _visible_values(variable.attributes)
    for note, unchanged in (("origname", variable.name), ("fullnamepath", f"/{variable.path}")):
        if isinstance(values.get(note), str) and without_mark(values[note]) == unchanged:
            del values[note]
    if "_FillValue" in values:
        values["_FillValue"] = _to_type_of_array(values["_FillValue"], dtype)
    others = _other_coordinates(variable, dims)
    if others and "coordinates" not in values:
        values["coordinates"] = " ".join(others)
    return values


def _other_coordinates(variable: Variable, dims: Iterable[str]) -> list[str]:
    """Names of the Maps that are not the coordinate variables of dimensions; full paths where in another group."""
    dimensions = set(dims)
    names = []
    for path in variable.maps:
        group, _, name = path.rpartition("/")
        if name not in dimensions:
            in_same_group = not path.startswith("/") or group.strip("/") == variable.group.path
            names.append(name if in_same_group else path)
    return names


def _to_type_of_array(value: Any, dtype: np.dtype[Any]) -> Any:
    """A number in the type of an array, where that changes nothing; else as it is."""
    if not isinstance(value, np.integer | np.floating) or not issubclass(dtype.type, np.integer | np.floating):
        return value
    with np.errstate(all="ignore"):
        converted = value.astype(dtype)
    return converted if converted == value or (np.isnan(converted) and np.isnan(value)) else value


def _visible_values(attributes: Iterable[Attribute]) -> dict[str, Any]:
    values = {a.name: _value(a) for a in attributes if a.name not in _PLUMBING | _OF_THE_DOCUMENT}
    if values.get("CLASS") == "DIMENSION_SCALE":
        return {name: value for name, value in values.items() if name not in _SCALE_PLUMBING}
    return values


def _value(attribute: Attribute) -> Any:
    """One value as a scalar, several as an array or a list; what is not a number of its type stays text."""
    if attribute.type == "Container":
        return {member.name: _value(member) for member in attribute.members}
    code = ATOMIC.get(attribute.type)
    if code is None or attribute.type == "Char":
        values = attribute.values
        return values[0] if len(values) == 1 else values or ""
    dtype = np.dtype(code)
    numbers = _parse_numbers(attribute.values, dtype)
    if numbers is None:
        return attribute.values[0] if len(attribute.values) == 1 else attribute.values
    return numbers[0] if numbers.size == 1 else numbers


def _parse_numbers(texts: list[str], dtype: np.dtype[Any]) -> np.ndarray[Any, Any] | None:
    """The texts as numbers of a type, or None when one of them is not a number."""
    try:
        if issubclass(dtype.type, np.floating):
            return np.array([float(text) for text in texts], "f8").astype(dtype)
        return np.array([int(text) for text in texts], dtype)
    except (ValueError, OverflowError):
        return None
