"""Groups, links and datasets of a file as plain data.

Only links are followed and objects opened. ``visititems``, ``H5Oget_info`` and the like read the whole chunk index of
every dataset, one small piece after the other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from h5py import h5d, h5g, h5o
from manifestry.plugin import MalformedFileError, ParseContext, SourceError, UnsupportedFeatureError, is_node_name

from manifestry_hdf5.libhdf5.files import Identity, OpenFile, address_of, library_errors
from manifestry_hdf5.libhdf5.opening import OpenFiles
from manifestry_hdf5.linked_files import PointsBy
from manifestry_hdf5.objects.attributes import decode_text, read_attributes
from manifestry_hdf5.objects.datasets import Axes, Dataset, read_axes, read_dataset, read_space
from manifestry_hdf5.objects.dimensions import SCALE_ATTRIBUTES, Scale, read_scale
from manifestry_hdf5.structures.contents.link_message import Link, LinkKind

__all__ = ["Group", "Walker"]

_OBJECT_HEADER_BYTES: Final = 512
"""What is fetched ahead of an object header; most are shorter."""

_MAX_LINKS: Final = 16
"""Links that may be followed one after the other to get to one object, as many as libhdf5 follows."""

_BY_NAME: Final = attrgetter("name")


class _NowhereError(Exception):
    """A soft or external link leads nowhere."""


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
    """

    path: str
    attributes: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)
    axes: dict[str, Axes] = field(default_factory=dict)

    def walk(self) -> Iterator[Group]:
        """The group and all below it, parents first."""
        yield self
        for group in self.groups.values():
            yield from group.walk()


class Walker:
    """Walks a file by its links, and the files that external links lead to.

    Parameters
    ----------
    files
        The files that are open.
    context
        Selection, limits, and where refusals go.
    follow_external
        Whether external links are followed.

    Attributes
    ----------
    outer
        Groups above the one that was asked for, from the root on, with nothing but their scales and attributes.
    """

    def __init__(self, files: OpenFiles, context: ParseContext, *, follow_external: bool) -> None:
        self._files = files
        self._context = context
        self._follow_external = follow_external
        self._above: list[Identity] = []  # the groups that are being walked
        self._count = 0
        self._datasets: dict[Identity, Dataset] = {}
        self.outer: list[Group] = []

    def walk(self, file: OpenFile, path: str) -> Group:
        """The group at `path` of a file and everything below it.

        Raises
        ------
        MalformedFileError
            There is no such group, or it cannot be read.
        """
        group_file, identifier = self._group_at(file, path)
        parts = path.split("/") if path else []
        for depth in range(len(parts)):
            above = "/".join(parts[:depth])
            self.outer.append(self._scales_of(*self._group_at(file, above), f"/{above}"))
        return self._group(group_file, identifier, group_file.identity(identifier), "")

    def _group_at(self, file: OpenFile, path: str) -> tuple[OpenFile, Any]:
        """The group at a path, and the file that it is in."""
        where = f"{file.source.url}: group {path or '/'}"
        group_file, identifier = self.follow(file, path.encode(), where)
        if not isinstance(identifier, h5g.GroupID):
            raise MalformedFileError(f"{where}: not a group")
        return group_file, identifier

    def _scales_of(self, file: OpenFile, identifier: Any, path: str) -> Group:
        """A group above the one asked for: only what it says about dimensions matters."""
        group = Group(path=path)
        with library_errors(f"group {path}"):
            identity = file.identity(identifier)
            header = file.header(identity[1])
            group.attributes = read_attributes(file, identifier, path, self._context, header=header)
            for link in self._links(file, identifier, identity, path):
                if link.kind is LinkKind.HARD:
                    child = h5o.open(identifier, link.name)
                    if isinstance(child, h5d.DatasetID):
                        identity = (file.source.url, link.address)
                        group.scales[decode_text(link.name)] = self._scale(file, child, identity, path)
        return group

    def _links(self, file: OpenFile, identifier: Any, identity: Identity, path: str) -> list[Link]:
        """The links of a group; the headers that hard ones lead to are fetched ahead."""
        with library_errors(f"group {path or '/'}"):
            links = file.contents.links(identity[1], identifier)
        file.prefetch([link.address for link in links if link.kind is LinkKind.HARD], _OBJECT_HEADER_BYTES)
        return links

    def _group(self, file: OpenFile, identifier: Any, identity: Identity, path: str) -> Group:
        group = Group(path=path)
        self._above.append(identity)
        try:
            header = file.header(identity[1])
            group.attributes = read_attributes(file, identifier, path, self._context, header=header)
            links = self._links(file, identifier, identity, path)
            times = Counter(map(_BY_NAME, links))
            for link in links:
                name = self._name(link.name, path)
                if name is not None:
                    with self._context.isolate(f"{path}/{name}".lstrip("/")):
                        if (count := times[link.name]) > 1:  # libhdf5 opens either of them
                            raise MalformedFileError(f"group {path or '/'}: {count} links have the name {name!r}")
                        self._link(file, group, identifier, name, link)
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
        if not is_node_name(name):
            self._context.refuse(f"{path}/{name}".lstrip("/"), "name that no Zarr node can have")
            return None
        return name

    def _link(self, file: OpenFile, group: Group, identifier: Any, name: str, link: Link) -> None:
        path = f"{group.path}/{name}".lstrip("/")
        if link.kind is LinkKind.HARD:
            file.check(link.address, path)
            with library_errors(path):
                child = h5o.open(identifier, link.name)
            self._add_object(file, group, child, (file.source.url, link.address), path)
        elif link.kind is LinkKind.USER_DEFINED:
            self._context.report(path, "user-defined link", "only the program that made it knows what it leads to")
        elif link.kind is LinkKind.EXTERNAL and not self._follow_external:
            self._context.report(path, "external link", "not followed because follow_external is false")
        else:
            try:
                other, child = self._target(file, identifier, link.name, path)
            except _NowhereError as error:
                self._context.report(path, f"{link.kind.name.lower()} link that leads nowhere", str(error))
            else:
                self._add_object(other, group, child, other.identity(child), path)

    def follow(self, file: OpenFile, target: bytes, path: str) -> tuple[OpenFile, Any]:
        """The object that a path from the root of a file leads to, and the file that it is in.

        Raises
        ------
        MalformedFileError
            It leads nowhere, or something on the way is damaged.
        UnsupportedFeatureError
            It goes through an external link that is not followed.
        """
        try:
            return self._target(file, None, b"/" + target, path)
        except _NowhereError as error:
            raise MalformedFileError(f"{path}: {error}") from error

    def _target(
        self, file: OpenFile, start: Any, target: bytes, path: str, *, followed: int = 0
    ) -> tuple[OpenFile, Any]:
        """The object that a path leads to, seen from a group, and the file that it is in.

        libhdf5 may not follow links to other files itself, since it looks for them in other places than we do.

        Raises
        ------
        _NowhereError
            It leads nowhere.
        UnsupportedFeatureError
            It goes through an external link, and those are not followed, or not to there.
        MalformedFileError
            Something on the way is damaged.
        """
        if followed > _MAX_LINKS:
            raise _NowhereError("links lead in a circle")
        with library_errors(path):
            location = h5g.open(file.id, b"/") if target.startswith(b"/") else start
            for name in target.split(b"/"):
                if name in (b"", b"."):
                    continue
                link = _find(file, location, name) if isinstance(location, h5g.GroupID) else None
                if link is None:
                    raise _NowhereError(f"{decode_text(name)} is not there")
                if link.kind is LinkKind.SOFT:
                    file, location = self._target(file, location, link.target, path, followed=followed + 1)
                elif link.kind is LinkKind.EXTERNAL:
                    file = self._other_file(file, link.file, path)
                    root = h5g.open(file.id, b"/")
                    file, location = self._target(file, root, link.target, path, followed=followed + 1)
                elif link.kind is LinkKind.USER_DEFINED:
                    raise UnsupportedFeatureError("link through a user-defined link", path, "link to the object itself")
                else:
                    file.check(link.address, path)
                    location = h5o.open(location, name)
        return file, location

    def _other_file(self, file: OpenFile, url: bytes, path: str) -> OpenFile:
        """The file that an external link names."""
        if not self._follow_external:
            raise UnsupportedFeatureError("soft link through an external link", path, "set follow_external")
        try:
            return self._files.open(self._files.link_target(file, decode_text(url), PointsBy.EXTERNAL_LINK, path))
        except (MalformedFileError, SourceError) as error:
            raise _NowhereError(str(error)) from error

    def _add_object(self, file: OpenFile, group: Group, child: Any, identity: Identity, path: str) -> None:
        """Add the group or dataset that a link leads to."""
        self._count += 1
        if self._count > self._context.limits.max_arrays:
            raise MalformedFileError(f"{path}: more than {self._context.limits.max_arrays} objects")
        if isinstance(child, h5g.GroupID):
            self._subgroup(file, group, child, identity, path)
        elif isinstance(child, h5d.DatasetID):
            self._dataset(file, group, child, identity, path)

    def _subgroup(self, file: OpenFile, group: Group, child: Any, identity: Identity, path: str) -> None:
        if not self._context.wants_group(path):
            return
        if identity in self._above:
            self._context.report(path, "link to a group that it is in", "the cycle is cut here")
        elif len(self._above) >= self._context.limits.max_depth:
            raise MalformedFileError(f"{path}: groups nested deeper than {self._context.limits.max_depth}")
        else:
            group.groups[path.rpartition("/")[2]] = self._group(file, child, identity, path)

    def _dataset(self, file: OpenFile, group: Group, child: Any, identity: Identity, path: str) -> None:
        name = path.rpartition("/")[2]
        if not self._context.wants(path):
            scale = group.scales[name] = self._scale(file, child, identity, path)
            if not scale.only_dimension:
                with library_errors(path):
                    group.axes[name] = read_axes(file, child, file.header(identity[1]))
            return
        earlier = self._datasets.get(identity)  # the same dataset under another name
        with library_errors(path):
            header = earlier.header if earlier else file.header(identity[1])
            attributes = (
                earlier.attributes if earlier else read_attributes(file, child, path, self._context, header=header)
            )
            space = read_space(file, child, header)
            scale = group.scales[name] = read_scale(space, identity, attributes)
        if not scale.only_dimension:
            try:
                dataset = earlier or read_dataset(
                    file,
                    child,
                    path,
                    self._context,
                    identity=identity,
                    attributes=attributes,
                    header=header,
                    space=space,
                )
            except UnsupportedFeatureError:
                group.axes[name] = read_axes(file, child, header)
                raise
            group.datasets[name] = self._datasets[identity] = dataset
            group.axes[name] = dataset.axes

    def _scale(self, file: OpenFile, child: Any, identity: Identity, path: str) -> Scale:
        """What a dataset that is not wanted says about dimensions."""
        with library_errors(path):
            header = file.header(identity[1])
            attributes = read_attributes(file, child, path, self._context, header=header, only=SCALE_ATTRIBUTES)
            return read_scale(read_space(file, child, header), identity, attributes)


def _find(file: OpenFile, group: Any, name: bytes) -> Link | None:
    """The link of an open group by its name, where it has one.

    Raises
    ------
    MalformedFileError
        It has several.
    """
    links = file.contents.links(address_of(group, b"."), group)
    first, stop = bisect_left(links, name, key=_BY_NAME), bisect_right(links, name, key=_BY_NAME)
    if stop > first + 1:
        raise MalformedFileError(f"{stop - first} links have the name {decode_text(name)!r}")
    return links[first] if stop > first else None
