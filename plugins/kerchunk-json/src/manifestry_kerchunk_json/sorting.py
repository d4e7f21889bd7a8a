"""References sorted into documents of Zarr and the chunks of each array, in one pass and as columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from manifestry.plugin import Hierarchy, MalformedFileError
from numpy.typing import NDArray

from manifestry_kerchunk_json.reference import Reference, with_references

__all__ = ["CONSOLIDATED", "OTHER", "ArrayChunks", "References", "SortedMembers"]

CONSOLIDATED: Final = ".zmetadata"
"""Key of a document that has all others in it."""

OTHER: Final = np.uint32(0xFFFFFFFF)
"""Location of what is no well-formed reference into a file: the bytes themselves, or a mistake."""

_DOCUMENT_NAMES: Final = frozenset(Hierarchy.DOCUMENT_NAMES)
_SORT_BATCH: Final = 256
"""Members that are sorted together."""
_COLUMN_BATCH: Final = 1 << 13
"""References that become columns together."""


@dataclass(slots=True)
class References:
    """All references of a document, row by row.

    Attributes
    ----------
    locations
        Row of `urls` by location, as the document has it.
    others
        By row, values that are no well-formed references.
    """

    locations: dict[str | None, int] = field(default_factory=dict)
    others: dict[int, Any] = field(default_factory=dict)
    count: int = 0
    _parts: list[tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=list)

    def extend(self, values: Sequence[Any]) -> None:
        """Add references: `Reference`, lists as the kerchunk package has them, or anything else."""
        values = with_references(values)
        pointing = [value for value in values if type(value) is Reference]
        offsets = np.fromiter((value.offset for value in pointing), "i8", len(pointing))
        lengths = np.fromiter((value.length for value in pointing), "i8", len(pointing))
        rows = self.locations
        which = np.fromiter((rows.setdefault(value.url, len(rows)) for value in pointing), "u4", len(pointing))
        if len(pointing) < len(values):
            is_reference = np.fromiter((type(value) is Reference for value in values), bool, len(values))
            self.others |= {self.count + row: values[row] for row in np.flatnonzero(~is_reference).tolist()}
            columns = np.full(len(values), OTHER), *np.zeros((2, len(values)), "i8")
            for column, some in zip(columns, (which, offsets, lengths), strict=True):
                column[is_reference] = some
            which, offsets, lengths = columns
        self._parts.append((which, offsets, lengths))
        self.count += len(values)

    def columns(self) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
        """Location, offset and length of every row, as one array each."""
        if len(self._parts) > 1:
            which, offsets, lengths = zip(*self._parts, strict=True)
            self._parts = [(np.concatenate(which), np.concatenate(offsets), np.concatenate(lengths))]
        return self._parts[0] if self._parts else (np.empty(0, "u4"), np.empty(0, "i8"), np.empty(0, "i8"))


@dataclass(slots=True)
class _Place:
    """Chunks of one directory: runs of rows, and for each the names below the directory, joined by line feeds."""

    names: list[str] = field(default_factory=list)
    runs: list[tuple[int, int]] = field(default_factory=list)

    def add(self, names: str, row: int, count: int) -> None:
        self.names.append(names)
        if self.runs and sum(self.runs[-1]) == row:
            self.runs[-1] = (self.runs[-1][0], self.runs[-1][1] + count)
        else:
            self.runs.append((row, count))


@dataclass(frozen=True, slots=True)
class ArrayChunks:
    """The chunks of one array.

    Attributes
    ----------
    keys
        Below the path of the array, for example ``"0.1"`` or ``"c/0/1"``, joined by line feeds.
    rows
        Their rows among the references.
    """

    keys: str
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, names: Sequence[str], runs: Sequence[tuple[int, int]]) -> ArrayChunks:
        """The chunks of some directories."""
        rows = [np.arange(row, row + count) for row, count in runs]
        return cls("\n".join(names), np.concatenate(rows) if rows else np.empty(0, "i8"))


@dataclass(slots=True)
class SortedMembers:
    """The members of a document, sorted into documents of Zarr and chunks of arrays.

    Attributes
    ----------
    documents
        Those of Zarr by key, consolidated ones included.
    references
        All values, documents included.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    references: References = field(default_factory=References)
    _places: defaultdict[str, _Place] = field(default_factory=lambda: defaultdict(_Place))

    def add(self, members: Mapping[str, Any]) -> None:
        """Sort some members.

        Raises
        ------
        MalformedFileError
            A key is no text.
        """
        keys, values = list(members), list(members.values())
        if not set(map(type, keys)) <= {str}:
            raise MalformedFileError("a key of the document is not a text")
        for start in range(0, len(keys), _COLUMN_BATCH):
            row = self.references.count
            self.references.extend(values[start : start + _COLUMN_BATCH])
            for first in range(start, min(start + _COLUMN_BATCH, len(keys)), _SORT_BATCH):
                block = slice(first, min(first + _SORT_BATCH, start + _COLUMN_BATCH))
                self._sort(keys[block], values[block], row + first - start)

    def _sort(self, keys: list[str], values: list[Any], row: int) -> None:
        """At once where all are chunks of one directory, as nearly all are, else one by one."""
        path = keys[0].rpartition("/")[0]
        names = _names_below(path, keys)
        if names is not None:
            self._places[path].add(names, row, len(keys))
            return
        for number, (key, value) in enumerate(zip(keys, values, strict=True), row):
            path, _, name = key.rpartition("/")
            if name in _DOCUMENT_NAMES or key == CONSOLIDATED:
                self.documents[key] = value
            elif "\n" not in name:
                self._places[path].add(name, number, 1)

    def by_array(self, hierarchy: Hierarchy) -> dict[str, ArrayChunks]:
        """The chunks of each array: those directly below it, and with ``/`` in their keys those further down."""
        names: dict[str, list[str]] = {path: [] for path in hierarchy.arrays}
        runs: dict[str, list[tuple[int, int]]] = {path: [] for path in hierarchy.arrays}
        for path, place in self._places.items():
            owner = hierarchy.array_of_chunks(path)
            if owner is not None:
                array, inner = owner
                texts = [inner + text.replace("\n", f"\n{inner}") for text in place.names] if inner else place.names
                names[array] += texts
                runs[array] += place.runs
        return {path: ArrayChunks.of(names[path], runs[path]) for path in names}


def _names_below(path: str, keys: list[str]) -> str | None:
    """What follows the directory in keys that all lie directly in it and are no documents, else None."""
    start = f"\n{path}/" if path else "\n"
    text = "\n" + "\n".join(keys)
    if text.count(start) != len(keys) or text.count("\n") != len(keys):
        return None
    text = text.replace(start, "\n")
    if "/" in text or "z" in text:  # every name of a document has a z
        return None
    return text[1:]
