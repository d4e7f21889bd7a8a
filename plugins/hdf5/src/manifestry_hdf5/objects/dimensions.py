"""Dimension scales and netCDF-4's conventions → dimension names.

netCDF-4 keeps its dimensions as HDF5 dimension scales (HDF5 Dimension Scale Specification) and says more in attributes
whose names begin with ``_Netcdf4`` (netCDF-4 file format, "Dimensions without HDF5 dimension scales" and following):

===========================  ===================================================================================
``CLASS = DIMENSION_SCALE``  the dataset is a scale; the last segment of its path is the name of a dimension
``NAME``                     begins with `ONLY_DIMENSION` where the scale is no variable
``DIMENSION_LIST``           for each axis, references to the scales attached to it
``_Netcdf4Dimid``            number of the dimension, unique in the file
``_Netcdf4Coordinates``      numbers of the dimensions of a scale that is a variable of several dimensions
===========================  ===================================================================================

An axis without a scale gets a name like ``phony_dim_3``, chosen as netCDF-C does: one for each size in a group, numbered
through the whole file after the dimensions that have names, groups below before those above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from manifestry_hdf5.objects.datasets import Identity
from manifestry_hdf5.objects.datatypes import is_integer
from manifestry_hdf5.structures.data_objects.dataspace_message import UNLIMITED, Dataspace

__all__ = [
    "NETCDF_MARKS",
    "NOT_COORDINATE",
    "ONLY_DIMENSION",
    "SCALE_ATTRIBUTES",
    "SCALE_MARKS",
    "DimensionNames",
    "Scale",
    "is_netcdf",
    "read_scale",
]

ONLY_DIMENSION: Final = "This is a netCDF dimension but not a netCDF variable"
NOT_COORDINATE: Final = "_nc4_non_coord_"
"""What netCDF-4 puts before the name of a variable that has the name of a dimension and is not its coordinate."""

NETCDF_MARKS: Final = frozenset({"_NCProperties", "_nc3_strict"})
"""Attributes of the root group by which a file is one of netCDF-4."""
SCALE_MARKS: Final = frozenset({"_Netcdf4Dimid", "_Netcdf4Coordinates"})
"""Attributes of datasets by which it is."""


@dataclass(slots=True, kw_only=True)
class Scale:
    """What a dataset says about dimensions.

    Attributes
    ----------
    identity
        URL of the file and address of the object header.
    is_scale
        Whether the dataset is a dimension scale.
    only_dimension
        Whether it stands for a dimension of netCDF-4 and holds no variable.
    number
        ``_Netcdf4Dimid``, or None.
    coordinates
        ``_Netcdf4Coordinates``, or None.
    attached
        For each axis, the identities of the scales attached to it; None where the dataset has no list.
    length, unlimited, endless
        Of the first axis: its elements, whether it may grow, and whether it may do so without end.
    """

    identity: Identity
    is_scale: bool = False
    only_dimension: bool = False
    number: int | None = None
    coordinates: tuple[int, ...] | None = None
    attached: tuple[tuple[Identity, ...], ...] | None = None
    length: int = 0
    unlimited: bool = False
    endless: bool = False


SCALE_ATTRIBUTES: Final = frozenset({"CLASS", "NAME", "_Netcdf4Dimid", "_Netcdf4Coordinates", "DIMENSION_LIST"})
"""What has to be read of a dataset to know what it says about dimensions."""


def read_scale(space: Dataspace, identity: Identity, attributes: Mapping[str, Any]) -> Scale:
    """What a dataset says about dimensions.

    Parameters
    ----------
    space
        Its dimensions.
    attributes
        At least those of `SCALE_ATTRIBUTES` that it has.
    """
    scale = Scale(identity=identity)
    if SCALE_ATTRIBUTES.isdisjoint(attributes):
        return scale
    scale.is_scale = attributes.get("CLASS") == "DIMENSION_SCALE"
    if scale.is_scale:
        name = attributes.get("NAME")
        scale.only_dimension = isinstance(name, str) and name.startswith(ONLY_DIMENSION)
        scale.length = space.shape[0] if space.shape else 1
        scale.unlimited = space.maximum[:1] != space.shape[:1]
        scale.endless = space.maximum[:1] == (UNLIMITED,)
    numbers = _integers(attributes.get("_Netcdf4Dimid"))
    scale.number = numbers[0] if numbers else None
    scale.coordinates = _integers(attributes.get("_Netcdf4Coordinates")) or None
    lists = attributes.get("DIMENSION_LIST")
    if lists is not None:
        scale.attached = tuple(tuple((identity[0], address) for address in axis) for axis in lists)
    return scale


def _integers(value: Any) -> tuple[int, ...]:
    """The numbers of an attribute; none where it is missing or something else."""
    if value is None:
        return ()
    values = np.asarray(value)
    return tuple(map(int, values.reshape(-1))) if is_integer(values.dtype) else ()


def scale_name(path: str) -> str:
    """The name of the dimension that the scale at `path` stands for."""
    return path.rpartition("/")[2].removeprefix(NOT_COORDINATE)


def is_netcdf(attributes: Mapping[str, Any], scales: Iterable[Scale]) -> bool:
    """Whether netCDF-4 wrote a file, judged by the attributes of its root group and of its dimension scales."""
    marked = not NETCDF_MARKS.isdisjoint(attributes)
    return marked or any(s.number is not None or s.coordinates is not None or s.only_dimension for s in scales)


class DimensionNames:
    """The dimension names of all arrays of a file.

    Parameters
    ----------
    scales
        For each group path, the scales in it by name, those of groups above the one that was asked for among them.
    """

    def __init__(self, scales: Mapping[str, Mapping[str, Scale]]) -> None:
        self._by_identity: dict[Identity, str] = {}
        self._by_number: dict[int, Identity] = {}
        self._sizes: dict[str, list[tuple[str, int, bool]]] = {}  # group → its dimensions with names
        self._next = 0
        for group, members in scales.items():
            for name, scale in members.items():
                if scale.is_scale:
                    self._enter(group, scale_name(name), scale)

    def _enter(self, group: str, name: str, scale: Scale) -> None:
        if scale.identity in self._by_identity:
            return
        self._by_identity[scale.identity] = name
        if scale.number is not None:
            self._by_number.setdefault(scale.number, scale.identity)
        self._remember(group, name, scale.length, grows=scale.unlimited)
        self._next = max(self._next, 0 if scale.number is None else scale.number + 1, len(self._by_identity))

    def _remember(self, group: str, name: str, size: int, *, grows: bool) -> None:
        """Keep a dimension of a group; one without elements is unlimited to netCDF-C, whatever the file says."""
        self._sizes.setdefault(group, []).append((name, size, grows or not size))

    def axis_scales(self, scale: Scale, ndim: int) -> list[Identity | None]:
        """For each axis of an array the scale of its dimension, the first where several are attached to it."""
        scales: list[Identity | None] = [None] * ndim
        if scale.coordinates is not None and len(scale.coordinates) == ndim:
            scales = [self._by_number.get(number) for number in scale.coordinates]
        elif scale.is_scale and ndim:
            scales[0] = scale.identity
        for axis, targets in enumerate((scale.attached or ())[:ndim]):
            if scales[axis] is None:
                scales[axis] = next((target for target in targets if target in self._by_identity), None)
        return scales

    def axis_names(self, name: str, scale: Scale, ndim: int) -> tuple[list[str | None], list[int]]:
        """The names that the file has for the axes of one array, and the axes with several scales."""
        names: list[str | None] = [
            scale_name(name) if one == scale.identity else self._by_identity.get(one) if one is not None else None
            for one in self.axis_scales(scale, ndim)
        ]
        attached = (scale.attached or ())[:ndim]
        several = [axis for axis, targets in enumerate(attached) if sum(t in self._by_identity for t in targets) > 1]
        return names, several

    def add_phony_names(
        self, group: str, shape: Sequence[int], unlimited: Sequence[bool], names: list[str | None]
    ) -> None:
        """Name the axes that have none; call it for the groups below before those above."""
        pool = self._sizes.setdefault(group, [])
        taken = {name for name in names if name is not None}
        for axis, (size, grows) in enumerate(zip(shape, unlimited, strict=True)):
            if names[axis] is not None:
                continue
            match = next((n for n, s, u in pool if (s, u) == (size, grows) and n not in taken), None)
            if match is None:
                match = f"phony_dim_{self._next}"
                self._next += 1
                self._remember(group, match, size, grows=grows)
            names[axis] = match
            taken.add(match)
