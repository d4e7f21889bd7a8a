"""Reading many indexes at once: one round trip for each level of all of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import ManifestryError, Source
from numpy.typing import NDArray

__all__ = [
    "AtHand",
    "Blocks",
    "Fetch",
    "IndexReader",
    "Parts",
    "in_step",
    "read_alone",
    "read_growing",
    "read_together",
    "remote_fetch",
]


class Blocks(NamedTuple):
    """Blocks of one length at several places.

    Attributes
    ----------
    positions
        Absolute positions in the file, int64.
    length
        Bytes of each; what lies beyond the end of the file is zero.
    """

    positions: NDArray[np.int64]
    length: int


type IndexReader[T] = Generator[list[Blocks], list[NDArray[np.uint8]], T]
"""Yields the blocks it needs next, is sent the bytes of each as ``(n, length)``, and returns what it made of them."""

type Fetch = Callable[[Sequence[Blocks]], list[NDArray[np.uint8]]]


def read_together[T](readers: Sequence[IndexReader[T]], fetch: Fetch) -> list[T | ManifestryError]:
    """Run readers in step: what all of them need next is fetched together.

    Returns
    -------
    list
        What each returned, or the error that ended it.
    """
    results: list[Any] = [None] * len(readers)
    steps: _Steps = [(i, None) for i in range(len(readers))]
    while wanted := _advance(readers, steps, results, errors_are_results=True):
        steps = ()  # the blocks of the last round are not needed any more
        steps = _deal(wanted, fetch(_blocks_of(wanted)))
    return results


type _Steps = Sequence[tuple[int, list[NDArray[np.uint8]] | None]]
"""Readers by number, with the bytes that each is sent; None begins one."""
type _Wanted = list[tuple[int, list[Blocks]]]
"""Readers by number, with the blocks that each needs next."""


def _advance(
    readers: Sequence[IndexReader[Any]], steps: _Steps, results: list[Any], *, errors_are_results: bool
) -> _Wanted:
    """Send readers what they asked for; what those that go on need next. Results of the others are filled in."""
    wanted: _Wanted = []
    for number, data in steps:
        try:
            wanted.append((number, readers[number].send(data)))  # type: ignore[arg-type]  # None starts it
        except StopIteration as stop:
            results[number] = stop.value
        except ManifestryError as error:
            if not errors_are_results:
                raise
            results[number] = error
    return wanted


def _blocks_of(wanted: Sequence[tuple[Any, list[Blocks]]]) -> list[Blocks]:
    return [block for _, blocks in wanted for block in blocks]


def _deal[K](
    wanted: Sequence[tuple[K, list[Blocks]]], data: Sequence[NDArray[np.uint8]]
) -> list[tuple[K, list[NDArray[np.uint8]]]]:
    """What was fetched, to those who asked for it."""
    parts = iter(data)
    return [(number, list(islice(parts, len(blocks)))) for number, blocks in wanted]


type Parts[K] = Sequence[tuple[K, IndexReader[Any]]]
"""Readers, and what each is called."""


type _Asked[K] = list[tuple[tuple[K, IndexReader[Any]], list[Blocks]]]
"""Readers by name, with the blocks that each needs next."""


type AtHand = Callable[[Sequence[Blocks]], bool]
"""Whether nothing has to travel for some blocks."""


def read_growing[K](
    parts: Parts[K], follow: Callable[[K, Any], Parts[K]], fetch: Fetch, at_hand: AtHand | None = None
) -> None:
    """Run readers in step, and those that follow them as soon as each has ended.

    Parameters
    ----------
    follow
        Takes what a reader returned, or the error that ended it; returns the readers that this makes possible.
    at_hand
        With it, what has to travel waits until nothing is left to do without: then it travels together.
    """
    queue: list[tuple[K, IndexReader[Any], Any]] = [(name, reader, None) for name, reader in parts]
    waiting: _Asked[K] = []
    while queue:
        wanted: _Asked[K] = []
        for name, reader, data in queue:  # which grows meanwhile
            try:
                wanted.append(((name, reader), reader.send(data)))
                continue
            except StopIteration as stop:
                result = stop.value
            except ManifestryError as error:
                result = error
            if further := follow(name, result):
                queue += [(new, begun, None) for new, begun in further]
        queue = []  # the blocks of the last round are not needed any more
        if at_hand is not None:
            here: _Asked[K] = []
            for part in wanted:
                (here if at_hand(part[1]) else waiting).append(part)
            wanted = here
            if not wanted:
                wanted, waiting = waiting, []
        if wanted:
            queue = [(*part, data) for part, data in _deal(wanted, fetch(_blocks_of(wanted)))]


def read_alone[T](reader: IndexReader[T], fetch: Fetch) -> T:
    """Run one reader.

    Raises
    ------
    ManifestryError
        What the reader raises.
    """
    data = None
    try:
        while True:
            data = fetch(reader.send(data))  # type: ignore[arg-type]  # None starts it
    except StopIteration as stop:
        result: T = stop.value
        return result


def in_step[T](readers: Sequence[IndexReader[T]]) -> IndexReader[list[T]]:
    """Run readers in step as one reader, which returns what each returned.

    Raises
    ------
    ManifestryError
        What ended the first that ended by one.
    """
    results: list[Any] = [None] * len(readers)
    steps: _Steps = [(i, None) for i in range(len(readers))]
    while wanted := _advance(readers, steps, results, errors_are_results=False):
        steps = ()  # as above
        steps = _deal(wanted, (yield _blocks_of(wanted)))
    return results


MAX_GAP: Final = 64 << 10
"""Bytes between two blocks up to which one request costs less than two: a request's share of latency at the usual
concurrency, times the usual bandwidth. Dense indexes become long requests by this, up to the whole file."""

MAX_REQUEST_BYTES: Final = 8 << 20
"""Long requests are divided into pieces that travel side by side."""


def remote_fetch(source: Source) -> Fetch:
    """Blocks of a remote file, by concurrent ranges."""

    def fetch(wanted: Sequence[Blocks]) -> list[NDArray[np.uint8]]:
        starts = np.concatenate([np.empty(0, "i8"), *(blocks.positions for blocks in wanted)])
        counts = np.array([len(blocks.positions) for blocks in wanted], "i8")
        lengths = np.repeat(np.array([blocks.length for blocks in wanted], "i8"), counts)
        stops = np.minimum(starts + lengths, source.size)
        ranges = _merge(np.minimum(starts, stops), stops)
        low = np.array([a for a, _ in ranges], "i8")
        base = np.cumsum([0, *(b - a for a, b in ranges)])
        data = np.frombuffer(b"".join(source.ranges(ranges, coalesce=0)), "u1")
        parts = []
        for blocks in wanted:
            part = np.zeros((len(blocks.positions), blocks.length), "u1")
            for row, start in enumerate(blocks.positions.tolist()):
                stop = min(start + blocks.length, source.size)
                if start < stop:
                    at = int(np.searchsorted(low, start, "right")) - 1
                    offset = int(base[at]) + start - int(low[at])
                    part[row, : stop - start] = data[offset : offset + stop - start]
            parts.append(part)
        return parts

    return fetch


def _merge(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges that cover all of some: neighbours joined over short gaps, long ones divided.

    The pieces of a divided range follow each other without a gap, so blocks may lie across their borders.
    """
    order = np.argsort(starts, kind="stable")
    runs: list[list[int]] = []
    for start, stop in zip(starts[order].tolist(), stops[order].tolist(), strict=True):
        if stop <= start:
            continue
        if runs and start <= runs[-1][1] + MAX_GAP:
            runs[-1][1] = max(runs[-1][1], stop)
        else:
            runs.append([start, stop])
    return [
        (a, min(a + MAX_REQUEST_BYTES, stop)) for start, stop in runs for a in range(start, stop, MAX_REQUEST_BYTES)
    ]
