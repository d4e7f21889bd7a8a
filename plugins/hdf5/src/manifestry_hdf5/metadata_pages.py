"""Which pages of a remote file are read together with what is asked for, where metadata lies in pages of its own.

Such a file (`fs_strategy="page"` of h5py, `h5repack -S PAGE`) has small pieces of metadata in pages that hold nothing else,
so that whoever needs one piece of a page needs most of it. Where a file was written in one go, pages that are full follow
each other at regular distances: those of which nothing is known yet are guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

__all__ = ["MetadataPages"]

_LARGEST: Final = 1 << 20
"""Bytes of a page that are read at once: of larger ones a part, aligned like a page."""

_OVERLAP: Final = 4096
"""Bytes behind a page that come with it: structures end with their page, but more than they have may be asked for."""

_MOST_BYTES: Final = 16 << 20
"""Bytes of all pages that are read at once; where they would be more, what is asked for is read as in other files."""

_MOST_GUESSED: Final = 1 << 20
"""Bytes of pages that are guessed at once."""

_FEWEST: Final = 3
"""Pages that show a distance."""

_TOLERANCE: Final = 0.15
"""By which part of a distance a page may be elsewhere: the first page holds more, and last pages of elements are not full."""


class MetadataPages:
    """The pages of a file.

    Parameters
    ----------
    base
        Absolute position of the first one.
    page
        Bytes of each.
    size
        Bytes of the file.
    """

    def __init__(self, base: int, page: int, size: int) -> None:
        self._base = base
        self._page = min(page, _LARGEST)
        self._size = size
        self._read = {0}  # the pages so far; the first one has the superblock

    def around(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The pages that ranges (ascending) touch, and those that may be like them; none where these are too many.

        Returns
        -------
        list
            Ranges by absolute position.
        """
        base, page = self._base, self._page
        spans = [(a - base, max(a, b - 1 - _OVERLAP) - base) for a, b in ranges]
        bounds = [(first // page, last // page + 1) for first, last in spans]
        if _count(bounds) * page > _MOST_BYTES:
            return []
        touched = {n for first, stop in bounds for n in range(first, stop)}
        self._read |= touched
        guessed = _guessed(sorted(self._read), (self._size - 1 - base) // page)
        if len(guessed) * page <= _MOST_GUESSED:
            touched |= guessed
            self._read |= guessed
        return [(max(base + n * page, 0), min(base + (n + 1) * page + _OVERLAP, self._size)) for n in sorted(touched)]


def _count(bounds: Sequence[tuple[int, int]]) -> int:
    """How many pages there are in ranges of them (ascending)."""
    count, end = 0, bounds[0][0] if bounds else 0
    for first, stop in bounds:
        count += max(stop - max(first, end), 0)
        end = max(end, stop)
    return count


def _guessed(pages: Sequence[int], last: int) -> set[int]:
    """Pages between and behind some (ascending) that lie at regular distances; none where those do not."""
    starts = [page for before, page in pairwise([-2, *pages]) if page != before + 1]
    distances = [second - first for first, second in pairwise(starts)]
    if len(starts) < _FEWEST:
        return set()
    step = min(distances)
    counts = [round(distance / step) for distance in distances]
    if any(abs(distance - step * n) > _TOLERANCE * step * n for distance, n in zip(distances, counts, strict=True)):
        return set()
    if sum(counts) - len(counts) > len(starts):  # more than there are
        return set()
    guessed = {
        round(start + distance * i / n)
        for start, distance, n in zip(starts[:-1], distances, counts, strict=True)
        for i in range(1, n)
    }
    usual = median(distance / n for distance, n in zip(distances, counts, strict=True))
    at = starts[-1] + usual
    while round(at) <= last and len(guessed) <= len(starts):
        guessed.add(round(at))
        at += usual
    return guessed if len(guessed) <= len(starts) else set()
