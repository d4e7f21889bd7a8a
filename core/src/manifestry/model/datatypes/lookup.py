"""The data type of a numpy dtype, of a Zarr v3 ``data_type`` and of a Zarr v2 ``dtype``; records, which hold others.

Sources: Zarr v3 core specification, "Data types", and for the extension types (strings, bytes, structs, times) the names
that zarr-python 3.4 reads and writes; Zarr storage specification version 2, "Data type encoding".
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.datatypes.base import DataType, check_integer
from manifestry.model.datatypes.numbers import BY_NAME, Boolean, Complex, Float, Integer, Time, time_from_v3
from manifestry.model.datatypes.texts import (
    FixedBytes,
    FixedText,
    Raw,
    VariableBytes,
    VariableText,
    bytes_from_v2,
    sized_from_v3,
)

__all__ = [
    "ARRAY_FIELD",
    "ArrayField",
    "Record",
    "Unnamed",
    "datatype_of",
    "dtype_from_v2",
    "dtype_from_v3",
    "stored_dtype",
]

ARRAY_FIELD: Final = "manifestry.array"
"""Data type of a field that is an array: ``{"data_type": ..., "shape": [...]}``; its fill value is a flat list."""

_FAMILIES: Final[Mapping[str, Callable[[np.dtype[Any]], DataType]]] = {
    "b": Boolean, "i": Integer, "u": Integer, "f": Float, "c": Complex, "M": Time, "m": Time, "U": FixedText,
    "S": FixedBytes, "V": Raw, "T": VariableText, "O": VariableBytes,
}  # fmt: skip


_SHARED: Final = {dtype: _FAMILIES[dtype.kind](dtype) for dtype in BY_NAME.values()}
"""Of the dtypes of which numpy has one object each; of others every array keeps its own, so that trees pickle alike."""


def datatype_of(dtype: np.dtype[Any]) -> DataType:
    """What is known of the data type of a numpy dtype."""
    shared = _SHARED.get(dtype)
    if shared is not None:
        return shared
    if dtype.subdtype is not None:
        return ArrayField(dtype)
    if dtype.fields is not None:
        return Record(dtype)
    family = _FAMILIES.get(dtype.kind)
    # Types of extensions of numpy (bfloat16) have the letters of others.
    named = dtype.newbyteorder("=") in _SHARED if dtype.kind in "biufc" else dtype.kind != "V" or dtype.type is np.void
    return Unnamed(dtype) if family is None or not named else family(dtype)


class Unnamed(DataType):
    """A type that Zarr has no name for: long double, bfloat16 and other types of extensions of numpy."""

    @property
    def has_byte_order(self) -> bool:
        return self.dtype.itemsize > 1

    def _refusal(self) -> ManifestError:
        return ManifestError(f"Zarr has no data type for numpy's {self.dtype!r}")

    def to_v3(self) -> Any:
        raise self._refusal()

    def to_v2(self, byteorder: str) -> Any:  # noqa: ARG002 as its siblings
        raise self._refusal()

    def fill_to_v3(self, value: Any) -> Any:  # noqa: ARG002 as above
        raise self._refusal()

    def fill_from_v3(self, value: Any) -> Any:  # noqa: ARG002 as above
        raise self._refusal()

    def fill_from_v2(self, value: Any) -> Any:  # noqa: ARG002 as above
        raise self._refusal()

    def _convert(self, value: Any) -> Any:
        return np.asarray(value).astype(self.dtype)[()]


class Record(DataType):
    """Packed records of named fields (``struct``)."""

    @property
    def _fields(self) -> dict[str, DataType]:
        return {name: datatype_of(self.dtype[name]) for name in self.dtype.names or ()}

    @property
    def has_byte_order(self) -> bool:
        return any(kind.has_byte_order for kind in self._fields.values())

    @property
    def needs_endian(self) -> bool:
        # As soon as a field has several bytes, even a text.
        return any(self.dtype[name].itemsize > 1 for name in self.dtype.names or ())

    @property
    def package(self) -> str:  # type: ignore[override]
        return next(filter(None, (kind.package for kind in self._fields.values())), "")

    def to_v3(self) -> Any:
        packed = 0
        fields = []
        for name, kind in self._fields.items():
            assert self.dtype.fields is not None
            offset = self.dtype.fields[name][1]
            if offset != packed:
                raise ManifestError(
                    f"Zarr structs have no padding, and field {name!r} is at byte {offset}, not {packed}"
                )
            packed += kind.dtype.itemsize
            fields.append({"name": name, "data_type": kind.to_v3()})
        if packed != self.dtype.itemsize:
            late = self.dtype.itemsize - packed
            raise ManifestError(f"Zarr structs have no padding, and this one has {late} bytes after its last field")
        return {"name": "struct", "configuration": {"fields": fields}}

    def to_v2(self, byteorder: str) -> Any:
        self.to_v3()  # refuses what Zarr cannot name
        return [[name, kind.to_v2(byteorder)] for name, kind in self._fields.items()]

    def fill_to_v3(self, value: Any) -> Any:
        record = np.asarray(value, self.dtype)[()]
        return {name: kind.fill_to_v3(record[name]) for name, kind in self._fields.items()}

    def fill_from_v3(self, value: Any) -> Any:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value), self.dtype)[0]
        return np.array(tuple(kind.fill_from_v3(value[n]) for n, kind in self._fields.items()), self.dtype)[()]

    def fill_to_v2(self, value: Any) -> Any:
        return base64.b64encode(np.asarray(value, self.dtype).tobytes()).decode()

    def fill_from_v2(self, value: Any) -> Any:
        return bytes_from_v2(self, value)

    def _convert(self, value: Any) -> Any:
        given = np.asarray(value, self.dtype)
        if given.shape:
            raise ValueError(f"expected one value, not {given.size}")
        if not isinstance(value, tuple | np.void | np.ndarray):
            raise TypeError("a record needs one value for each field")
        return given[()]


class ArrayField(DataType):
    """A field of a record that is an array: a data type of ours, which Zarr v2 has not."""

    package = "manifestry-codecs"

    @property
    def _base(self) -> DataType:
        return datatype_of(self.dtype.base)

    @property
    def has_byte_order(self) -> bool:
        return self._base.has_byte_order

    def to_v3(self) -> Any:
        shape = list(self.dtype.shape)
        return {"name": ARRAY_FIELD, "configuration": {"data_type": self._base.to_v3(), "shape": shape}}

    def to_v2(self, byteorder: str) -> Any:  # noqa: ARG002 as its siblings
        raise ManifestError("Zarr v2 cannot express fields that are arrays; Zarr v3 can")

    def fill_to_v3(self, value: Any) -> Any:
        return [self._base.fill_to_v3(element) for element in np.asarray(value, self.dtype.base).reshape(-1)]

    def fill_from_v3(self, value: Any) -> Any:
        found = [self._base.fill_from_v3(item) for item in value]
        return np.array(found, self.dtype.base).reshape(self.dtype.shape)

    def fill_from_v2(self, value: Any) -> Any:
        return bytes_from_v2(self, value)

    def _convert(self, value: Any) -> Any:
        return np.asarray(value, self.dtype.base).reshape(self.dtype.shape)


def dtype_from_v3(data_type: Any) -> np.dtype[Any]:
    """The numpy dtype of a Zarr v3 ``data_type``.

    Raises
    ------
    ManifestError
        The name is not known here.
    """
    try:
        found = _from_name(data_type) if isinstance(data_type, str) else _from_object(data_type)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"{_shorten(data_type)} is not a Zarr data type: {_shorten(error)}") from error
    if found is None:
        raise ManifestError(f"unknown Zarr data type {_shorten(data_type)}")
    return found


def _shorten(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) < 200 else text[:200] + "…"


def _from_name(name: str) -> np.dtype[Any] | None:
    if name == "string":
        return np.dtypes.StringDType()
    if name == "variable_length_bytes":
        return np.dtype(object)
    if name[:1] == "r" and name[1:].isdigit() and int(name[1:]) % 8 == 0:  # core specification: r8, r16, ...
        return np.dtype(f"V{int(name[1:]) // 8}")
    return BY_NAME.get(name)


def _from_object(data_type: Mapping[str, Any]) -> np.dtype[Any] | None:
    name, options = data_type["name"], data_type.get("configuration") or {}
    if name in ("struct", "structured"):
        fields = [(f["name"], f["data_type"]) if isinstance(f, Mapping) else (f[0], f[1]) for f in options["fields"]]
        if not fields:
            raise ValueError("a struct needs at least one field")
        return np.dtype([(str(field), _field_from_v3(kind)) for field, kind in fields])
    found = sized_from_v3(name, options) or time_from_v3(name, options)
    return _from_name(str(name)) if found is None and not options else found


def _field_from_v3(data_type: Any) -> np.dtype[Any]:
    if not isinstance(data_type, Mapping) or data_type["name"] != ARRAY_FIELD:
        return dtype_from_v3(data_type)
    options = data_type["configuration"]
    return np.dtype((dtype_from_v3(options["data_type"]), tuple(map(check_integer, options["shape"]))))


def dtype_from_v2(text: Any, object_codec: str = "") -> tuple[np.dtype[Any], str]:
    """The numpy dtype in native byte order and the stored byte order of a ``.zarray``'s ``dtype``.

    Parameters
    ----------
    object_codec
        Id of the filter that makes bytes of objects, for ``"|O"``.

    Returns
    -------
    dtype, byteorder
        `byteorder` is ``"<"`` or ``">"``; types without one have ``"<"``.

    Raises
    ------
    ManifestError
        There is no such type, or the fields of a record differ in byte order.
    """
    if text == "|O":
        known: dict[str, np.dtype[Any]] = {"vlen-utf8": np.dtypes.StringDType(), "vlen-bytes": np.dtype(object)}
        if object_codec not in known:
            raise ManifestError(
                f"objects encoded by {object_codec or 'no codec'} cannot be read; expected vlen-utf8 or vlen-bytes"
            )
        return known[object_codec], "<"
    stored = stored_dtype(text)
    orders = {order for order in _byteorders(stored) if order != "|"}
    if len(orders) > 1:
        raise ManifestError(f"{text!r}: all fields must have the same byte order")
    native = stored.newbyteorder("=")
    datatype_of(native).to_v3()
    return native, orders.pop() if orders else "<"


def stored_dtype(text: Any) -> np.dtype[Any]:
    """The numpy dtype, in stored byte order, of a Zarr v2 ``dtype`` that is not ``"|O"``.

    Raises
    ------
    ManifestError
        There is no such type.
    """
    try:
        if isinstance(text, list):
            found = np.dtype([(name, stored_dtype(kind)) for name, kind in text])
            named = [name for name, _ in text] == list(found.names or ())  # numpy gives names to fields without one
        else:
            found = np.dtype(text if isinstance(text, str) else [text])  # numpy has a type for None, not for [None]
            named = found.fields is None
    except (TypeError, ValueError, SyntaxError) as error:
        raise ManifestError(f"unknown Zarr v2 data type {text!r}: {error}") from error
    if not named or found.hasobject or not found.itemsize:
        raise ManifestError(f"unknown Zarr v2 data type {text!r}")
    return found


def _byteorders(dtype: np.dtype[Any]) -> list[str]:
    if dtype.fields is None:
        return [dtype.str[0]]
    return [order for name in dtype.names or () for order in _byteorders(dtype[name])]
