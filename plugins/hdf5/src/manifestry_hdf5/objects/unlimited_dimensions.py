"""How long the unlimited dimensions of a netCDF-4 file are, and what its variables are beyond their datasets.

HDF5 has a length for every dataset, netCDF one for every dimension: that of an unlimited dimension is the largest of all
variables that use it, in its group and those below. A variable whose dataset is shorter reads as the fill value from there
on (netCDF-C, ``nc4_find_dim_len`` and ``NC4_get_vars``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import UnsupportedFeatureError, default_fill

from manifestry_hdf5.objects.datasets import Axes, Dataset, Identity
from manifestry_hdf5.objects.dimensions import DimensionNames, Scale

__all__ = ["Beyond", "UnlimitedDimensions", "beyond"]

_DEFAULTS: Final = {
    "i1": -127,
    "i2": -32767,
    "i4": -2147483647,
    "i8": -9223372036854775806,
    "u1": 255,
    "u2": 65535,
    "u4": 4294967295,
    "u8": 18446744073709551614,
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
}
"""What netCDF fills variables with for which no fill value was chosen (``NC_FILL_BYTE`` and so on)."""


class UnlimitedDimensions:
    """The lengths of the unlimited dimensions of a file.

    Parameters
    ----------
    names
        Knows the scales of the file.
    scales
        The scales that datasets may be attached to.
    """

    def __init__(self, names: DimensionNames, scales: Iterable[Scale]) -> None:
        self._names = names
        self._lengths = {scale.identity: 0 for scale in scales if scale.is_scale and scale.endless}

    def of(self, scale: Scale, axes: Axes) -> list[Identity]:
        """The unlimited dimensions of a dataset."""
        return [one for one in self._of_axes(scale, axes) if one is not None]

    def see(self, scale: Scale, axes: Axes) -> None:
        """Take the lengths of a dataset into account."""
        if self._lengths:
            for one, length in zip(self._of_axes(scale, axes), axes.lengths, strict=True):
                if one is not None:
                    self._lengths[one] = max(self._lengths[one], length)

    def lengths(self, scale: Scale, axes: Axes) -> tuple[int, ...]:
        """The shape of the variable that a dataset is, once all datasets have been seen."""
        if not self._lengths:
            return axes.lengths
        pairs = zip(self._of_axes(scale, axes), axes.lengths, strict=True)
        return tuple(length if one is None else max(length, self._lengths[one]) for one, length in pairs)

    def _of_axes(self, scale: Scale, axes: Axes) -> list[Identity | None]:
        """The unlimited dimension of each axis; none of types that netCDF does not have."""
        ndim = len(axes.lengths)
        if not axes.numbered:
            return [None] * ndim
        return [one if one in self._lengths else None for one in self._names.axis_scales(scale, ndim)]


class Beyond(NamedTuple):
    """What elements beyond the end of a dataset read as.

    Attributes
    ----------
    fill
        As an element of the array.
    stored
        As the file has elements.
    """

    fill: Any
    stored: bytes


def beyond(dataset: Dataset) -> Beyond:
    """What the elements of a variable beyond the end of its dataset read as.

    That is the fill value of the dataset, or the default of netCDF where none was chosen; zero for types that have no
    default.

    Raises
    ------
    UnsupportedFeatureError
        The array that it becomes has no such fill value.
    """
    element = dataset.element
    if dataset.stored_fill:
        if (element.texts or element.members is not None) and any(dataset.stored_fill):
            raise UnsupportedFeatureError(
                "records shorter than their dimension", dataset.path, "they have a fill value"
            )
        return Beyond(dataset.fill, dataset.stored_fill)
    number = _DEFAULTS.get(element.dtype.str[1:]) if not element.shape else None
    if number is None or element.storage or element.dtype.itemsize != dataset.stored_itemsize:
        return Beyond(default_fill(element.dtype), bytes(dataset.stored_itemsize))
    fill = np.array(number, element.dtype)
    return Beyond(fill[()], fill.astype(element.dtype.newbyteorder(">" if element.endian == "big" else "<")).tobytes())
