"""Fill values as libhdf5 converts them."""

from __future__ import annotations

from typing import Any

import numpy as np
from h5py import h5d
from manifestry.plugin import default_fill, is_variable_length

from manifestry_hdf5.objects.datatypes import ElementType
from manifestry_hdf5.objects.texts import decode_text

__all__ = ["fill_by_library"]


def fill_by_library(properties: Any, element: ElementType, identifier: Any) -> Any:
    """The fill value as libhdf5 converts it: where it converts the values too, or alone can read the message.

    Parameters
    ----------
    properties
        Creation properties of the dataset.
    identifier
        h5py's identifier of the dataset.

    Raises
    ------
    UnsupportedFeatureError
        As `fill_value`.
    """
    if element.members is not None or element.texts or properties.fill_value_defined() != h5d.FILL_VALUE_USER_DEFINED:
        return default_fill(element.dtype)
    memory, text = identifier.dtype, is_variable_length(element.dtype)
    stored = np.zeros(1 if element.shape or text else (), memory)
    properties.get_fill_value(stored)
    if text:
        raw: Any = stored[0]
        return decode_text(raw) if isinstance(raw, bytes) else ""
    return np.asarray(stored, memory.base).reshape(-1).astype(element.dtype)[0]
