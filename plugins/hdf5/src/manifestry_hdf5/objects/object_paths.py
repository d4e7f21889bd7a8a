"""Paths of objects by the addresses of their headers: what references point at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from heapq import heappop, heappush
from typing import Final

from manifestry.plugin import ManifestryError

from manifestry_hdf5.objects.object_table import ObjectKind, ObjectTable, kind_of
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind

__all__ = ["ObjectPaths"]

_MAX_OBJECTS: Final = 1_000_000
"""Objects of a file that are looked at."""


class ObjectPaths:
    """The paths of all objects of a file, found when the first is asked for.

    Parameters
    ----------
    objects
        Those of the file.
    root
        Address of the root group.
    names
        The names of members of the group at an address that netCDF-4 has stored under others, by those.
    """

    def __init__(self, objects: ObjectTable, root: int, names: Callable[[int], Mapping[str, str]]) -> None:
        self._objects = objects
        self._names = names
        self._root = root

    def find(self, address: int) -> str | None:
        """The path of an object, None where no link leads to it: of several the shortest, and of those the first."""
        return self._paths.get(address)

    @cached_property
    def _paths(self) -> dict[int, str]:
        self._objects.read_ahead(self._root, "", lambda _: True, _MAX_OBJECTS)
        paths: dict[int, str] = {}
        waiting = [(0, "", self._root)]
        while waiting and len(paths) <= _MAX_OBJECTS:
            length, path, address = heappop(waiting)
            if address in paths:
                continue
            paths[address] = path or "/"
            members = self._members(address)
            shown = self._names(address) if members else {}
            for link in members:
                if link.address not in paths:
                    name = decode_text(link.name)
                    name = shown.get(name, name)
                    heappush(waiting, (length + 1 + len(name), f"{path}/{name}", link.address))
        return paths

    def _members(self, address: int) -> list[Link]:
        """The hard links of an object, none where it is no group or cannot be read."""
        try:
            if kind_of(self._objects.header(address)) is not ObjectKind.GROUP:
                return []
            return [link for link in self._objects.links(address) if link.kind is LinkKind.HARD]
        except ManifestryError:
            return []
