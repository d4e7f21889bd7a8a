"""Attributes of the model as xarray's own readers of files give them, so that it decodes by them what it decodes there."""

from __future__ import annotations

from typing import Any

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.attributes import PACKING, Attributes, Reference
from manifestry.model.datatypes import is_bytes
from manifestry.zarr_documents.masking import FILL_ATTRIBUTE, MASKING, fill_element, marks_nothing

__all__ = ["attributes_for_xarray"]


def attributes_for_xarray(attributes: Attributes, dtype: np.dtype[Any] | None = None) -> dict[str, Any]:
    """Attributes for `xarray.decode_cf`, still typed.

    References are the paths they point to, packing is a number and not an array of one, and the ``_FillValue`` of
    characters is one of them, not a text; what cannot be compared, as opaque elements, marks nothing.

    Parameters
    ----------
    dtype
        Of the array; None for the attributes of a group.
    """
    found = {name: value.path if isinstance(value, Reference) else value for name, value in attributes.items()}
    if dtype is None:
        return found
    for name in PACKING:
        if name in found:
            found[name] = _number(found[name])
    for name in MASKING & found.keys():
        if marks_nothing(dtype, found[name]):
            del found[name]
    if FILL_ATTRIBUTE in found and is_bytes(dtype):
        try:
            found[FILL_ATTRIBUTE] = fill_element(dtype, found)
        except (TypeError, ValueError, ManifestError):
            return found  # it marks nothing
    return found


def _number(value: Any) -> Any:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):  # of JSON, which has no such numbers
        return float(value)
    one = isinstance(value, np.ndarray | list | tuple) and np.size(np.asarray(value)) == 1
    return np.asarray(value).reshape(-1)[0] if one else value
