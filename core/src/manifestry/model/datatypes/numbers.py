"""Booleans, integers, floats, complex numbers, times."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any, Final

import numpy as np

from manifestry.model.datatypes.base import DataType, check_integer

__all__ = ["BY_NAME", "Boolean", "Complex", "Float", "Integer", "Time", "spell_number", "time_from_v3"]

_NAMES: Final = {
    np.dtype(code): name
    for name, code in {
        "bool": "?", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
        "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
        "float16": "f2", "float32": "f4", "float64": "f8", "complex64": "c8", "complex128": "c16",
    }.items()
}  # fmt: skip
BY_NAME: Final = {name: dtype for dtype, name in _NAMES.items()}
"""numpy dtypes by their names in Zarr v3."""


class _Number(DataType):
    """What all numbers have in common."""

    @property
    def has_byte_order(self) -> bool:
        return self.dtype.itemsize > 1

    def to_v3(self) -> Any:
        return _NAMES[self.dtype.newbyteorder("=")]

    def _convert(self, value: Any) -> Any:
        if type(value) is self.dtype.type:
            return value
        given = np.asarray(value)
        if given.shape:
            raise ValueError(f"expected one value, not {given.size}")
        if given.dtype.kind not in "biufc":
            raise TypeError(f"values of {given.dtype} are not converted")
        with np.errstate(over="raise", invalid="raise"):
            element = given.astype(self.dtype, casting="unsafe" if given.dtype.kind != "c" else "same_kind")
        if not self._may_round and not element == given:
            raise ValueError("conversion would change it")
        return element[()]

    _may_round = False

    def fill_from_v2(self, value: Any) -> Any:
        return self.element(value)

    def fill_from_v3(self, value: Any) -> Any:
        return self.element(value)

    def mask_to_v3(self, element: Any) -> Any:
        return element.item()

    def mask_from_v3(self, value: Any) -> Any:
        return self.element(value)


class Boolean(_Number):
    """``bool``."""

    def fill_to_v3(self, value: Any) -> Any:
        return bool(np.asarray(value, self.dtype))


class Integer(_Number):
    """``int8`` to ``uint64``."""

    def fill_to_v3(self, value: Any) -> Any:
        return int(np.asarray(value, self.dtype))

    def fill_from_v2(self, value: Any) -> Any:
        return self.element(int(value) if isinstance(value, str) else value)


class _MayBeMissing(DataType):
    """What has NaN or NaT, each equal to itself."""

    def _equal(self, item: np.ndarray[Any, Any], element: np.ndarray[Any, Any]) -> bool:
        return bool(np.array_equal(item, element, equal_nan=item.dtype.kind in "fcMm"))


class _Inexact(_MayBeMissing, _Number):
    """Numbers that may be rounded, and may be NaN."""

    _may_round = True


class Float(_Inexact):
    """``float16``, ``float32``, ``float64``."""

    def fill_to_v3(self, value: Any) -> Any:
        scalar = np.asarray(value, self.dtype)[()]
        number = float(scalar)
        if not math.isnan(number):
            return spell_number(number)
        bits = np.dtype(f"u{self.dtype.itemsize}")
        unsigned = int(np.asarray(scalar).astype(self.dtype.newbyteorder("=")).view(bits))
        usual = int(np.asarray(np.nan, self.dtype.newbyteorder("=")).view(bits))
        return "NaN" if unsigned == usual else f"0x{unsigned:0{self.dtype.itemsize * 2}x}"

    def fill_to_v2(self, value: Any) -> Any:
        return spell_number(float(np.asarray(value, self.dtype)))

    def fill_from_v3(self, value: Any) -> Any:
        native = self.dtype.newbyteorder("=")
        if isinstance(value, str) and value[:2].lower() == "0x":
            return np.array(int(value, 16), f"u{native.itemsize}").view(native)[()]
        if isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
            raise ValueError(f"{value!r} is not a number")
        return self.fill_from_v2(value)

    def fill_from_v2(self, value: Any) -> Any:
        with np.errstate(over="raise"):
            return np.array(float(value), "f8").astype(self.dtype.newbyteorder("="))[()]

    def mask_to_v3(self, element: Any) -> Any:
        return _float64_base64(float(element))

    def mask_from_v3(self, value: Any) -> Any:
        return self.element(_float64_from_base64(value))


class Complex(_Inexact):
    """``complex64``, ``complex128``: pairs of floats."""

    @property
    def _part(self) -> Float:
        return Float(np.dtype(f"f{self.dtype.itemsize // 2}"))

    def fill_to_v3(self, value: Any) -> Any:
        scalar = np.asarray(value, self.dtype)[()]
        return [self._part.fill_to_v3(scalar.real), self._part.fill_to_v3(scalar.imag)]

    def fill_to_v2(self, value: Any) -> Any:
        scalar = np.asarray(value, self.dtype)[()]
        return [self._part.fill_to_v2(scalar.real), self._part.fill_to_v2(scalar.imag)]

    def fill_from_v3(self, value: Any) -> Any:
        return self._join(self._part.fill_from_v3(value[0]), self._part.fill_from_v3(value[1]))

    def fill_from_v2(self, value: Any) -> Any:
        real, imaginary = value if isinstance(value, list) else (value, 0.0)
        return self._join(self._part.fill_from_v2(real), self._part.fill_from_v2(imaginary))

    def _join(self, real: Any, imaginary: Any) -> Any:
        """The number of two parts, each to the bit."""
        return np.array([real, imaginary], self._part.dtype).view(self.dtype.newbyteorder("="))[0]

    def mask_to_v3(self, element: Any) -> Any:
        return [_float64_base64(float(element.real)), _float64_base64(float(element.imag))]

    def mask_from_v3(self, value: Any) -> Any:
        return self.element(complex(_float64_from_base64(value[0]), _float64_from_base64(value[1])))


class Time(_MayBeMissing):
    """``numpy.datetime64`` and ``numpy.timedelta64``: counts of a unit."""

    _V3: Final = {"M": "numpy.datetime64", "m": "numpy.timedelta64"}

    @property
    def has_byte_order(self) -> bool:
        return True

    def to_v3(self) -> Any:
        unit, count = np.datetime_data(self.dtype)
        return {"name": self._V3[self.dtype.kind], "configuration": {"unit": unit, "scale_factor": count}}

    def default(self) -> Any:
        return np.array(np.iinfo("i8").min).view(self.dtype.newbyteorder("="))[()]  # NaT; its text needs a unit

    def fill_to_v3(self, value: Any) -> Any:
        return int(np.asarray(value, self.dtype)[()].view("i8"))

    def fill_from_v3(self, value: Any) -> Any:
        if isinstance(value, str):
            return np.array(value, self.dtype)[()]
        return np.array(check_integer(value), "i8").view(self.dtype)[()]

    def fill_from_v2(self, value: Any) -> Any:
        return np.array(value if isinstance(value, int) else str(value)).astype(self.dtype)[()]

    def _convert(self, value: Any) -> Any:
        given = np.asarray(value)
        if given.shape:
            raise ValueError(f"expected one value, not {given.size}")
        if given.dtype.kind not in (self.dtype.kind, "i"):
            raise TypeError(f"values of {given.dtype} are not converted")
        with np.errstate(over="raise", invalid="raise"):
            element = given.astype(self.dtype, casting="unsafe")
        if given.dtype.kind == "i":
            same = int(element.view("i8")) == int(given)
        else:
            same = bool(element == given) or bool(np.isnat(element) and np.isnat(given))
        if not same:
            raise ValueError("conversion would change it")
        return element[()]


def time_from_v3(name: str, options: dict[str, Any]) -> np.dtype[Any] | None:
    """The numpy dtype of a time by its name in Zarr v3, None for other names."""
    kind = next((kind for kind, known in Time._V3.items() if known == name), None)  # noqa: SLF001 of this module
    if kind is None:
        return None
    count, unit = check_integer(options.get("scale_factor", 1)), str(options["unit"])
    return np.dtype(f"{kind}8" if unit == "generic" else f"{kind}8[{count}{unit}]")


def spell_number(number: float) -> float | str:
    """A number in JSON: NaN and the infinities are the texts that Zarr has for them."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _float64_base64(value: float) -> str:
    return base64.b64encode(struct.pack("<d", value)).decode()


def _float64_from_base64(value: Any) -> float:
    return float(value if isinstance(value, int | float) else struct.unpack("<d", base64.b64decode(value))[0])
