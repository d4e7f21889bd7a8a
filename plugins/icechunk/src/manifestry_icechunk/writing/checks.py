"""What of a tree an Icechunk repository cannot hold, found before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from manifestry.plugin import FileTable, Issue, VirtualArray, VirtualGroup, documents_of

from manifestry_icechunk.repository.containers import used_rows
from manifestry_icechunk.repository.locations import location_fault

__all__ = ["tree_issues"]

_MAX_INDEX: Final = 2**32 - 1


def tree_issues(tree: VirtualGroup) -> list[Issue]:
    """The refusals of a tree, and the attributes that JSON cannot hold."""
    issues: list[Issue] = []
    faults: dict[int, tuple[FileTable, dict[int, str]]] = {}
    for path, group in tree.walk():
        issues += documents_of(group, path).issues
        for name, array in group.arrays.items():
            where = f"{path}/{name}".lstrip("/")
            issues += documents_of(array.metadata, where).issues
            _, by_row = faults.setdefault(id(array.manifest.files), (array.manifest.files, {}))
            issues += _array_issues(where, array, by_row)
    return issues


def _array_issues(path: str, array: VirtualArray, faults: dict[int, str]) -> Iterator[Issue]:
    grid = array.manifest.grid_shape
    if any(n > _MAX_INDEX for n in grid):
        yield Issue(
            path=path, feature="a chunk index above 2**32", message=f"the grid is {grid}", hint="choose larger chunks"
        )
    files = array.manifest.files
    for row in used_rows(array.manifest).tolist():
        if row not in faults:
            faults[row] = location_fault(files.urls[row])
        if faults[row]:
            hint = "move the source, or give it another URL with relocate"
            yield Issue(
                path=path,
                feature="source URL that Icechunk cannot read",
                message=f"{files.urls[row][:200]}: {faults[row]}",
                hint=hint,
            )
            return
