"""Where the files are that a file points at: the places in which libhdf5 looks for them, in its order.

Those are, of external links and of the sources of virtual datasets alike (HDF5 reference manual, ``H5Lcreate_external``
and ``H5Pset_virtual_prefix``): the name itself where it is an absolute path; the directories that an environment variable
lists; the directory of the file that points there; the working directory; and the directory of the file that a symbolic
link to it stands for. Of an absolute path that leads nowhere only the last component counts: data that was copied from
another machine still finds its parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from manifestry.plugin import Source, SourceError

__all__ = ["PointsBy", "find_linked_file"]

_ORIGIN = "${ORIGIN}"
"""At the beginning of the variable for sources of virtual datasets: the directory of the file that points there."""


class PointsBy(StrEnum):
    """How one file points at another; what people call it."""

    EXTERNAL_LINK = "external link"
    VIRTUAL_SOURCE = "virtual dataset with a source"
    RAW_FILE = "external raw file"

    @property
    def variable(self) -> str:
        """The environment variable that lists directories to look in, ``""`` for none."""
        return _VARIABLES.get(self, "")


_VARIABLES = {PointsBy.EXTERNAL_LINK: "HDF5_EXT_PREFIX", PointsBy.VIRTUAL_SOURCE: "HDF5_VDS_PREFIX"}


def find_linked_file(source: Source, name: str, points_by: PointsBy, permit: Callable[[Source], None]) -> Source:
    """The file that another one names.

    Parameters
    ----------
    source
        The file that points there.
    name
        As it stands in that file.
    permit
        Raises where the file may not be asked for.

    Raises
    ------
    SourceError
        It is in none of the places.
    """
    directory = None if source.local_path is None else source.local_path.parent
    series = points_by is PointsBy.VIRTUAL_SOURCE and "%" in name  # the names of many files
    if series or "://" in name or not points_by.variable or (directory is None and not name.startswith("/")):
        return _permitted(source.resolve(name), permit)
    if directory is None:  # a remote file: its own server is all there is
        absolute = _permitted(source.resolve(name), permit)
        return absolute if absolute.exists() else _permitted(source.resolve(name.rpartition("/")[2]), permit)
    assert source.local_path is not None
    listed = [os.path.normpath(each) + os.sep for each in _listed_directories(source.local_path, points_by)]
    for path in _places(source.local_path, name, points_by):
        if path.is_file():
            place = _without_dots(path)
            found = Source.at(f"file://{place}", source.registry)
            # What lies below a directory of the variable, the user has named.
            return found if place.startswith(tuple(listed)) else _permitted(found, permit)
    variable = points_by.variable
    where = f"in the directories of {variable}" if variable in os.environ else f"where {variable} could say"
    raise SourceError(f"{source.resolve(name).url}: does not exist, nor is it beside {source.url} or {where}")


def _permitted(source: Source, permit: Callable[[Source], None]) -> Source:
    permit(source)
    return source


def _without_dots(path: Path) -> str:
    """The path of a file without ``.`` and ``..``; links in it stay links, unless a ``..`` leads out of one."""
    plain = os.path.normpath(path)
    return plain if os.path.exists(plain) and os.path.samefile(plain, path) else os.path.realpath(path)  # noqa: PTH110, PTH121 raw


def _places(file: Path, name: str, points_by: PointsBy) -> Iterator[Path]:
    """Absolute paths at which a file may be that another one names."""
    inner = name
    if name.startswith("/"):
        yield Path(name)
        inner = name.rpartition("/")[2]
    for directory in _listed_directories(file, points_by):
        yield Path(directory) / inner
    yield file.parent / inner
    yield Path.cwd() / inner
    yield Path(os.path.realpath(file)).parent / inner


def _listed_directories(file: Path, points_by: PointsBy) -> list[str]:
    """The directories of the environment variable; one that begins with the directory of the file stands alone."""
    listed = os.environ.get(points_by.variable, "")
    if points_by is PointsBy.VIRTUAL_SOURCE and listed.startswith(_ORIGIN):
        return [f"{file.parent}{listed.removeprefix(_ORIGIN)}"]
    # Links in it stay links, as libhdf5 has it.
    return [os.path.abspath(directory) for directory in listed.split(os.pathsep) if directory]  # noqa: PTH100
