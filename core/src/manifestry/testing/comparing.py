"""Comparing arrays to the bit."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from manifestry.model.datatypes import is_variable_length

__all__ = ["Values", "assert_identical"]

type Values = NDArray[Any]


def assert_identical(found: Values, expected: Values, what: str = "") -> None:
    """Fail unless two arrays have one data type, one shape and one value to the bit."""
    assert found.dtype == expected.dtype, f"{what}: {found.dtype} instead of {expected.dtype}"
    assert found.shape == expected.shape, f"{what}: shape {found.shape} instead of {expected.shape}"
    if is_variable_length(expected.dtype):
        assert found.tolist() == expected.tolist(), what
    else:
        same = found.tobytes() == expected.tobytes()
        assert same, f"{what}: first difference at element {_first_difference(found, expected)}"


def _first_difference(found: Values, expected: Values) -> int:
    width = expected.dtype.itemsize
    pairs = zip(found.tobytes(), expected.tobytes(), strict=True)
    return next(i for i, (a, b) in enumerate(pairs) if a != b) // width
