"""Many ranges of one object: more requests at a time than the store library makes for one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched

__all__ = ["read_side_by_side"]

type Ranges = Sequence[tuple[int, int]]

_REQUESTS_PER_CALL = 10
"""Requests that the store library has on their way at a time for one call."""

_CALLS = 16
"""Calls at a time."""


def read_side_by_side(ranges: Ranges, coalesce: int, read: Callable[[Ranges], list[bytes]]) -> list[bytes]:
    """The bytes of ranges, read in several calls at a time where there are many.

    Parameters
    ----------
    coalesce
        Ranges with at most this many bytes between them become one request, and stay in one call.
    read
        Reads some ranges with one call of the store library.
    """
    if len(ranges) <= _REQUESTS_PER_CALL:
        return read(ranges)
    order = sorted(range(len(ranges)), key=ranges.__getitem__)
    requests: list[list[int]] = []
    end = -1
    for number in order:
        start, stop = ranges[number]
        if requests and start <= end + coalesce:
            requests[-1].append(number)
        else:
            requests.append([number])
        end = max(end, stop)
    calls = [[number for request in some for number in request] for some in batched(requests, _REQUESTS_PER_CALL)]
    if len(calls) == 1:
        return read(ranges)
    parts = [b""] * len(ranges)
    with ThreadPoolExecutor(min(_CALLS, len(calls))) as pool:
        answers = pool.map(lambda numbers: read([ranges[number] for number in numbers]), calls)
        for numbers, answer in zip(calls, answers, strict=True):
            for number, data in zip(numbers, answer, strict=True):
                parts[number] = data
    return parts
