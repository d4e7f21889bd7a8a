"""Following paths by links, in a file and to others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import Final

from manifestry.plugin import MalformedFileError, SourceError, UnsupportedFeatureError

from manifestry_hdf5.linked_files import PointsBy
from manifestry_hdf5.objects.object_table import ObjectKind, kind_of
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.open_files import Hdf5File, OpenFiles
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind

__all__ = ["LinkFollower", "NowhereError", "Place"]

_MAX_LINKS: Final = 16
"""Links that may be followed one after the other to get to one object, as many as libhdf5 follows."""

_BY_NAME: Final = attrgetter("name")

type Place = tuple[Hdf5File, int]
"""A file, and the address of an object header in it."""


class NowhereError(Exception):
    """A soft or external link leads nowhere."""


class LinkFollower:
    """Follows paths through the files of a parse.

    Parameters
    ----------
    files
        Those that are open, and where they may point.
    follow_external
        Whether external links are followed.
    """

    def __init__(self, files: OpenFiles, *, follow_external: bool) -> None:
        self._files = files
        self._follow_external = follow_external

    def follow(self, file: Hdf5File, target: bytes, path: str) -> Place:
        """The object that a path from the root of a file leads to, and the file that it is in.

        Raises
        ------
        MalformedFileError
            It leads nowhere, or something on the way is damaged.
        UnsupportedFeatureError
            It goes through an external link that is not followed.
        """
        try:
            return self.target(file, file.superblock.root, b"/" + target, path)
        except NowhereError as error:
            raise MalformedFileError(f"{path}: {error}") from error

    def link_path(self, file: Hdf5File, path: str) -> str:
        """The path by links to the array at a path of the tree; see `NetcdfNames`.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError
            As `follow`.
        """
        above, slash, name = path.rpartition("/")
        try:
            place, group = self.follow(file, above.encode(), path)
        except MalformedFileError:
            if not above:
                raise
            return f"{self.link_path(file, above)}/{name}"  # a field in a field of records
        if kind_of(place.objects.header(group)) is not ObjectKind.GROUP:
            return path  # a field of records
        names = place.netcdf_names
        link = next((link for link, shown in names.of(group).items() if shown == name), name)
        return path if link == name or names.is_taken(group, name) else f"{above}{slash}{link}"

    def target(self, file: Hdf5File, start: int, target: bytes, path: str, *, followed: int = 0) -> Place:
        """The object that a path leads to, seen from a group, and the file that it is in.

        Raises
        ------
        NowhereError
            It leads nowhere.
        UnsupportedFeatureError
            It goes through an external link, and those are not followed, or not to there.
        MalformedFileError
            Something on the way is damaged.
        """
        if followed > _MAX_LINKS:
            raise NowhereError("links lead in a circle")
        address = file.superblock.root if target.startswith(b"/") else start
        for name in target.split(b"/"):
            if name in (b"", b"."):
                continue
            link = _find(file, address, name)
            if link is None:
                raise NowhereError(f"{decode_text(name)} is not there")
            if link.kind is LinkKind.SOFT:
                file, address = self.target(file, address, link.target, path, followed=followed + 1)
            elif link.kind is LinkKind.EXTERNAL:
                file = self._other_file(file, link.file, path)
                root = file.superblock.root
                file, address = self.target(file, root, link.target, path, followed=followed + 1)
            elif link.kind is LinkKind.USER_DEFINED:
                raise UnsupportedFeatureError("link through a user-defined link", path, "link to the object itself")
            else:
                address = link.address
        return file, address

    def _other_file(self, file: Hdf5File, url: bytes, path: str) -> Hdf5File:
        """The file that an external link names."""
        if not self._follow_external:
            raise UnsupportedFeatureError("soft link through an external link", path, "set follow_external")
        try:
            return self._files.open(self._files.link_target(file, decode_text(url), PointsBy.EXTERNAL_LINK, path))
        except (MalformedFileError, SourceError) as error:
            raise NowhereError(str(error)) from error


def _find(file: Hdf5File, address: int, name: bytes) -> Link | None:
    """The link of a group by its name, where it is a group and has one.

    Raises
    ------
    MalformedFileError
        It has several.
    """
    if kind_of(file.objects.header(address)) is not ObjectKind.GROUP:
        return None
    links = file.objects.links(address)
    first, stop = bisect_left(links, name, key=_BY_NAME), bisect_right(links, name, key=_BY_NAME)
    if stop > first + 1:
        raise MalformedFileError(f"{stop - first} links have the name {decode_text(name)!r}")
    return links[first] if stop > first else None
