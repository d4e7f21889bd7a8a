"""Names of netCDF-4 variables that have the name of a dimension and are not its coordinate.

HDF5 has one name for one object of a group, and the dimension is an object of that name already. netCDF-4 stores such a
variable as ``_nc4_non_coord_NAME``, and every reader of netCDF calls it ``NAME`` (netCDF-C, ``NON_COORD_PREPEND``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Final

from manifestry.plugin import ManifestryError

from manifestry_hdf5.objects.dimensions import NETCDF_MARKS, NOT_COORDINATE, ONLY_DIMENSION, SCALE_MARKS
from manifestry_hdf5.objects.object_table import ObjectKind, ObjectTable, kind_of
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.data_objects.attribute_message import AttributeParts, attribute_parts
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind

__all__ = ["NetcdfNames"]

_BY_NAME: Final = attrgetter("name")
_PREFIX: Final = NOT_COORDINATE.encode()


class NetcdfNames:
    """Which variables of a file netCDF-4 has stored under another name.

    The file has to be one of netCDF-4: by an attribute of its root group, by one of the variable, or because the dimension
    of that name is beside it.

    Parameters
    ----------
    objects
        Those of the file.
    root
        Address of its root group.
    """

    def __init__(self, objects: ObjectTable, root: int) -> None:
        self._objects = objects
        self._root = root
        self._known: dict[int, Mapping[str, str]] = {}

    def of(self, group: int) -> Mapping[str, str]:
        """The names of variables of the group at an address, by the names of their links; of those alone that differ."""
        if group not in self._known:
            self._known[group] = dict(self._find(self._objects.links(group)))
        return self._known[group]

    def is_taken(self, group: int, name: str) -> bool:
        """Whether something else in a group has a name: anything but a dimension."""
        link = _find(self._objects.links(group), name.encode())
        return link is not None and not (link.kind is LinkKind.HARD and self._is_dimension(link.address))

    def _find(self, links: list[Link]) -> Iterator[tuple[str, str]]:
        for link in links[bisect_left(links, _PREFIX, key=_BY_NAME) :]:
            if not link.name.startswith(_PREFIX):
                return
            if link.kind is LinkKind.HARD and link.name != _PREFIX and self._is_variable(link, links):
                name = decode_text(link.name)
                yield name, name.removeprefix(NOT_COORDINATE)

    def _is_variable(self, link: Link, links: list[Link]) -> bool:
        """Whether a dataset is a variable of netCDF-4."""
        try:
            if kind_of(self._objects.header(link.address)) is not ObjectKind.DATASET:
                return False
        except ManifestryError:
            return False
        beside = _find(links, link.name.removeprefix(_PREFIX))
        return (
            not NETCDF_MARKS.isdisjoint(self._attributes(self._root))
            or not SCALE_MARKS.isdisjoint(self._attributes(link.address))
            or (beside is not None and beside.kind is LinkKind.HARD and self._is_dimension(beside.address))
        )

    def _is_dimension(self, address: int) -> bool:
        """Whether an object is a dimension without a variable."""
        name = self._attributes(address).get("NAME")
        return name is not None and name.data.startswith(ONLY_DIMENSION.encode())

    def _attributes(self, address: int) -> dict[str, AttributeParts]:
        """The attributes of an object by name, as they are stored; none where they cannot be read."""
        try:
            parts = map(attribute_parts, self._objects.attribute_messages(address))
            return {decode_text(one.name): one for one in parts}
        except ManifestryError:
            return {}


def _find(links: list[Link], name: bytes) -> Link | None:
    at = bisect_left(links, name, key=_BY_NAME)
    return links[at] if at < len(links) and links[at].name == name else None
