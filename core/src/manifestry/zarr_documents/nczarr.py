"""What netCDF-C adds to Zarr documents (NCZarr): types of attributes, scalars, dimensions; it is no attribute of an array.

Source: netCDF-C documentation, "NCZarr" (versions 1 and 2 of the format): the members ``_nczarr_*`` of attributes, and
``_NCZARR_*`` of ``.zarray`` and ``.zgroup`` in older files. A scalar is stored as an array of one element.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

from manifestry.model.datatypes import is_number

__all__ = ["netcdf_attributes", "netcdf_dims", "netcdf_document", "of_netcdf"]

_PREFIX: Final = "_nczarr"
_LIBRARY: Final = "_NCProperties"
"""Which library made the file; hidden by netCDF-C itself."""


def of_netcdf(attributes: Mapping[str, Any]) -> bool:
    """Whether netCDF-C wrote the array of these attributes."""
    return "_nczarr_array" in attributes


def netcdf_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as netCDF-C shows them: without its own notes, numbers in the type that these say."""
    notes = {name.lower(): value for name, value in attributes.items() if name.lower().startswith(_PREFIX)}
    if not notes:
        return dict(attributes)
    noted = _member(notes.get("_nczarr_attr") or notes.get("_nczarr_attrs"), "types")
    types = noted if isinstance(noted, Mapping) else {}
    return {
        name: _typed(value, types.get(name))
        for name, value in attributes.items()
        if name.lower() not in notes and name != _LIBRARY
    }


def _typed(value: Any, code: Any) -> Any:
    """A number or a list of them in a type; anything else as it is."""
    if not isinstance(code, str) or isinstance(value, str | bool | Mapping) or value is None:
        return value
    with suppress(TypeError, ValueError, OverflowError):
        dtype = np.dtype(code).newbyteorder("=")
        if is_number(dtype):
            given = np.asarray(value)
            return given.astype(dtype)[()] if is_number(given.dtype) else value
    return value


def netcdf_dims(zarray: Mapping[str, Any], attributes: Mapping[str, Any]) -> list[str] | None:
    """The names of the dimensions of an array that has them in the notes of netCDF-C alone."""
    paths = _member(attributes.get("_nczarr_array"), "dimension_references") or _member(
        zarray.get("_NCZARR_ARRAY") or zarray.get("_nczarr_array"), "dimrefs"
    )
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        return None
    return [path.rpartition("/")[2] for path in paths]


def netcdf_document(zarray: Mapping[str, Any], attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``.zarray`` of what is a scalar in netCDF; of other arrays as it is."""
    if zarray.get("shape") == [1] and _member(attributes.get("_nczarr_array"), "scalar"):
        return {**zarray, "shape": [], "chunks": []}
    return zarray


def _member(note: Any, name: str) -> Any:
    return note.get(name) if isinstance(note, Mapping) else None
