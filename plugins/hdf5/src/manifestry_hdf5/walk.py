"""Groups, links and datasets of a file as plain data.

Only links are followed and objects opened. ``visititems``, ``H5Oget_info`` and the like read the whole chunk index of
every dataset, one small piece after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from h5py import h5d, h5g, h5l, h5o
from manifestry.plugin import MalformedFileError, ParseContext, SourceError, UnsupportedFeatureError, is_node_name

from manifestry_hdf5.libhdf5.files import Identity, OpenFile, OpenFiles, address_of, library_errors
from manifestry_hdf5.objects.attributes import decode_text, read_attributes
from manifestry_hdf5.objects.datasets import Axes, Dataset, read_axes, read_dataset, read_space
from manifestry_hdf5.objects.dimensions import SCALE_ATTRIBUTES, Scale, read_scale

__all__ = ["Group", "Walker"]

_OBJECT_HEADER_BYTES: Final = 512
"""What is fetched ahead of an object header; most are shorter."""

_MAX_LINKS: Final = 16
"""Links that may be followed one after the other to get to one object, as many as libhdf5 follows."""

_KINDS_OF_LINKS: Final = {h5l.TYPE_SOFT: "soft", h5l.TYPE_EXTERNAL: "external"}


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
        return self._group(group_file, identifier, "")

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
            group.attributes = read_attributes(file, identifier, path, self._context)
            for name, kind, address in self._links(file, identifier, path):
                if kind == h5l.TYPE_HARD:
                    child = h5o.open(identifier, name)
                    if isinstance(child, h5d.DatasetID):
                        identity = (file.source.url, address)
                        group.scales[decode_text(name)] = self._scale(file, child, identity, path)
        return group

    def _links(self, file: OpenFile, identifier: Any, path: str) -> list[tuple[bytes, int, int]]:
        """Name and kind of each link of a group, and the address a hard one leads to; those headers are fetched ahead."""
        links: list[tuple[bytes, int, int]] = []

        def add(name: bytes, info: Any) -> None:  # libhdf5 fills the same `info` again for the next link
            links.append((name, int(info.type), int(info.u) if info.type == h5l.TYPE_HARD else 0))

        with library_errors(f"group {path or '/'}"):
            file.check_names(identifier)
            identifier.links.iterate(add, info=True)
        file.prefetch([address for _, kind, address in links if kind == h5l.TYPE_HARD], _OBJECT_HEADER_BYTES)
        return links

    def _group(self, file: OpenFile, identifier: Any, path: str) -> Group:
        group = Group(path=path)
        identity = file.identity(identifier)
        self._above.append(identity)
        try:
            header = file.header(identity[1])
            group.attributes = read_attributes(file, identifier, path, self._context, header=header)
            links = self._links(file, identifier, path)
            times = Counter(raw for raw, _, _ in links)
            for raw, kind, address in links:
                name = self._name(raw, path)
                if name is not None:
                    with self._context.isolate(f"{path}/{name}".lstrip("/")):
                        if times[raw] > 1:  # libhdf5 opens either of them
                            raise MalformedFileError(f"group {path or '/'}: {times[raw]} links have the name {name!r}")
                        self._link(file, group, identifier, name, kind=kind, address=address)
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

    def _link(self, file: OpenFile, group: Group, identifier: Any, name: str, *, kind: int, address: int) -> None:
        path = f"{group.path}/{name}".lstrip("/")
        if kind == h5l.TYPE_EXTERNAL and not self._follow_external:
            self._context.report(path, "external link", "not followed because follow_external is false")
        elif kind == h5l.TYPE_HARD:
            file.check(address, path)
            with library_errors(path):
                child = h5o.open(identifier, name.encode())
            self._add_object(file, group, child, (file.source.url, address), path)
        elif kind in _KINDS_OF_LINKS:
            try:
                other, child = self._target(file, identifier, name.encode(), path)
            except _NowhereError as error:
                self._context.report(path, f"{_KINDS_OF_LINKS[kind]} link that leads nowhere", str(error))
            else:
                self._add_object(other, group, child, other.identity(child), path)
        else:
            self._context.report(path, "user-defined link", "only the program that made it knows what it leads to")

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
                if isinstance(location, h5g.GroupID):
                    file.check_names(location)
                if not isinstance(location, h5g.GroupID) or not location.links.exists(name):
                    raise _NowhereError(f"{decode_text(name)} is not there")
                kind = location.links.get_info(name).type
                if kind == h5l.TYPE_SOFT:
                    inside = location.links.get_val(name)
                    file, location = self._target(file, location, inside, path, followed=followed + 1)
                elif kind == h5l.TYPE_EXTERNAL:
                    url, inside = location.links.get_val(name)
                    file = self._other_file(file, url, path)
                    root = h5g.open(file.id, b"/")
                    file, location = self._target(file, root, inside, path, followed=followed + 1)
                else:
                    file.check(address_of(location, name), path)
                    location = h5o.open(location, name)
        return file, location

    def _other_file(self, file: OpenFile, url: bytes, path: str) -> OpenFile:
        """The file that an external link names."""
        if not self._follow_external:
            raise UnsupportedFeatureError("soft link through an external link", path, "set follow_external")
        try:
            return self._files.open(self._files.link_target(file, decode_text(url), "external link", path))
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
            group.groups[path.rpartition("/")[2]] = self._group(file, child, path)

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
