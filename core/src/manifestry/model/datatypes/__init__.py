"""Data types and fill values: what of a numpy dtype Zarr v3 and v2 hold, and back.

A numpy dtype in native byte order is the one description of a data type in the model; where bytes are stored in another
order, the ``bytes`` codec says so. ``StringDType()`` is variable-length text and ``object`` for variable-length
bytes. Nothing outside this package asks a dtype for its letter.

=========  ================================================================================
`base`     what every data type can say of itself
`numbers`  booleans, integers, floats, complex numbers, times
`texts`    texts and bytes, of fixed and of variable length, raw bytes
`lookup`   the data type of a dtype, of Zarr's names; records, which hold others
=========  ================================================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.datatypes.base import DataType, single
from manifestry.model.datatypes.lookup import (
    ARRAY_FIELD,
    ArrayField,
    Record,
    datatype_of,
    dtype_from_v2,
    dtype_from_v3,
    stored_dtype,
)
from manifestry.model.datatypes.numbers import spell_number
from manifestry.model.datatypes.texts import VariableBytes, VariableText

__all__ = [
    "ARRAY_FIELD",
    "ArrayField",
    "DataType",
    "Record",
    "VariableBytes",
    "VariableText",
    "as_element",
    "datatype_of",
    "default_fill",
    "dtype_from_v2",
    "dtype_from_v3",
    "fill_from_v2",
    "fill_from_v3",
    "has_byte_order",
    "is_bool",
    "is_bytes",
    "is_complex",
    "is_float",
    "is_inexact",
    "is_integer",
    "is_number",
    "is_text",
    "is_time",
    "is_variable_length",
    "native",
    "same_bits",
    "single",
    "spell_number",
    "stored_dtype",
]


def is_variable_length(dtype: np.dtype[Any]) -> bool:
    """Whether chunks of this type have no fixed number of bytes."""
    return datatype_of(dtype).variable_length


def has_byte_order(dtype: np.dtype[Any]) -> bool:
    """Whether elements, or a field of theirs, are numbers or UTF-32 units of several bytes."""
    return datatype_of(dtype).has_byte_order


def is_bool(dtype: np.dtype[Any]) -> bool:
    """Whether elements are booleans."""
    return dtype.kind == "b"


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether elements are integers, with or without a sign."""
    return dtype.kind in "iu"


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether elements are real numbers of floating point."""
    return dtype.kind == "f"


def is_complex(dtype: np.dtype[Any]) -> bool:
    """Whether elements are complex numbers."""
    return dtype.kind == "c"


def is_inexact(dtype: np.dtype[Any]) -> bool:
    """Whether elements are real or complex numbers of floating point, which may be NaN."""
    return dtype.kind in "fc"


def is_bytes(dtype: np.dtype[Any]) -> bool:
    """Whether elements are bytes, of fixed or of variable length."""
    return dtype.kind in "SO"


def is_number(dtype: np.dtype[Any]) -> bool:
    """Whether elements are integers, or real or complex numbers of floating point."""
    return dtype.kind in "iufc"


def is_time(dtype: np.dtype[Any]) -> bool:
    """Whether elements are times or time differences, which may be NaT."""
    return dtype.kind in "mM"


def is_text(dtype: np.dtype[Any]) -> bool:
    """Whether elements are texts or bytes, of fixed or of variable length."""
    return dtype.kind in "OTSU"


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in native byte order."""
    return dtype if is_variable_length(dtype) else dtype.newbyteorder("=")


def default_fill(dtype: np.dtype[Any]) -> Any:
    """The value that Zarr takes where nobody chose one: zero, empty, or not-a-time."""
    return datatype_of(dtype).default()


def as_element(dtype: np.dtype[Any], value: Any) -> Any:
    """A value as a scalar of `dtype`; see `DataType.element`."""
    return datatype_of(dtype).element(value)


def fill_from_v3(dtype: np.dtype[Any], value: Any) -> Any:
    """A fill value from Zarr v3 JSON, as a scalar of `dtype`.

    Raises
    ------
    ManifestError
        The value is no fill value of this type.
    """
    try:
        return datatype_of(dtype).fill_from_v3(value)
    except (TypeError, ValueError, KeyError, IndexError, ArithmeticError) as error:
        raise ManifestError(f"{value!r} is not a fill value for {dtype}: {error}") from error


def fill_from_v2(dtype: np.dtype[Any], value: Any) -> Any:
    """A fill value from Zarr v2 JSON, as a scalar of `dtype`; null is the default of the type, as zarr-python reads it.

    Raises
    ------
    ManifestError
        The value is no fill value of this type.
    """
    if value is None:
        return default_fill(dtype)
    try:
        return datatype_of(dtype).fill_from_v2(value)
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        raise ManifestError(f"{value!r} is not a fill value for {dtype}: {error}") from error


def same_bits(mine: Any, other: Any) -> bool:
    """Whether two elements are one to the bit: 0.0 is not -0.0, a NaN is the NaN of the same payload."""
    if isinstance(mine, np.generic) and isinstance(other, np.generic):
        return mine.dtype == other.dtype and mine.tobytes() == other.tobytes()
    return type(mine) is type(other) and bool(mine == other)
