"""The lines of Python that open what was written, for a process that has icechunk, zarr and xarray only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from manifestry.plugin import VirtualGroup, WriteReport

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
    imports, line = WriteReport.opening_lines(trees, "store", group)
    credentials = "".join(f"\n    {prefix!r}: {call.python()}," for prefix, call in access.items())
    lines = [
        "import icechunk",
        imports,
        "",
        *([_QUIET] if storage is not None and storage.function == _LOCAL else ()),
        f"storage = {storage.python()}" if storage else "storage = ...  # that of your repository",
        f"access = icechunk.containers_credentials({{{credentials}{chr(10) if credentials else ''}}})",
        "repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)",
        f"store = repository.readonly_session({branch!r}).store",
        line,
    ]
    return "\n".join(lines) + "\n"
