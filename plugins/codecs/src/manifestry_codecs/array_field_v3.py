"""A data type for zarr-python: fields of a struct that are arrays, as compound types of HDF5 have them.

Zarr's ``struct`` describes each field by a data type; none of them is an array. This one is, and is used nowhere but
in a struct::

    {"name": "manifestry.array", "configuration": {"data_type": "float32", "shape": [2, 3]}}

Elements are stored one after the other in C order, as numpy stores a field of that shape. A fill value is the flat list
of the fill values of the elements. zarr-python finds the class in the entry point group ``zarr.data_type``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from zarr.core.dtype.common import HasItemSize
from zarr.dtype import ZDType, data_type_registry
from zarr.errors import DataTypeValidationError

__all__ = ["ArrayField"]


@dataclass(frozen=True, kw_only=True)
class ArrayField(ZDType[Any, Any], HasItemSize):
    """A field that is an array. Zarr's ``bytes`` codec asks for its size to know whether the struct has a byte order.

    Attributes
    ----------
    element
        Data type of the elements.
    shape
        Lengths of the dimensions.
    """

    dtype_cls: ClassVar[Any] = np.dtypes.VoidDType
    _zarr_v3_name: ClassVar[str] = "manifestry.array"
    element: ZDType[Any, Any]
    shape: tuple[int, ...]

    @classmethod
    def from_native_dtype(cls, dtype: np.dtype[Any]) -> Self:
        """The data type of a numpy dtype that has a shape."""
        if dtype.subdtype is None:
            raise DataTypeValidationError(f"{dtype} has no shape: a field must be an array")
        return cls(element=data_type_registry.match_dtype(dtype.base), shape=dtype.shape)

    def to_native_dtype(self) -> np.dtype[Any]:
        """The numpy dtype: that of the elements, with the shape."""
        return np.dtype((self.element.to_native_dtype(), self.shape))

    @classmethod
    def _from_json_v2(cls, data: Any) -> Self:
        raise DataTypeValidationError(f"{data!r}: Zarr v2 has no such data type")

    @classmethod
    def _from_json_v3(cls, data: Any) -> Self:
        if not isinstance(data, Mapping) or data.get("name") != cls._zarr_v3_name:
            raise DataTypeValidationError(f"{data!r} is not the data type {cls._zarr_v3_name}")
        configuration = data["configuration"]
        element = data_type_registry.match_json(configuration["data_type"], zarr_format=3)
        return cls(element=element, shape=tuple(int(length) for length in configuration["shape"]))

    def to_json(self, zarr_format: Literal[2, 3]) -> Any:
        """The data type as Zarr v3 metadata."""
        if zarr_format == 2:
            raise ValueError(f"{self._zarr_v3_name} is not a data type of Zarr v2")
        configuration = {"data_type": self.element.to_json(zarr_format=3), "shape": list(self.shape)}
        return {"name": self._zarr_v3_name, "configuration": configuration}

    @property
    def item_size(self) -> int:
        """Bytes of the field."""
        return self.to_native_dtype().itemsize

    def _check_scalar(self, data: Any) -> bool:
        return bool(np.shape(data) == self.shape)

    def cast_scalar(self, data: Any) -> NDArray[Any]:
        """The elements as an array of the field's shape."""
        if not self._check_scalar(data):
            raise TypeError(f"{data!r} does not have the shape {self.shape}")
        return np.asarray(data, self.element.to_native_dtype())

    def default_scalar(self) -> NDArray[Any]:
        """Zeros."""
        return np.zeros(self.shape, self.element.to_native_dtype())

    def from_json_scalar(self, data: Any, *, zarr_format: Literal[2, 3]) -> NDArray[Any]:
        """The elements from a flat list of their fill values."""
        if not isinstance(data, list) or len(data) != math.prod(self.shape):
            raise TypeError(f"{data!r} is not a list of {math.prod(self.shape)} values")
        elements = [self.element.from_json_scalar(value, zarr_format=zarr_format) for value in data]
        return np.array(elements, self.element.to_native_dtype()).reshape(self.shape)

    def to_json_scalar(self, data: Any, *, zarr_format: Literal[2, 3]) -> Any:
        """The fill values of the elements as a flat list."""
        elements = self.cast_scalar(data).reshape(-1)
        return [self.element.to_json_scalar(element, zarr_format=zarr_format) for element in elements]
