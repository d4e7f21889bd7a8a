"""Paths of objects by the addresses of their headers: what references point at."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from manifestry.plugin import ManifestryError

from manifestry_hdf5.objects.object_table import ObjectKind, ObjectTable, kind_of
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.data_objects.link_message import LinkKind

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
    """

    def __init__(self, objects: ObjectTable, root: int) -> None:
        self._objects = objects
        self._root = root

    def find(self, address: int) -> str | None:
        """The path of an object: of several the one that comes first, a group before its members, members by name."""
        return self._paths.get(address)

    @cached_property
    def _paths(self) -> dict[int, str]:
        self._objects.read_ahead(self._root, "", lambda _: True, _MAX_OBJECTS)
        paths = {self._root: "/"}
        waiting = [(self._root, "")]
        while waiting and len(paths) <= _MAX_OBJECTS:
            address, path = waiting.pop()
            paths.setdefault(address, path)
            if paths[address] != (path or "/"):
                continue
            try:
                group = kind_of(self._objects.header(address)) is ObjectKind.GROUP
                links = self._objects.links(address) if group else []
            except ManifestryError:
                continue
            hard = [link for link in links if link.kind is LinkKind.HARD and link.address not in paths]
            waiting += [(link.address, f"{path}/{decode_text(link.name)}") for link in reversed(hard)]
        return paths
