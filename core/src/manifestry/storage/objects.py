"""What a store or the file system says of an object, and bytes of a local file: in one form for all who ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError

from manifestry.model.files import SourceFile
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.retrying import retry

__all__ = ["file_from_metadata", "file_from_status", "files_below", "list_objects", "read_at"]


def file_from_metadata(url: str, meta: Any) -> SourceFile:
    """An object by the metadata of the store library (obstore's ``ObjectMeta``)."""
    when = meta["last_modified"]
    # A server that does not say when an object changed shows up as the epoch.
    return SourceFile(url, meta["size"], meta["e_tag"], when if when.timestamp() > 0 else None)


def file_from_status(url: str, status: os.stat_result) -> SourceFile:
    """A local file by its status."""
    return SourceFile(url, status.st_size, None, datetime.fromtimestamp(status.st_mtime, UTC))


def files_below(root: Path, url: str) -> Iterator[tuple[str, SourceFile]]:
    """The files of a local directory and of those in it: the path below it, and their status."""
    for directory, _, names in os.walk(root):
        inner = "" if directory == str(root) else os.path.relpath(directory, root) + "/"
        for name in names:
            yield inner + name, file_from_status(f"{url}/{inner}{name}", Path(directory, name).stat())


def list_objects(url: str, registry: StoreRegistry) -> Iterator[Any]:
    """The metadata of all objects below a canonical URL, in the store's order of their keys.

    Raises
    ------
    SourceError
        They cannot be listed.
    """
    store, key = registry.resolve(url.rstrip("/"))
    prefix = f"{key.rstrip('/')}/" if key else None
    pages: Any = None
    last: str | None = None

    def next_page() -> Any:
        nonlocal pages
        try:
            # After a fault the listing goes on behind what is known.
            pages = pages or iter(obstore.list(store, prefix=prefix, offset=last))
            return next(pages, None)
        except BaseError:
            pages = None
            raise

    while (page := retry(url, registry.policy_of(url), next_page)) is not None:
        yield from page
        last = page[-1]["path"] if page else last


def read_at(descriptor: int, start: int, stop: int) -> bytes:
    """The bytes ``start:stop``; the system returns at most 2 GiB at once, and fewer only at the end of the file."""
    data = os.pread(descriptor, stop - start, start)
    parts = [data]
    while data and (start := start + len(data)) < stop:
        data = os.pread(descriptor, stop - start, start)
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
