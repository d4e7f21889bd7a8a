"""The table of distinct source objects that the references of a manifest point into."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifestry.errors import IncompatibleArraysError, ManifestError, one_line, translated

__all__ = ["FileMerger", "FileTable", "NamedBy", "SourceFile", "relocate_url"]

UNKNOWN_SIZE = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NamedBy(IntEnum):
    """Who named a source object, and so how far a request for it may lead; the larger, the less far."""

    CALLER = 0
    """Whoever called us: wherever the server sends us."""

    TRUSTED = 1
    """A document, on its own host or where the caller allows it: redirects lead to that host and to public ones."""

    STRANGER = 2
    """A document, elsewhere: as `TRUSTED`, and the host itself must be a public one."""


_NAMED_BY = tuple(NamedBy)
"""By their values."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source object as it was when it was parsed.

    Attributes
    ----------
    url
        Canonical URL (see `manifestry.storage.urls`).
    size
        Length in bytes, or None when unknown.
    etag
        Entity tag as the store gives it, or None.
    last_modified
        Time zone aware time of the last change, or None. Kept to the microsecond.
    named_by
        Who named it; two descriptions of an object are equal whoever did.
    """

    url: str
    size: int | None = None
    etag: str | None = None
    last_modified: datetime | None = None
    named_by: NamedBy = field(default=NamedBy.CALLER, compare=False, repr=False)


class FileTable(Sequence[SourceFile]):
    """Distinct source objects, as columns; the position of a file is what `ChunkManifest.file_index` holds.

    Parameters
    ----------
    files
        The source objects, in order. URLs must be distinct.

    Notes
    -----
    Columns rather than objects: an archive of one file per chunk has as many files as chunks.
    """

    __slots__ = ("etags", "modified", "named_by", "sizes", "urls")

    urls: tuple[str, ...]
    sizes: NDArray[np.int64]  # bytes, UNKNOWN_SIZE where not known
    etags: tuple[str | None, ...]
    modified: NDArray[np.datetime64]  # microseconds UTC, NaT where not known
    named_by: NDArray[np.uint8]  # values of `NamedBy`

    def __init__(self, files: Iterable[SourceFile] = ()) -> None:
        rows = list(files)
        _fill(
            self,
            urls=tuple(f.url for f in rows),
            sizes=np.array([UNKNOWN_SIZE if f.size is None else f.size for f in rows], "i8"),
            etags=tuple(f.etag for f in rows),
            modified=np.array([_to_datetime64(f.last_modified) for f in rows], "M8[us]"),
            named_by=np.array([f.named_by for f in rows], "u1"),
        )

    @classmethod
    def _make(
        cls,
        urls: tuple[str, ...],
        sizes: NDArray[np.int64],
        etags: tuple[str | None, ...],
        modified: NDArray[np.datetime64],
        named_by: NDArray[np.uint8],
    ) -> FileTable:
        table = cls.__new__(cls)
        _fill(table, urls=urls, sizes=sizes, etags=etags, modified=modified, named_by=named_by)
        return table

    def __len__(self) -> int:
        return len(self.urls)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        size, when = int(self.sizes[index]), self.modified[index]
        return SourceFile(
            self.urls[index],
            None if size == UNKNOWN_SIZE else size,
            self.etags[index],
            None if np.isnat(when) else when.item().replace(tzinfo=UTC),
            _NAMED_BY[self.named_by[index]],
        )

    def __iter__(self) -> Iterator[SourceFile]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileTable):
            return NotImplemented
        return (
            self.urls == other.urls
            and self.etags == other.etags
            and np.array_equal(self.sizes, other.sizes)
            and np.array_equal(self.modified.view("i8"), other.modified.view("i8"))
        )

    def __hash__(self) -> int:
        return hash(self.urls)

    def __repr__(self) -> str:
        shown = ", ".join(map(one_line, self.urls[:3])) + (", …" if len(self) > 3 else "")
        return f"<FileTable of {len(self)}: {shown}>"

    def __reduce__(self) -> tuple[Any, ...]:
        columns = (self.urls, np.array(self.sizes), self.etags, np.array(self.modified), np.array(self.named_by))
        return FileTable._make, columns

    @property
    def nbytes(self) -> int:
        """Bytes of memory held, the text of the URLs included."""
        texts = sum(map(sys.getsizeof, self.urls)) + sum(sys.getsizeof(e) for e in self.etags if e is not None)
        return texts + 16 * len(self) + self.sizes.nbytes + self.modified.nbytes + self.named_by.nbytes

    def take(self, rows: NDArray[np.integer[Any]]) -> FileTable:
        """The table of some rows, in the order given."""
        picked = rows.tolist()
        return FileTable._make(
            tuple(self.urls[i] for i in picked),
            self.sizes[rows],
            tuple(self.etags[i] for i in picked),
            self.modified[rows],
            self.named_by[rows],
        )

    def named(self, by: NDArray[np.uint8]) -> FileTable:
        """The same files, named by others: one value of `NamedBy` for each."""
        return FileTable._make(self.urls, self.sizes, self.etags, self.modified, by)

    def relocate(self, prefixes: Mapping[str, str]) -> FileTable:
        """The same files under other URLs: the longest matching prefix of each is replaced.

        A copy has the size of the original, but an entity tag and a time of its own: where the URL changes, those are
        unknown.

        Raises
        ------
        ManifestError
            Two files would have one URL.
        """
        urls = tuple(relocate_url(url, prefixes) for url in self.urls)
        if len(set(urls)) != len(urls):
            raise ManifestError(f"relocating would give two files the same URL: {_first_twice(urls)}")
        moved = np.array([new != old for new, old in zip(urls, self.urls, strict=True)], bool)
        etags = tuple(None if gone else etag for gone, etag in zip(moved.tolist(), self.etags, strict=True))
        modified = np.where(moved, np.datetime64("NaT", "us"), self.modified)
        by = np.where(moved, NamedBy.CALLER, self.named_by).astype("u1")  # the prefix is the caller's
        return FileTable._make(urls, np.array(self.sizes), etags, modified, by)

    def same_rows(self, other: FileTable, mine: NDArray[np.uint32], theirs: NDArray[np.uint32]) -> bool:
        """Whether rows of this table are the same files as as many rows of another."""
        if self == other:
            return np.array_equal(mine, theirs)
        pairs = np.unique(np.stack([mine, theirs], axis=1), axis=0)
        return all(self[a] == other[b] for a, b in pairs.tolist())

    @staticmethod
    def union(tables: Sequence[FileTable]) -> tuple[FileTable, list[NDArray[np.uint32]]]:
        """One table for several, and for each of them the new row of its every old row.

        Raises
        ------
        ValueError
            A URL is in two tables with different size, etag or time: the file changed in between.
        """
        if all(table is tables[0] for table in tables[1:]):
            same = np.arange(len(tables[0]), dtype="u4") if tables else np.empty(0, "u4")
            return (tables[0] if tables else FileTable()), [same] * len(tables)
        if len({url for table in tables for url in table.urls}) == sum(map(len, tables)):
            return _chain(tables)
        rows: dict[str, int] = {}
        where: list[tuple[int, int]] = []
        by: list[int] = []
        maps = []
        for t, table in enumerate(tables):
            new = np.empty(len(table), "u4")
            for i, url in enumerate(table.urls):
                row = rows.setdefault(url, len(where))
                if row == len(where):
                    where.append((t, i))
                    by.append(int(table.named_by[i]))
                elif tables[where[row][0]][where[row][1]] != table[i]:
                    raise ValueError(f"{url} changed while it was being read: its size, etag or time differ")
                by[row] = min(by[row], int(table.named_by[i]))  # what the caller named may be read anyway
                new[i] = row
            maps.append(new)
        merged = FileTable._make(
            tuple(rows),
            np.array([tables[t].sizes[i] for t, i in where], "i8"),
            tuple(tables[t].etags[i] for t, i in where),
            np.array([tables[t].modified[i] for t, i in where], "M8[us]"),
            np.array(by, "u1"),
        )
        return merged, maps


class FileMerger:
    """Joins file tables, each set of tables once: the arrays of one source usually share one table."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[Any, FileTable, list[NDArray[np.uint32]]]] = {}

    def union(self, tables: Sequence[FileTable]) -> tuple[FileTable, list[NDArray[np.uint32]]]:
        """One table, and for each of `tables` the new row of its every old row.

        Raises
        ------
        IncompatibleArraysError
            A file changed between two of them.
        """
        key = tuple(map(id, tables))
        if key not in self._known:
            with translated(ValueError, IncompatibleArraysError):
                files, maps = FileTable.union(tables)
            self._known[key] = (list(tables), files, maps)  # the tables are kept, so that no id is used again
        return self._known[key][1:]


def _chain(tables: Sequence[FileTable]) -> tuple[FileTable, list[NDArray[np.uint32]]]:
    """Tables without a URL in common, one after the other: how those of many sources usually are."""
    ends = np.cumsum([len(table) for table in tables]).tolist()
    whole = np.arange(ends[-1], dtype="u4")
    chained = FileTable._make(
        tuple(url for table in tables for url in table.urls),
        np.concatenate([table.sizes for table in tables]),
        tuple(etag for table in tables for etag in table.etags),
        np.concatenate([table.modified for table in tables]),
        np.concatenate([table.named_by for table in tables]),
    )
    return chained, [whole[end - len(table) : end] for end, table in zip(ends, tables, strict=True)]


def _fill(
    table: FileTable,
    *,
    urls: tuple[str, ...],
    sizes: NDArray[np.int64],
    etags: tuple[str | None, ...],
    modified: NDArray[np.datetime64],
    named_by: NDArray[np.uint8],
) -> None:
    """Set the columns of a new table and freeze them."""
    if len(set(urls)) != len(urls):
        raise ValueError(f"a file table must list each URL once; this one occurs twice: {_first_twice(urls)}")
    sizes.flags.writeable = False
    modified.flags.writeable = False
    named_by.flags.writeable = False
    table.urls, table.sizes, table.etags, table.modified, table.named_by = urls, sizes, etags, modified, named_by


def _first_twice(urls: Sequence[str]) -> str:
    return next(url for url, count in Counter(urls).items() if count > 1)


def relocate_url(url: str, prefixes: Mapping[str, str]) -> str:
    """Replace the longest of `prefixes` that `url` starts with; the text is compared as it stands."""
    best = max((old for old in prefixes if url.startswith(old)), key=len, default=None)
    return url if best is None else prefixes[best] + url[len(best) :]


def _to_datetime64(when: datetime | None) -> np.datetime64:
    if when is None:
        return np.datetime64("NaT", "us")
    if when.tzinfo is None:
        raise ValueError("last_modified needs a time zone")
    return np.datetime64(when.astimezone(UTC).replace(tzinfo=None), "us")
