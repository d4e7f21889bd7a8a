"""Fill value message → what a missing chunk reads as (HDF5 File Format Specification, section IV.A.2.f)."""

from __future__ import annotations

from typing import Any

import numpy as np
from h5py import h5d
from manifestry.plugin import UnsupportedFeatureError, default_fill, is_variable_length

from manifestry_hdf5.objects.attributes import decode_text
from manifestry_hdf5.objects.datatypes import ElementType

__all__ = ["fill_value", "is_undefined"]


def is_undefined(properties: Any) -> bool:
    """Whether the file says that elements which were never written have no value at all."""
    return bool(properties.fill_value_defined() == h5d.FILL_VALUE_UNDEFINED)


def fill_value(properties: Any, element: ElementType, datatype: Any) -> Any:
    """The fill value of a dataset as a scalar of the element type: zero where none was chosen.

    Parameters
    ----------
    properties
        Creation properties of the dataset.
    datatype
        The datatype of the dataset.

    Raises
    ------
    UnsupportedFeatureError
        The fill value of an array datatype differs from one of its elements to the next.
    """
    copied = element.members is not None or element.texts  # no element of these is ever missing
    if copied or properties.fill_value_defined() != h5d.FILL_VALUE_USER_DEFINED:
        return default_fill(element.dtype)
    memory = datatype.dtype
    text = is_variable_length(element.dtype)  # sequences have returned above
    stored = np.zeros(1 if element.shape or text else (), memory)
    properties.get_fill_value(stored)
    if text:
        raw: Any = stored[0]
        return decode_text(raw) if isinstance(raw, bytes) else ""
    values = np.asarray(stored, memory.base).reshape(-1)
    if element.shape and values.tobytes() != values[:1].tobytes() * len(values):
        raise UnsupportedFeatureError("fill value that differs inside an array datatype")
    return values[0].astype(element.dtype) if element.dtype.fields is None else values.astype(element.dtype)[0]
