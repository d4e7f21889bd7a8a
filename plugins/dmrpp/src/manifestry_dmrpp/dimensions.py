"""Names and lengths of the dimensions of variables.

A ``Dim`` names a dimension by its path from the root, or relative to its group and the groups above; or it has a length
only. Such an axis gets the name that netCDF-C gives to dimensions without one (``phony_dim_3``), so that a document and
the HDF5 file that it describes give the same names.

A variable that has the name of a dimension and is not its coordinate is stored by netCDF-4 as ``_nc4_non_coord_NAME``.
Documents may have either name; ``NAME`` is the one that netCDF has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from manifestry.plugin import MalformedFileError

from manifestry_dmrpp.document import Attribute, Dim, Group, Variable

__all__ = ["DimensionNames", "axis_lengths", "restore_names", "without_mark"]

_NOT_COORDINATE: Final = "_nc4_non_coord_"
_MARKS: Final = frozenset({"_NCProperties", "_nc3_strict"})


def axis_lengths(variable: Variable) -> tuple[int, ...]:
    """Elements along each dimension of a variable.

    Raises
    ------
    MalformedFileError
        A dimension is not declared, or its length is not a number.
    """
    return tuple(_length(dim, variable.group) for dim in variable.dims)


def _length(dim: Dim, group: Group) -> int:
    size = _declared_length(dim.name, group) if dim.name is not None else dim.size
    if size is None or not (size.isascii() and size.isdecimal()):
        raise MalformedFileError(f"the dimension {dim.name or ''!r} has the length {size!r}: must be an integer")
    if int(size) >= 1 << 63:
        raise MalformedFileError(f"the dimension {dim.name or ''!r} has the length {size}: must be less than 2**63")
    return int(size)


def _declared_length(name: str, group: Group) -> str:
    """The length of a shared dimension as the document has it."""
    path, _, last = name.rpartition("/")
    scopes = [list(group.scopes())[-1]] if name.startswith("/") else list(group.scopes())
    for scope in scopes:
        holder = scope.find(path)
        if holder is not None and last in holder.dimensions:
            return holder.dimensions[last]
    raise MalformedFileError(f"the dimension {name!r} is not declared")


class DimensionNames:
    """Dimension names of all variables in a group and below it, wanted or not: no name depends on what is selected.

    Parameters
    ----------
    root
        The whole document.
    top
        The group that was asked for. Axes without a name are numbered in groups below before those above.
    """

    def __init__(self, root: Group, top: Group) -> None:
        self._dimensions = {g.path: [(n, s) for n, s in g.dimensions.items()] for g in root.walk()}
        self._next = sum(map(len, self._dimensions.values()))
        self._names: dict[int, tuple[str, ...]] = {}
        self._name_all(top)

    def of(self, variable: Variable) -> tuple[str, ...]:
        """The names of the axes of a variable whose `axis_lengths` are known."""
        return self._names[id(variable)]

    def _name_all(self, group: Group) -> None:
        for child in group.groups:
            self._name_all(child)
        for variable in group.variables:
            with suppress(MalformedFileError):  # reported when the variable is made
                self._names[id(variable)] = self._name_axes(variable, axis_lengths(variable))

    def _name_axes(self, variable: Variable, shape: Sequence[int]) -> tuple[str, ...]:
        names = [None if dim.name is None else dim.name.rpartition("/")[2] for dim in variable.dims]
        pool = self._dimensions[variable.group.path]
        for axis, length in enumerate(shape):
            if names[axis] is None:
                names[axis] = self._name_phony(pool, str(length), names)
        return tuple(name or "" for name in names)

    def _name_phony(self, pool: list[tuple[str, str]], length: str, taken: Sequence[str | None]) -> str:
        match = next((name for name, size in pool if size == length and name not in taken), None)
        if match is None:
            match = f"phony_dim_{self._next}"
            self._next += 1
            pool.append((match, length))
        return match


def without_mark(path: str) -> str:
    """The path of a variable with the name that netCDF has for it, if it is one of those."""
    group, slash, name = path.rpartition("/")
    return f"{group}{slash}{name.removeprefix(_NOT_COORDINATE) or name}"


def restore_names(root: Group, wanted: Callable[[str], bool]) -> None:
    """Give such variables of a document their names: where it is one of netCDF-4, or has a dimension of that name beside.

    Parameters
    ----------
    wanted
        Whether the variable at a path is to become an array; asked again of those that have another path now.
    """
    netcdf = _is_netcdf(root.attributes)
    for group in root.walk():
        for variable in group.variables:
            name = without_mark(variable.name)
            if name != variable.name and (netcdf or name in group.dimensions):
                variable.stored_name, variable.name = variable.name, name
                variable.path = without_mark(variable.path)
            if variable.name.startswith(_NOT_COORDINATE) or variable.stored_name:
                variable.wanted = variable.wanted and wanted(variable.path)
    paths = {f"/{variable.path}" for group in root.walk() for variable in group.variables}
    for group in root.walk():
        for variable in group.variables:
            variable.maps = [_restored(path, group, paths) for path in variable.maps]


def _is_netcdf(attributes: list[Attribute]) -> bool:
    """Whether attributes of a document, or the global ones that are in a Container, are those of a netCDF-4 file."""
    return any(a.name in _MARKS or any(member.name in _MARKS for member in a.members) for a in attributes)


def _restored(path: str, group: Group, paths: set[str]) -> str:
    """The path of a Map, with the name that its variable has now."""
    whole = path if path.startswith("/") else "/" + f"{group.path}/{path}".lstrip("/")
    return path if whole in paths else without_mark(path)
