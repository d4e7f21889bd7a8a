"""The lines of Python that open what was written, for a process that has icechunk, zarr and xarray only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from manifestry.plugin import VirtualGroup

from manifestry_icechunk.repository.constructors import Call

__all__ = ["reader_lines"]

_LOCAL: Final = "local_filesystem_storage"
_QUIET: Final = "icechunk.set_logs_filter('warn,icechunk_arrow_object_store=error')  # its warning is for writers"
"""icechunk warns of concurrent commits whenever it touches local files; a reader makes none."""


def reader_lines(
    storage: Call | None, access: Mapping[str, Call], branch: str, group: str, trees: Sequence[VirtualGroup]
) -> str:
    """The lines.

    Parameters
    ----------
    storage
        The call that makes the storage; None when only the caller knows it.
    access
        Credentials by container prefix.
    group
        Path of the group that was written.
    trees
        What was written there.
    """
    credentials = "".join(f"\n    {prefix!r}: {call.python()}," for prefix, call in access.items())
    lines = [
        "import icechunk",
        "import xarray as xr" if _for_xarray(trees) else "import zarr",
        "",
        *([_QUIET] if storage is not None and storage.function == _LOCAL else ()),
        f"storage = {storage.python()}" if storage else "storage = ...  # that of your repository",
        f"access = icechunk.containers_credentials({{{credentials}{chr(10) if credentials else ''}}})",
        "repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)",
        f"store = repository.readonly_session({branch!r}).store",
        _open(trees, group),
    ]
    return "\n".join(lines) + "\n"


def _open(trees: Sequence[VirtualGroup], group: str) -> str:
    where = f", group={group!r}" if group else ""
    if not _for_xarray(trees):
        return f"root = zarr.open_group(store{f', path={group!r}' if group else ''}, mode='r')"
    if not any(tree.groups for tree in trees):
        return f"ds = xr.open_zarr(store{where}, consolidated=False)"
    if all(_aligned(tree, {}, frozenset()) for tree in trees):
        return f"tree = xr.open_datatree(store, engine='zarr'{where}, consolidated=False)"
    return f"datasets = xr.open_groups(store, engine='zarr'{where}, consolidated=False)"


def _for_xarray(trees: Iterable[VirtualGroup]) -> bool:
    """Whether every group is a dataset to xarray: dimensions have names, distinct in an array, and one length each."""
    return all(_dataset_sizes(group) is not None for tree in trees for _, group in tree.walk())


def _dataset_sizes(group: VirtualGroup) -> dict[str, int] | None:
    """The lengths of the dimensions of a group, None where it is no dataset."""
    sizes: dict[str, int] = {}
    for array in group.arrays.values():
        if array.dims is None or len(set(array.dims)) != len(array.dims):
            return None
        for dim, size in zip(array.dims, array.shape, strict=True):
            if dim is None or sizes.setdefault(dim, size) != size:
                return None
    return sizes


def _aligned(group: VirtualGroup, sizes: Mapping[str, int], indexed: frozenset[str]) -> bool:
    """Whether groups fit their parents, as xarray's DataTree wants: lengths are equal, and no two indexes may differ."""
    own = _dataset_sizes(group) or {}
    indexes = {name for name, array in group.arrays.items() if array.dims == (name,)}
    if any(sizes.get(dim, size) != size for dim, size in own.items()) or indexes & indexed:
        return False
    return all(_aligned(child, {**sizes, **own}, indexed | indexes) for child in group.groups.values())
