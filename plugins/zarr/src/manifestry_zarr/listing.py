"""Everything below a prefix, with sizes, times and entity tags, in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from manifestry.model.files import SourceFile
from manifestry.storage.errors import source_errors
from manifestry.storage.objects import listed
from manifestry.storage.source import Source

__all__ = ["list_objects"]


def list_objects(source: Source) -> Iterator[tuple[str, SourceFile]]:
    """The key below the prefix and what is known, of every object.

    Raises
    ------
    SourceError
        The store cannot be listed.
    """
    if source.local_path is None:
        yield from _remote_objects(source)
        return
    with source_errors(source.url):
        yield from _local_objects(source)


def _local_objects(source: Source) -> Iterator[tuple[str, SourceFile]]:
    root = str(source.local_path)
    for directory, _, names in os.walk(root):
        inner = "" if directory == root else os.path.relpath(directory, root) + "/"
        for name in names:
            status = Path(directory, name).stat()
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            yield inner + name, SourceFile(f"{source.url}/{inner}{name}", status.st_size, None, modified)


def _remote_objects(source: Source) -> Iterator[tuple[str, SourceFile]]:
    prefix = source.path.rstrip("/") + "/" if source.path else ""
    for entry in listed(source.url, source.registry):
        key = entry["path"].removeprefix(prefix)
        url = f"{source.url.rstrip('/')}/{key}"
        yield key, SourceFile(url, entry["size"], entry["e_tag"], entry["last_modified"])
