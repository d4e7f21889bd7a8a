"""Groups as the walk finds them, and all datasets of a file wherever they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifestry.plugin import MalformedFileError, ManifestryError

from manifestry_hdf5.objects.datasets import Axes, Dataset
from manifestry_hdf5.objects.dimensions import Scale
from manifestry_hdf5.objects.object_table import ObjectKind, kind_of
from manifestry_hdf5.open_files import Hdf5File
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind

__all__ = ["Group", "datasets_of"]


@dataclass(slots=True, kw_only=True)
class Group:
    """A group as it is in the file.

    Attributes
    ----------
    path
        Relative to the group that was asked for; ``""`` for that group itself.
    scales
        What the datasets of the group say about dimensions, wanted or not.
    axes
        Those of the datasets, wanted or not, refused or not.
    names
        What datasets are called in netCDF-4, by the names of their links, which count here; of those that differ.
    """

    path: str
    attributes: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)
    axes: dict[str, Axes] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def path_of(self, name: str) -> str:
        """The path of a dataset by the name of its link."""
        return f"{self.path}/{self.names.get(name, name)}".lstrip("/")

    def walk(self) -> Iterator[Group]:
        """The group and all below it, parents first."""
        yield self
        for group in self.groups.values():
            yield from group.walk()


def datasets_of(file: Hdf5File, limit: int) -> Iterator[int]:
    """The addresses of all datasets to which hard links of a file lead; what is damaged is passed over.

    Raises
    ------
    MalformedFileError
        The file has more objects than `limit`.
    """
    seen, waiting = {file.superblock.root}, [file.superblock.root]
    while waiting:
        for link in _members(file, waiting.pop()):
            if link.kind is not LinkKind.HARD or link.address in seen:
                continue
            seen.add(link.address)
            if len(seen) > limit:
                raise MalformedFileError(f"more than {limit} objects")
            kind = _kind(file, link.address)
            if kind is ObjectKind.GROUP:
                waiting.append(link.address)
            elif kind is ObjectKind.DATASET:
                yield link.address


def _kind(file: Hdf5File, address: int) -> ObjectKind | None:
    try:
        return kind_of(file.objects.header(address))
    except ManifestryError:
        return None


def _members(file: Hdf5File, group: int) -> Sequence[Link]:
    """The links of a group, none where they cannot be read."""
    try:
        return file.objects.links(group)
    except ManifestryError:
        return ()
