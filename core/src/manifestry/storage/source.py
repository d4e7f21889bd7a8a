"""Source: one object, or one prefix, as parsers see it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, BinaryIO, cast

from obstore import exceptions as obs
from obstore.store import HTTPStore

from manifestry.errors import SourceError, one_line
from manifestry.model.files import NamedBy, SourceFile
from manifestry.storage.access import Access
from manifestry.storage.blocks import BlockReader
from manifestry.storage.errors import Fault, fault_of, source_errors
from manifestry.storage.objects import (
    file_from_metadata,
    file_from_status,
    files_below,
    list_objects,
    open_regular,
    read_ranges,
)
from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.storage.retrying import retry
from manifestry.storage.side_by_side import read_side_by_side
from manifestry.storage.urls import canonical_url, join_url

__all__ = ["HEAD_BYTES", "REMOTE_HEAD_BYTES", "Source"]

HEAD_BYTES = (64 << 10) + 64
"""Bytes of the one header read that detection and parsers share: it holds what follows a preamble of 64 KiB."""

REMOTE_HEAD_BYTES = 256 << 10
"""As `HEAD_BYTES`, of remote objects: what takes about as long to travel as a further request takes to be answered."""

COALESCE_BYTES = 16 << 10
"""Ranges closer than this are fetched as one request; obstore's own 1 MiB would fetch whole files."""


class Source:
    """One object of a store, or a prefix that many objects share.

    Parameters
    ----------
    location
        Path or URL (see `manifestry.storage.urls`).
    stores
        Object stores by URL prefix, an ``ObjectStoreRegistry`` or a `StoreRegistry`.

    Attributes
    ----------
    url
        Canonical URL.
    local_path
        Path in the local file system when the object is read from there, else None. Format libraries that want a file
        can open it directly.
    named_by
        Who named the object, and so how far its server may redirect us.

    Notes
    -----
    Size, entity tag and time of last change are asked for once and then kept: they describe the object as it was when
    parsing began, and writers store them as checksums. Those of a remote object come with its first bytes where `head`
    is asked for before them.

    Examples
    --------
    >>> from obstore.store import MemoryStore
    >>> memory = MemoryStore()
    >>> _ = memory.put("a.bin", b"0123456789")
    >>> source = Source("memory://here/a.bin", {"memory://here": memory})
    >>> source.size, source.head(4), source.ranges([(2, 4), (8, 10)])
    (10, b'0123', [b'23', b'89'])
    """

    _head = b""
    named_by = NamedBy.CALLER

    def __init__(self, location: str | os.PathLike[str], stores: Stores = None) -> None:
        self.url = canonical_url(location)
        self.registry = StoreRegistry.of(stores)
        self.local_path = self.registry.local_path(self.url)

    @classmethod
    def at(
        cls,
        url: str,
        registry: StoreRegistry,
        known: SourceFile | None = None,
        *,
        named_by: NamedBy = NamedBy.CALLER,
    ) -> Source:
        """The source at a URL that is canonical already: nothing in it is decoded once more.

        With `known`, the object is taken to be what it was then, and not asked for its size.
        """
        source = cls.__new__(cls)
        source.named_by = named_by if known is None else known.named_by
        if known is not None and known.size is not None:
            source.file = known
        source.url, source.registry = url, registry
        source.local_path = registry.local_path(url)
        return source

    def with_access(self, access: Access | None) -> Source:
        """The same source, which may point at other files as the caller says, if so; what is known of it stays known."""
        if access is None:
            return self
        other = Source.__new__(Source)
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name != "_location"})
        other.registry = StoreRegistry.of(self.registry, access)
        return other

    def __repr__(self) -> str:
        return f"<Source {one_line(self.url)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _at, (self.url, self.registry, self.named_by)

    @property
    def name(self) -> str:
        """The last segment of the URL, without a query."""
        text = self.url.rstrip("/")
        if text.startswith("http"):
            text = text.partition("?")[0]
        return text.rpartition("/")[2]

    @cached_property
    def _location(self) -> tuple[Any, str]:
        return self.registry.resolve(self.registry.destination(self.url, self.named_by))

    @property
    def store(self) -> Any:
        """The obstore store that serves the object."""
        return self._location[0]

    @property
    def path(self) -> str:
        """The key of the object in `store`."""
        return self._location[1]

    @cached_property
    def file(self) -> SourceFile:
        """What is known of the object: what manifests and provenance keep.

        Raises
        ------
        SourceError
            There is no such object, or it may not be read.
        """
        if self.local_path is None:
            return self._described(self._ask(self._head_request))
        with source_errors(self.url):
            status = os.stat(self.local_path)
            if self.local_path.is_dir():
                raise IsADirectoryError(self.url)
            return replace(file_from_status(self.url, status), named_by=self.named_by)

    def _described(self, meta: Any) -> SourceFile:
        return replace(file_from_metadata(self.url, meta), named_by=self.named_by)

    def _ask[T](self, ask: Callable[[], T]) -> T:
        """What the store answers, tried again as the registry says."""
        return retry(self.url, self.registry.policy_of(self.url), ask)

    def _head_request(self) -> Any:
        """The store's metadata of the object."""
        try:
            return self.store.head(self.path)
        except (FileNotFoundError, obs.PermissionDeniedError, obs.UnauthenticatedError, obs.NotSupportedError):
            if not self.url.startswith("http"):
                raise
            # Some servers answer no HEAD requests, and a signed URL allows one method: ask for one byte instead.
            with suppress(obs.BaseError, FileNotFoundError):
                return self.store.get(self.path, options={"range": (0, 1)}).meta
            raise

    @property
    def size(self) -> int:
        """Length in bytes."""
        size = self.file.size
        assert size is not None
        return size

    @property
    def etag(self) -> str | None:
        """Entity tag, None where the store has none (local files)."""
        return self.file.etag

    @property
    def last_modified(self) -> datetime | None:
        """Time of the last change, None where the server does not say."""
        return self.file.last_modified

    def exists(self) -> bool:
        """Whether there is an object at the URL (a prefix does not count)."""
        return _is_there(lambda: self.file)

    def head(self, count: int | None = None) -> bytes:
        """The first bytes: one read, shared by everybody who looks at the header.

        Parameters
        ----------
        count
            Bytes wanted; None for what that one read gives: at least 64 KiB where the object has them.
        """
        if not self._head:
            self._head = self._read_head()
        if count is None or count <= len(self._head):
            return self._head[:count]
        return self.range(0, count) if len(self._head) < self.size else self._head

    def _read_head(self) -> bytes:
        remote = self.local_path is None
        if remote and "file" not in self.__dict__ and _is_obstore(self.store):
            try:
                meta, data = self._ask(self._first_request)
            except SourceError as error:
                # Empty objects have no ranges, and some servers have none of anything.
                if "range" not in str(error.__cause__).lower():
                    raise
            else:
                file = self._described(meta)
                if len(data) == min(REMOTE_HEAD_BYTES, meta["size"]):
                    self.file = file
                    return data
        return self.range(0, REMOTE_HEAD_BYTES if remote else HEAD_BYTES)

    def _first_request(self) -> tuple[Any, bytes]:
        """The store's metadata of the object, and its first bytes."""
        answer = self.store.get(self.path, options={"range": (0, REMOTE_HEAD_BYTES)})
        return answer.meta, bytes(memoryview(answer.bytes()))

    def range(self, start: int, stop: int) -> bytes:
        """The bytes ``start:stop``; fewer only where the object ends.

        Raises
        ------
        SourceError
            The object cannot be read.
        """
        return self.ranges([(start, min(stop, self.size))])[0]

    def ranges(self, ranges: Sequence[tuple[int, int]], *, coalesce: int = COALESCE_BYTES) -> list[bytes]:
        """The bytes of many ``(start, stop)``, fetched concurrently.

        Parameters
        ----------
        coalesce
            Ranges with at most this many bytes between them become one request.

        Raises
        ------
        SourceError
            The object cannot be read, or ends before a range does.
        """
        wanted = [(start, stop) for start, stop in ranges if stop > start]  # stores refuse empty ranges
        for start, stop in wanted:
            if start < 0 or stop > self.size:
                raise SourceError(
                    f"{one_line(self.url)}: has {self.size} bytes, so the range {start}:{stop} is not in it"
                )
        parts = iter(self._fetch(wanted, coalesce) if wanted else [])
        return [next(parts) if stop > start else b"" for start, stop in ranges]

    def _fetch(self, ranges: Sequence[tuple[int, int]], coalesce: int) -> list[bytes]:
        """The bytes of ranges that lie inside the object."""
        if self.local_path is None:
            parts = read_side_by_side(ranges, coalesce, lambda some: self._fetch_remote(some, coalesce))
        else:
            with source_errors(self.url):
                parts = read_ranges(self.local_path, ranges)
        for (start, stop), data in zip(ranges, parts, strict=True):
            if len(data) != stop - start:
                raise SourceError(
                    f"{one_line(self.url)}: has changed: it ends at byte {start + len(data)} now, and had {self.size} "
                    "bytes"
                )
        return parts

    def _fetch_remote(self, ranges: Sequence[tuple[int, int]], coalesce: int) -> list[bytes]:
        """The bytes of ranges from the store.

        What a server cannot give at once is asked for in halves: one request that fails of many would fail them all.
        """

        def ask() -> list[bytes]:
            # Other stores than obstore's join ranges in their own way.
            more = {"coalesce": coalesce} if _is_obstore(self.store) else {}
            starts, stops = zip(*ranges, strict=True)
            got = self.store.get_ranges(self.path, starts=list(starts), ends=list(stops), **more)
            return [bytes(memoryview(part)) for part in got]

        if len(ranges) == 1 or self.registry.policy_of(self.url) is None:
            return self._ask(ask)
        try:
            return retry(self.url, None, ask)
        except SourceError as error:
            if error.__cause__ is None or fault_of(error.__cause__) is not Fault.PASSING:
                raise
        middle = len(ranges) // 2
        return self._fetch_remote(ranges[:middle], coalesce) + self._fetch_remote(ranges[middle:], coalesce)

    def open(self, *, block_size: int = 64 << 10) -> BinaryIO:
        """A seekable binary reader: the file itself when it is local, else one with a random-access block cache."""
        if self.local_path is not None:
            with source_errors(self.url):
                return os.fdopen(open_regular(self.local_path), "rb")
        return cast("BinaryIO", io.BufferedReader(self.blocks(block_size=block_size), buffer_size=block_size))

    def blocks(self, *, block_size: int = 64 << 10, max_blocks: int = 4096) -> BlockReader:
        """The reader with a block cache, for parsers that prefetch. The header that was read already is in it."""
        reader = BlockReader(
            lambda ranges: self.ranges(ranges, coalesce=0), self.size, block_size=block_size, max_blocks=max_blocks
        )
        reader.preload(0, self._head)
        return reader

    def resolve(self, reference: str) -> Source:
        """The source that a document at this URL points at: a URL, an absolute path, or a path beside it."""
        url = join_url(self.url, reference)
        return Source.at(url, self.registry, named_by=self.registry.named_by(self.url, url))

    @cached_property
    def is_prefix(self) -> bool:
        """Whether this is no object but a directory: objects have URLs that begin with it and a slash.

        Asks for the first bytes first: they are needed anyway, and whoever may read an object may not always list.
        """
        if self.local_path is not None:
            with source_errors(self.url):
                return self.local_path.is_dir()
        if isinstance(self.store, HTTPStore) or not hasattr(self.store, "list"):
            return False  # plain HTTP cannot list
        if not self.url.endswith("/") and _is_there(self.head) and self.size:
            return False  # an object without bytes may stand for a directory
        prefix = self.path.rstrip("/") + "/" if self.path else None
        return bool(self._ask(lambda: next(iter(self.store.list(prefix, chunk_size=1)), [])))

    def list(self) -> list[str]:
        """The names directly below a prefix, sorted; those of further prefixes end with a slash."""
        if self.local_path is not None:
            with source_errors(self.url):
                return sorted(e.name + ("/" if e.is_dir() else "") for e in os.scandir(self.local_path))
        prefix = self.path.rstrip("/") + "/" if self.path else ""
        listing = self._ask(lambda: self.store.list_with_delimiter(prefix or None))
        objects = [
            o["path"].removeprefix(prefix) for o in listing["objects"] if o["path"].rstrip("/") != self.path.rstrip("/")
        ]
        prefixes = [p.removeprefix(prefix).rstrip("/") + "/" for p in listing["common_prefixes"]]
        return sorted(objects + prefixes)

    def walk(self) -> Iterator[tuple[str, SourceFile]]:
        """Everything below a prefix, in one pass: the key below the prefix, and what is known of the object.

        Raises
        ------
        SourceError
            The store cannot be listed.
        """
        if self.local_path is not None:
            with source_errors(self.url):
                yield from files_below(self.local_path, self.url)
            return
        prefix = self.path.rstrip("/") + "/" if self.path else ""
        for meta in list_objects(self.url, self.registry):
            key = meta["path"].removeprefix(prefix)
            yield key, file_from_metadata(f"{self.url.rstrip('/')}/{key}", meta)

    def child(self, name: str) -> Source:
        """The object or prefix of a relative name below this prefix."""
        return Source.at(f"{self.url.rstrip('/')}/{name}", self.registry, named_by=self.named_by)


def _at(url: str, registry: StoreRegistry, named_by: NamedBy) -> Source:
    """How a pickled source is made again."""
    return Source.at(url, registry, named_by=named_by)


def _is_obstore(store: Any) -> bool:
    """Whether a store is one of obstore's own, and not only one that looks alike."""
    return type(store).__module__.startswith("obstore")


def _is_there(ask: Callable[[], object]) -> bool:
    """Whether there is an object, by a question about it."""
    try:
        ask()
    except SourceError as error:
        if isinstance(error.__cause__, FileNotFoundError | IsADirectoryError | NotADirectoryError):
            return False
        raise
    return True
