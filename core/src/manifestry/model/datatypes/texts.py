"""Texts and bytes, of fixed and of variable length, and raw bytes."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.datatypes.base import DataType, check_integer, single

__all__ = ["FixedBytes", "FixedText", "Raw", "VariableBytes", "VariableText", "sized_from_v3"]


class _Sized(DataType):
    """Elements of a fixed number of bytes."""

    name: ClassVar[str]
    unit: ClassVar[int] = 1
    """Bytes of which the length is a multiple."""
    code: ClassVar[str]
    """numpy's letter."""

    def to_v3(self) -> Any:
        if not self.dtype.itemsize:
            raise ManifestError(f"Zarr has no data type for numpy's {self.dtype!r}: its elements have no bytes")
        return {"name": self.name, "configuration": {"length_bytes": self.dtype.itemsize}}

    def _as_scalar(self, value: Any, kinds: str) -> np.ndarray[Any, Any]:
        given = np.asarray(value)
        if given.shape:
            raise ValueError(f"expected one value, not {given.size}")
        if given.dtype.kind not in kinds:
            raise TypeError(f"values of {given.dtype} are not converted")
        return given

    def _convert(self, value: Any) -> Any:
        given = self._as_scalar(value, self.code)
        element = given.astype(self.dtype)
        if not element == given:
            raise ValueError("conversion would change it")
        return element[()]


class FixedText(_Sized):
    """UTF-32 of a fixed number of characters."""

    name, unit, code = "fixed_length_utf32", 4, "U"

    @property
    def has_byte_order(self) -> bool:
        return True

    def fill_to_v3(self, value: Any) -> Any:
        return str(np.asarray(value, self.dtype)[()])

    def fill_from_v3(self, value: Any) -> Any:
        return self.element(value)

    def fill_from_v2(self, value: Any) -> Any:
        return self.default() if value == 0 else self.element(value)  # 0: zarr-python 2, where nobody chose one


class FixedBytes(_Sized):
    """Bytes of a fixed number, filled up with NULs."""

    name, code = "null_terminated_bytes", "S"

    def fill_to_v3(self, value: Any) -> Any:
        return base64.b64encode(bytes(np.asarray(value, self.dtype)[()])).decode()

    def fill_from_v3(self, value: Any) -> Any:
        return self.element(base64.b64decode(value, validate=True))

    def fill_from_v2(self, value: Any) -> Any:
        return bytes_from_v2(self, value)

    def exact_element(self, value: Any) -> Any:
        # Parsers give attributes of characters as texts, and netCDF has arrays of single characters only.
        text = isinstance(value, str) and self.dtype.itemsize == 1
        return super().exact_element(value.encode("utf-8") if text else value)


class Raw(_Sized):
    """Bytes without a meaning."""

    name, code = "raw_bytes", "V"

    def fill_to_v3(self, value: Any) -> Any:
        return base64.b64encode(np.asarray(value, self.dtype)[()].tobytes()).decode()

    def fill_from_v3(self, value: Any) -> Any:
        return self.element(base64.b64decode(value, validate=True))

    def fill_from_v2(self, value: Any) -> Any:
        return bytes_from_v2(self, value)

    def _convert(self, value: Any) -> Any:
        raw = self._as_scalar(value, "VS").tobytes()
        if len(raw) != self.dtype.itemsize:
            raise ValueError(f"it has {len(raw)} bytes, expected {self.dtype.itemsize}")
        return np.frombuffer(raw, self.dtype)[0]


def bytes_from_v2(kind: DataType, value: Any) -> Any:
    """Bytes and records are base64; zarr-python 2 wrote 0 and the empty text for "all zero"."""
    if value in (0, ""):
        return kind.default()
    data = base64.b64decode(value, validate=True)
    if len(data) > kind.dtype.itemsize:
        raise ValueError(f"it has {len(data)} bytes, expected at most {kind.dtype.itemsize}")
    return np.frombuffer(data.ljust(kind.dtype.itemsize, b"\0"), kind.dtype)[0]


class _Variable(DataType):
    """Elements of variable length."""

    variable_length = True

    def to_v2(self, byteorder: str) -> Any:  # noqa: ARG002 as its siblings
        return "|O"

    def same(self, a: Any, b: Any) -> bool:
        return bool(a == b)


class VariableText(_Variable):
    """Texts of any length: numpy's ``StringDType``."""

    object_codec = "vlen-utf8"

    def to_v3(self) -> Any:
        return "string"

    def default(self) -> Any:
        return ""

    def fill_to_v3(self, value: Any) -> Any:
        return str(value)

    def fill_from_v3(self, value: Any) -> Any:
        return self.element(value)

    def fill_from_v2(self, value: Any) -> Any:
        return "" if value == 0 else self.element(value)  # 0: zarr-python 2, where nobody chose one

    def _convert(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"a {type(value).__name__}")
        return str(value)

    def exact_element(self, value: Any) -> Any:
        return self._convert(value.decode("utf-8") if isinstance(value, bytes) else single(value)[()])


class VariableBytes(_Variable):
    """Bytes of any length: numpy's ``object``."""

    object_codec = "vlen-bytes"

    def to_v3(self) -> Any:
        return "variable_length_bytes"

    def default(self) -> Any:
        return b""

    def fill_to_v3(self, value: Any) -> Any:
        return base64.b64encode(bytes(value)).decode()

    def fill_from_v3(self, value: Any) -> Any:
        return base64.b64decode(value, validate=True)

    def fill_from_v2(self, value: Any) -> Any:
        return b"" if value == 0 else base64.b64decode(value, validate=True)

    def _convert(self, value: Any) -> Any:
        if not isinstance(value, bytes):
            raise TypeError(f"a {type(value).__name__}")
        return bytes(value)

    def exact_element(self, value: Any) -> Any:
        return self._convert(value)


def sized_from_v3(name: str, options: Mapping[str, Any]) -> np.dtype[Any] | None:
    """The numpy dtype of a type with a length by its name in Zarr v3, None for other names."""
    kind = next((kind for kind in (FixedText, FixedBytes, Raw) if kind.name == name), None)
    if kind is None:
        return None
    length = check_integer(options["length_bytes"])
    if length < kind.unit or length % kind.unit:
        raise ValueError(f"length_bytes is {length}, expected a positive multiple of {kind.unit}")
    return np.dtype(f"{kind.code}{length // kind.unit}")
