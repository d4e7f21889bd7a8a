"""Arrays that xarray unpacks from an output to another type than from the file.

JSON has no float32: ``scale_factor`` and ``add_offset`` come back as Python numbers of the same values, and by their type
xarray chooses that of the elements (xarray 2026.9, ``_choose_float_dtype``). No JSON value becomes a float32 there, so what
differs is said. Our own engine has the typed attributes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from manifestry.issues import Issue
from manifestry.model.attributes import PACKING, Attributes
from manifestry.model.datatypes import is_float, is_integer, is_number
from manifestry.model.metadata import ArrayMetadata

__all__ = ["packing_issues"]

_COMPUTABLE: Final = (np.dtype("f4"), np.dtype("f8"))


def packing_issues(metadata: ArrayMetadata, where: str) -> list[Issue]:
    """What to report of the packing of an array: the type that readers of the output unpack to, if it is another one."""
    scale, offset = (_type(metadata.attributes, name) for name in PACKING)
    if (scale is None and offset is None) or not is_number(metadata.dtype):
        return []
    source = _unpacked(metadata.dtype, scale, offset)
    output = _unpacked(metadata.dtype, _in_json(scale), _in_json(offset))
    if source == output:
        return []
    types = zip(PACKING, (scale, offset), strict=True)
    typed = " and ".join(f"{name} numpy.{dtype}" for name, dtype in types if dtype is not None)
    return [
        Issue(
            path=where,
            feature="unpacked to another type",
            message=f"xarray gives {output} for Zarr and {source} for the file: numbers in JSON have no type of their own",
            hint=f"open with decode_cf=False, make {typed}, and call xarray.decode_cf",
            severity="reported",
        )
    ]


def _type(attributes: Attributes, name: str) -> np.dtype[Any] | None:
    value = attributes.get(name)
    if value is None:
        return None
    given = np.asarray(value)
    return given.dtype if given.size == 1 and is_number(given.dtype) else None


def _in_json(dtype: np.dtype[Any] | None) -> np.dtype[Any] | None:
    if dtype is None:
        return None
    return np.dtype("f8") if is_integer(dtype) or is_float(dtype) else dtype


def _unpacked(dtype: np.dtype[Any], scale: np.dtype[Any] | None, offset: np.dtype[Any] | None) -> np.dtype[Any] | None:
    """The type that xarray unpacks elements to, by the types of what it unpacks them with."""
    if offset is None:
        return scale
    wide = is_integer(dtype) and dtype.itemsize == 4
    return scale if scale == offset and scale in _COMPUTABLE and not wide else np.dtype("f8")
