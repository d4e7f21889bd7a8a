"""What a store or the file system says of an object, and bytes of a local file: in one form for all who ask."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError

from manifestry.model.files import SourceFile
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.retrying import retry

__all__ = [
    "file_from_metadata",
    "file_from_status",
    "files_below",
    "list_objects",
    "open_regular",
    "read_at",
    "read_ranges",
]


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


def open_regular(path: Path) -> int:
    """A descriptor for reading a file of a disk: devices and pipes may have no end, or keep us waiting for it.

    Raises
    ------
    OSError
        It is another kind of file, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_dev not in _devices_of_the_system():
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(str(path))
    raise OSError(errno.EINVAL, "is no file of a disk")


@cache
def _devices_of_the_system() -> frozenset[int]:
    """The devices of files that look regular and hold what is of this process and this machine."""
    return frozenset(os.stat(place).st_dev for place in ("/proc", "/sys") if os.path.ismount(place))


def read_ranges(path: Path, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes of ranges of a local file; fewer only where the file ends."""
    descriptor = open_regular(path)
    try:
        return [read_at(descriptor, start, stop) for start, stop in ranges]
    finally:
        os.close(descriptor)


def read_at(descriptor: int, start: int, stop: int) -> bytes:
    """The bytes ``start:stop``; the system returns at most 2 GiB at once, and fewer only at the end of the file."""
    data = os.pread(descriptor, stop - start, start)
    parts = [data]
    while data and (start := start + len(data)) < stop:
        data = os.pread(descriptor, stop - start, start)
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
