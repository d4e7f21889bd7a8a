"""Batches into slabs, and slabs into commits: what is in memory at once has a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.common_times import renewed_times
from manifestry.combine.compatibility.times import is_time, same_units
from manifestry.combine.index import check_order, unread_order
from manifestry.combine.values import read_values
from manifestry.conversion.batches import BatchJob, BatchResult, array_paths
from manifestry.errors import IncompatibleArraysError, MalformedFileError, SourceError, translated
from manifestry.formats.report import WriteReport
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
from manifestry.model.tree import VirtualArray, VirtualGroup

__all__ = ["SLAB_REFERENCES", "OrderWatch", "Slab", "add_reports", "index_chunk", "slabs_of"]

SLAB_REFERENCES: Final = 5_000_000
"""References of a slab after which it is committed: about 100 MB of columns, and twice that while they are joined."""


@dataclass(slots=True)
class Slab:
    """Batches that are written together."""

    results: list[BatchResult] = field(default_factory=list)
    files: int = 0
    references: int = 0

    def add(self, result: BatchResult) -> None:
        """Take one more batch."""
        self.results.append(result)
        self.files += sum(report.status != "failed" for report in result.reports)
        self.references += result.references

    @property
    def lengths(self) -> dict[str, int]:
        """How long the combined dimension is in each source, by URL."""
        return {url: n for result in self.results for url, n in result.lengths.items()}

    @property
    def following(self) -> dict[str, int]:
        """The same of sources that follow each other: those of the first kind."""
        kinds = {url: kind for result in self.results for url, kind in result.kinds.items()}
        first = next(iter(kinds.values()), None)
        return {url: n for url, n in self.lengths.items() if kinds[url] == first}

    def tree(self, job: BatchJob, like: VirtualGroup | None, left_out: frozenset[str]) -> VirtualGroup | None:
        """The tree of all batches, without the arrays at some paths and those that a batch had to leave out."""
        gone = left_out.union(*(result.left_out for result in self.results))
        return job.fold_kinds([part for result in self.results for part in result.trees.items()], like, gone)

    def paths(self) -> frozenset[str]:
        """The paths of all arrays that the sources of the batches have, or should have."""
        trees = [tree for result in self.results for tree in result.trees.values()]
        return array_paths(*trees).union(*(result.left_out for result in self.results))


def slabs_of(results: Iterable[BatchResult], files: int | None, *, divide: bool) -> Iterator[tuple[Slab, bool]]:
    """Batches gathered into slabs, and whether each is the last one: it has a tree if any has one.

    Parameters
    ----------
    files
        Sources of a slab; None: as many as have `SLAB_REFERENCES` references.
    divide
        Whether the output can be written in several commits; else all is one slab.
    """
    slab = Slab()
    for result in results:
        if divide and result.tree is not None and slab.results and _is_full(slab, files):
            yield slab, False
            slab = Slab()
        slab.add(result)
    yield slab, True


def _is_full(slab: Slab, files: int | None) -> bool:
    return slab.references >= SLAB_REFERENCES if files is None else slab.files >= files


class OrderWatch:
    """Checks the order of the combined coordinate: of all slabs, and of the output that they continue.

    Parameters
    ----------
    dim
        Name of the coordinate; None: nothing is checked.
    """

    def __init__(self, dim: str | None) -> None:
        self._dim = dim
        self._seen: dict[str, _Seen] = {}
        self._unread: list[Issue] = []

    def begin(self, tree: VirtualGroup, job: BatchJob, name: str) -> None:
        """Go on from an output: what is appended may not go back before its end, or repeat it, unnoticed."""
        for path, array in self._coordinates(tree):
            try:
                values = read_values(array, job.stores)
            except (SourceError, MalformedFileError) as error:
                self._unread.append(unread_order(path, error))
                continue
            self._seen[path] = _Seen([values], [values.size], [name], values.size, array.attributes)

    def look(self, tree: VirtualGroup, job: BatchJob, lengths: Mapping[str, int]) -> None:
        """Take one slab more; `lengths` by URL of its sources."""
        for path, array in self._coordinates(tree):
            seen = self._seen.setdefault(path, _Seen())
            seen.count_as(array)
            seen.parts.append(read_values(array, job.stores))
            seen.lengths += lengths.values()
            seen.names += lengths

    def issues(self) -> list[Issue]:
        """What is unusual about the order of everything seen; what the output had before is not reported again."""
        found = list(self._unread)
        for path, seen in self._seen.items():
            found += check_order(path, np.concatenate(seen.parts), seen.lengths, _name_of(seen.names), known=seen.known)
        return found

    def _coordinates(self, tree: VirtualGroup) -> Iterator[tuple[str, VirtualArray]]:
        for path, array in tree.walk_arrays():
            if path.rpartition("/")[2] == self._dim and array.dims == (self._dim,) and array.shape[0]:
                yield path, array


@dataclass(slots=True)
class _Seen:
    """The values of one coordinate in order, how many are from each source, its name, and how many are the output's.

    `attributes` are those of the last values.
    """

    parts: list[NDArray[Any]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    known: int = 0
    attributes: Attributes = field(default_factory=dict)

    def count_as(self, array: VirtualArray) -> None:
        """Give times as those of an array that follows, which may count in another unit."""
        have, want = self.attributes, array.attributes
        if self.parts and is_time(have) and is_time(want) and not same_units(have, want):
            with translated(ValueError, IncompatibleArraysError):
                self.parts = [renewed_times(part, have, want, array.dtype) for part in self.parts]
        self.attributes = want


def _name_of(names: list[str]) -> Callable[[int], str]:
    return lambda at: names[min(at, len(names) - 1)]


def index_chunk(tree: VirtualGroup, dim: str) -> int | None:
    """The chunk length of the combined coordinate in a tree, None where there is none."""
    for path, array in tree.walk_arrays():
        if array.dims == (dim,) and path.rpartition("/")[2] == dim:
            return array.metadata.chunk_shape[0]
    return None


def add_reports(first: WriteReport | None, other: WriteReport) -> WriteReport:
    """The report of several commits of one output; what is said of its state is that of the last."""
    if first is None:
        return other
    return replace(
        other,
        arrays=first.arrays,
        references=first.references + other.references,
        inlined=first.inlined + other.inlined,
        described_bytes=first.described_bytes + other.described_bytes,
        issues=tuple(dict.fromkeys([*first.issues, *other.issues])),
        packages=tuple(sorted({*first.packages, *other.packages})),
        requirements=tuple(sorted({*first.requirements, *other.requirements})),
    )
