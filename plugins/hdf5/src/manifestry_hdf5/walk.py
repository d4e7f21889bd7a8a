"""Groups, links and datasets of a file as plain data.

Only links are followed and objects opened. ``visititems``, ``H5Oget_info`` and the like read the whole chunk index of
every dataset, one small piece after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from h5py import h5d, h5g, h5l, h5o
from manifestry.errors import MalformedFileError, UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext

from manifestry_hdf5.attributes import read_attributes
from manifestry_hdf5.datasets import Dataset, read_dataset
from manifestry_hdf5.dimensions import Scale, read_scale
from manifestry_hdf5.library import LIBRARY_ERRORS, OpenFile, address_of, library_errors

__all__ = ["Group", "Walker"]

OBJECT_HEADER_BYTES = 512
"""What is fetched ahead of an object header; most are shorter."""


@dataclass(slots=True)
class Group:
    """A group as found in the file.

    Attributes
    ----------
    path
        Relative to the group that was asked for; ``""`` for that group itself.
    scales
        What the datasets of the group say about dimensions, wanted or not.
    """

    path: str
    attributes: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)

    def walk(self) -> Iterator[Group]:
        """The group and all below it, parents first."""
        yield self
        for group in self.groups.values():
            yield from group.walk()


class Walker:
    """Walks one file by its links.

    Parameters
    ----------
    file
        The open file.
    context
        Selection, limits, and where refusals go.
    """

    def __init__(self, file: OpenFile, context: ParseContext) -> None:
        self._file = file
        self._context = context
        self._number = address_of(file.id)[0]
        self._above: list[tuple[int, int]] = []  # identities of the groups that are being walked
        self._count = 0
        self._datasets: dict[tuple[int, int], Dataset] = {}
        self.outer: list[Group] = []

    def walk(self, path: str) -> Group:
        """The group at `path` of the file and everything below it.

        Raises
        ------
        MalformedFileError
            There is no such group, or it cannot be read.
        """
        with library_errors(f"{self._file.source.url}: group {path or '/'}"):
            identifier = h5g.open(self._file.id, f"/{path}".encode())
        parts = path.split("/") if path else []
        for depth in range(len(parts)):
            self.outer.append(self._scales_of("/" + "/".join(parts[:depth])))
        return self._group(identifier, "")

    def _scales_of(self, path: str) -> Group:
        """A group above the one asked for: only its dimension scales matter."""
        group = Group(path)
        with library_errors(f"group {path}"):
            identifier = h5g.open(self._file.id, path.encode())
            for name, kind in self._links(identifier, path):
                if kind == h5l.TYPE_HARD:
                    child = h5o.open(identifier, name)
                    if isinstance(child, h5d.DatasetID):
                        group.scales[name.decode("utf-8", "replace")] = read_scale(child)
        return group

    def _links(self, identifier: Any, path: str) -> list[tuple[bytes, int]]:
        """Names and kinds of the links of a group; the headers they lead to are fetched ahead."""
        found: list[tuple[bytes, int]] = []
        hard: list[int] = []

        def take(name: bytes, info: Any) -> None:  # libhdf5 fills the same `info` again for the next link
            found.append((name, int(info.type)))
            if info.type == h5l.TYPE_HARD:
                hard.append(int(info.u))

        with library_errors(f"group {path or '/'}"):
            identifier.links.iterate(take, info=True)
        self._file.prefetch(hard, OBJECT_HEADER_BYTES)
        return found

    def _group(self, identifier: Any, path: str) -> Group:
        group = Group(path)
        self._above.append(address_of(identifier))
        try:
            group.attributes = read_attributes(identifier, path, self._context)
            for raw, kind in self._links(identifier, path):
                name = self._name(raw, path)
                if name is not None:
                    with self._context.isolate(f"{path}/{name}".lstrip("/")):
                        self._link(group, identifier, name, kind)
        finally:
            self._above.pop()
        return group

    def _name(self, raw: bytes, path: str) -> str | None:
        """The name of a link, or None when no Zarr node can have it."""
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("utf-8", "backslashreplace")
            self._context.refuse(f"{path}/{name}".lstrip("/"), "name that is not UTF-8")
            return None
        if name in (".", "..", "zarr.json") or name.startswith("__"):
            self._context.refuse(
                f"{path}/{name}".lstrip("/"), "name that Zarr reserves", hint="rename it in the source"
            )
            return None
        return name

    def _link(self, group: Group, identifier: Any, name: str, kind: int) -> None:
        path = f"{group.path}/{name}".lstrip("/")
        try:
            child = h5o.open(identifier, name.encode())
        except LIBRARY_ERRORS as error:
            if kind == h5l.TYPE_HARD:
                raise MalformedFileError(f"{path}: {(str(error).splitlines() or [''])[0]}") from error
            label = {h5l.TYPE_SOFT: "soft link", h5l.TYPE_EXTERNAL: "external link"}.get(kind, "user-defined link")
            self._context.report(path, f"{label} that leads nowhere")
            return
        if address_of(child)[0] != self._number:
            raise UnsupportedFeatureError("link to an object of another file", path, "parse that file")
        self._count += 1
        if self._count > self._context.limits.max_arrays:
            raise MalformedFileError(f"{path}: more than {self._context.limits.max_arrays} objects")
        if isinstance(child, h5g.GroupID):
            self._subgroup(group, child, name, path)
        elif isinstance(child, h5d.DatasetID):
            self._dataset(group, child, name, path)

    def _subgroup(self, group: Group, child: Any, name: str, path: str) -> None:
        if not self._context.wants_group(path):
            return
        if address_of(child) in self._above:
            self._context.report(path, "link to a group that it is in", "the cycle is cut here")
        elif len(self._above) >= self._context.limits.max_depth:
            raise MalformedFileError(f"{path}: groups nested deeper than {self._context.limits.max_depth}")
        else:
            group.groups[name] = self._group(child, path)

    def _dataset(self, group: Group, child: Any, name: str, path: str) -> None:
        if not self._context.wants(path):
            with library_errors(path):
                group.scales[name] = read_scale(child)
            return
        with library_errors(path):
            identity = address_of(child)
            known = self._datasets.get(identity)
            attributes = known.attributes if known else read_attributes(child, path, self._context)
            scale = group.scales[name] = read_scale(child, attributes)
        if not scale.only_dimension:
            group.datasets[name] = known or read_dataset(child, path, identity, attributes, self._context)
            self._datasets[identity] = group.datasets[name]
