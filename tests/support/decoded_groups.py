"""What xarray sees of an output, in a process that has none of our packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
from other_process import ask

__all__ = ["decoded_groups", "groups_of"]

type Group = tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]]
"""Attributes; and by name the dimensions, values and attributes of each variable."""


def decoded_groups(fmt: str, target: Path, *groups: str) -> dict[str, Group]:
    """Groups of an output by path, ``/`` for the root."""
    found: dict[str, Group] = ask("decoded_groups.groups_of", fmt, str(target), groups)
    return found


def groups_of(fmt: str, target: str, groups: tuple[str, ...]) -> dict[str, Group]:
    """As `decoded_groups`, in this process."""
    opener = _open_icechunk if fmt == "icechunk" else _open_kerchunk
    found = {}
    for group in groups:
        with opener(target, "" if group == "/" else group).load() as dataset:
            variables = {str(name): (v.dims, v.values, v.attrs) for name, v in dataset.variables.items()}
            found[group] = (dataset.attrs, variables)
    return found


def _open_icechunk(target: str, group: str) -> xr.Dataset:
    """As the report of the writer says."""
    import icechunk

    storage = icechunk.local_filesystem_storage(target)
    config = icechunk.Repository.fetch_config(storage)
    allowed = dict.fromkeys(config.virtual_chunk_containers, icechunk.Credentials.LocalFileSystemAccess())
    repository = icechunk.Repository.open(
        storage, authorize_virtual_chunk_access=icechunk.containers_credentials(allowed)
    )
    return xr.open_zarr(repository.readonly_session("main").store, group=group or None, consolidated=False)


def _open_kerchunk(target: str, group: str) -> xr.Dataset:
    """With the engine that the kerchunk package registers."""
    options = {"group": group} if group else {}
    files = {"remote_protocol": "file"}
    return xr.open_dataset(target, engine="kerchunk", storage_options=files, open_dataset_options=options)
