"""Fill value message → what a missing chunk reads as (HDF5 File Format Specification, sections IV.A.2.e and IV.A.2.f)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError, default_fill

from manifestry_hdf5.objects.datatypes import ElementType
from manifestry_hdf5.objects.stored_values import TargetOf, TooManyBytesError, elements_of
from manifestry_hdf5.structures.data_objects.datatype import Datatype
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

__all__ = ["fill_value"]

type Values = np.ndarray[Any, Any]

_MAX_BYTES: Final = 64 << 20
"""What a fill value may take of the heap."""


def fill_value(
    stored: bytes, datatype: Datatype, element: ElementType, heap: GlobalHeap, target_of: TargetOf | None = None
) -> Any:
    """The fill value of a dataset as a scalar of the element type.

    Parameters
    ----------
    stored
        An element as the file has it; empty where no fill value was chosen, so that it is zero.
    target_of
        See `elements_of`.

    Raises
    ------
    UnsupportedFeatureError
        The fill value of an array datatype differs from one of its elements to the next, or it is too large.
    MalformedFileError
        It is shorter than an element, or refers to a heap that is not there.
    """
    if not stored or _never_missing(element):
        return default_fill(element.dtype)
    size = datatype.size
    if len(stored) < size:
        raise MalformedFileError(f"fill value message: {len(stored)} bytes are too few for elements of {size}")
    octets = np.frombuffer(stored, "u1", size).reshape(1, size)
    try:
        values = elements_of(octets, datatype, element, heap, limit=_MAX_BYTES, target_of=target_of)
    except TooManyBytesError:
        raise UnsupportedFeatureError(f"fill value of more than {_MAX_BYTES} bytes") from None
    return _only_value(values.reshape(-1), element)


def _never_missing(element: ElementType) -> bool:
    """Whether all elements are copied in a form that has no fill value."""
    return element.members is not None or element.texts


def _only_value(values: Values, element: ElementType) -> Any:
    if values.dtype == object:
        texts = set(values.tolist())
        if len(texts) > 1:
            raise UnsupportedFeatureError("fill value that differs inside an array datatype")
        return texts.pop()
    if element.shape and values.tobytes() != values[:1].tobytes() * len(values):
        raise UnsupportedFeatureError("fill value that differs inside an array datatype")
    return values[0].astype(element.dtype) if element.dtype.fields is None else values.astype(element.dtype)[0]
