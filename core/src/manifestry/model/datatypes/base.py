"""What every data type can say of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from manifestry.errors import ManifestError

__all__ = ["DataType"]


class DataType(ABC):
    """A family of data types, for one numpy dtype in native byte order.

    Parameters
    ----------
    dtype
        Where bytes are stored in another order, the ``bytes`` codec says so.
    """

    variable_length: ClassVar[bool] = False
    """Whether elements, and so chunks, have no fixed number of bytes."""
    object_codec: ClassVar[str] = ""
    """The codec that makes bytes of elements of variable length."""
    package: str = ""
    """The distribution that readers have to install for it beyond zarr, ``""`` for none."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    @property
    def has_byte_order(self) -> bool:
        """Whether elements, or a field of theirs, are numbers or UTF-32 units of several bytes."""
        return False

    @property
    def needs_endian(self) -> bool:
        """Whether zarr-python wants the ``bytes`` codec to have an ``endian``."""
        return self.has_byte_order

    @abstractmethod
    def to_v3(self) -> Any:
        """The ``data_type`` of Zarr v3.

        Raises
        ------
        ManifestError
            Zarr has no such type.
        """

    def to_v2(self, byteorder: str) -> Any:
        """The ``dtype`` of Zarr v2 for elements that are stored in a byte order, ``"<"`` or ``">"``.

        Raises
        ------
        ManifestError
            Zarr has no such type, or zarr-python does not read it in Zarr v2.
        """
        self.to_v3()  # refuses what Zarr cannot name
        return self.dtype.newbyteorder(byteorder).str  # type: ignore[arg-type]

    def default(self) -> Any:
        """The value that Zarr takes where nobody chose one: zero, empty, or not-a-time."""
        return np.zeros((), self.dtype)[()]

    @abstractmethod
    def fill_to_v3(self, value: Any) -> Any:
        """A fill value as Zarr v3 JSON (specification: "Fill value"); NaN with a payload keeps its bits as hex."""

    @abstractmethod
    def fill_from_v3(self, value: Any) -> Any:
        """A fill value from Zarr v3 JSON, as a scalar of the type; raises what `ManifestError` is made of."""

    def fill_to_v2(self, value: Any) -> Any:
        """A fill value as Zarr v2 JSON. NaN has one spelling there."""
        return self.fill_to_v3(value)

    @abstractmethod
    def fill_from_v2(self, value: Any) -> Any:
        """A fill value from Zarr v2 JSON that is not null; raises as `fill_from_v3`."""

    def mask_to_v3(self, element: Any) -> Any:  # noqa: ARG002 other types use it
        """The attribute ``_FillValue`` as xarray 2026 writes it into Zarr v3: a number, for floats their float64 in base64.

        Raises
        ------
        TypeError
            xarray cannot open an array of this type that has one (texts, bytes, times).
        """
        raise TypeError(f"xarray reads no _FillValue of {self.dtype} from Zarr v3")

    def mask_from_v3(self, value: Any) -> Any:
        """That attribute as a scalar of the type; what is not in xarray's form stays as it is."""
        return value

    def element(self, value: Any) -> Any:
        """A value as a scalar of the type.

        Only floats and complex numbers may lose precision on the way; a number that is out of range, fractional where
        integers are wanted, or not a number at all is no element.

        Raises
        ------
        ManifestError
            The value cannot be an element of such an array.
        """
        try:
            return self._convert(value)
        except (TypeError, ValueError, OverflowError, FloatingPointError) as error:
            raise ManifestError(f"{value!r} cannot be an element of an array of {self.dtype}: {error}") from error

    @abstractmethod
    def _convert(self, value: Any) -> Any:
        """As `element`; raises what that translates."""

    def exact_element(self, value: Any) -> Any:
        """A value as a scalar of the type that equals it.

        Raises
        ------
        TypeError, ValueError, ManifestError
            None does.
        """
        item = single(value)
        element = self.element(item[()])
        if not self._equal(item, np.asarray(element)):
            raise ValueError(f"{item[()]!r} cannot be an element of {self.dtype}")
        return element

    def _equal(self, item: np.ndarray[Any, Any], element: np.ndarray[Any, Any]) -> bool:
        """Whether a value and what became of it are the same."""
        return bool(np.array_equal(item, element))

    def same(self, a: Any, b: Any) -> bool:
        """Whether two elements are the same bit for bit, NaN with its payload."""
        return np.asarray(a, self.dtype).tobytes() == np.asarray(b, self.dtype).tobytes()


def single(value: Any) -> np.ndarray[Any, Any]:
    """One value as an array without dimensions.

    Raises
    ------
    ValueError
        There are several, or none.
    """
    given = np.asarray(value)
    if given.size != 1:
        raise ValueError(f"expected one value, not {given.size}")
    return given.reshape(())


def check_integer(number: Any) -> int:
    """A JSON integer; ``true`` and ``1.0`` are none.

    Raises
    ------
    TypeError
        It is something else.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{number!r} is not a whole number")
    return number
