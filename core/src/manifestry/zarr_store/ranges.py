"""Byte ranges of many objects: concurrent, coalesced, and checked against what was parsed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from obstore.exceptions import BaseError, GenericError

from manifestry.errors import SourceError, one_line
from manifestry.model.files import NamedBy, SourceFile
from manifestry.storage.errors import Fault, fault_of, source_errors
from manifestry.storage.objects import file_from_metadata, file_from_status, open_regular, read_at
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.retrying import retry_async

__all__ = ["RangeReader", "check_unchanged", "difference"]

MAX_GAP: Final = 64 << 10
"""Ranges of one object with at most this many bytes between them become one request."""

MAX_REQUEST: Final = 1 << 20
"""A request is not made longer than this by joining ranges: several large ones in parallel are faster than one."""

MAX_REQUESTS: Final = 32
"""Requests under way at once, of one event loop."""


class RangeReader:
    """Reads byte ranges of source objects.

    What is asked for in one turn of the event loop is seen together: neighbouring ranges of one object become one
    request. zarr asks for ``async.concurrency`` chunks at once (10, unless set otherwise), so that many can be joined.

    Parameters
    ----------
    registry
        Which store serves which URL.

    Notes
    -----
    An object that is not the one that was parsed is refused: a file that was replaced since would be read at offsets
    that mean nothing in it. Size, entity tag and time come with every response, so looking costs no request.
    """

    def __init__(self, registry: StoreRegistry) -> None:
        self._registry = registry
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = WeakKeyDictionary()

    async def read(self, file: SourceFile, start: int, stop: int) -> memoryview:
        """The bytes ``start:stop`` of an object.

        Raises
        ------
        SourceError
            The object cannot be read, ends before `stop`, or has changed since it was parsed.
        """
        loop = asyncio.get_running_loop()
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = _Turn(self._registry)
        return await turn.ask(file, start, stop)


@dataclass(slots=True)
class _Request:
    start: int
    stop: int
    answer: asyncio.Future[memoryview]


class _Turn:
    """The ranges that were asked for since the event loop last came round."""

    def __init__(self, registry: StoreRegistry) -> None:
        self._registry = registry
        self._waiting: dict[SourceFile, list[_Request]] = {}
        self._tasks: set[asyncio.Task[list[memoryview]]] = set()
        self._slots = asyncio.Semaphore(MAX_REQUESTS)

    def ask(self, file: SourceFile, start: int, stop: int) -> asyncio.Future[memoryview]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        answer: asyncio.Future[memoryview] = loop.create_future()
        self._waiting.setdefault(file, []).append(_Request(start, stop, answer))
        return answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for file, wanted in waiting.items():
            for group in _group_ranges(wanted):
                task = asyncio.get_running_loop().create_task(self._read(file, group))
                self._tasks.add(task)  # the loop itself keeps no strong reference
                task.add_done_callback(partial(self._answer, group))

    def _answer(self, group: Sequence[_Request], task: asyncio.Task[list[memoryview]]) -> None:
        """Give all whose ranges a request covered their bytes, or what went wrong."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        parts = task.result() if error is None and not task.cancelled() else [None] * len(group)
        for wanted, data in zip(group, parts, strict=True):
            if wanted.answer.done():  # nobody waits any more
                continue
            if error is not None:
                wanted.answer.set_exception(error)
            elif data is None:
                wanted.answer.cancel()
            else:
                wanted.answer.set_result(data)

    async def _read(self, file: SourceFile, group: Sequence[_Request]) -> list[memoryview]:
        path = self._registry.local_path(file.url)
        async with self._slots:
            if path is not None:
                return await asyncio.to_thread(_read_local, file, path, group)
            return await self._read_remote(file, group)

    async def _read_remote(self, file: SourceFile, group: Sequence[_Request]) -> list[memoryview]:
        url = file.url
        if file.named_by is not NamedBy.CALLER:
            url = await asyncio.to_thread(self._registry.destination, url, file.named_by)
        store, key = self._registry.resolve(url)
        low, high = group[0].start, max(wanted.stop for wanted in group)

        async def ask() -> memoryview:
            response = await store.get_async(key, options={"range": (low, high)})
            check_unchanged(file, file_from_metadata(file.url, response.meta))
            return memoryview(await response.buffer_async())

        try:
            data = await retry_async(file.url, self._registry.policy_of(file.url), ask)
        except SourceError as error:
            if isinstance(error.__cause__, GenericError) and fault_of(error.__cause__) is Fault.LASTING:
                # The likeliest reason for a range that cannot be had: the object is shorter now. Then that is said.
                with suppress(BaseError, OSError):
                    check_unchanged(file, file_from_metadata(file.url, await store.head_async(key)))
            raise
        return [_check_complete(file, wanted, data[wanted.start - low : wanted.stop - low]) for wanted in group]


def _group_ranges(wanted: list[_Request]) -> list[list[_Request]]:
    """Ranges of one object, grouped into requests."""
    groups: list[list[_Request]] = []
    low = high = 0
    for each in sorted(wanted, key=lambda w: w.start):
        if groups and each.start - high <= MAX_GAP and max(high, each.stop) - low <= MAX_REQUEST:
            groups[-1].append(each)
            high = max(high, each.stop)
        else:
            groups.append([each])
            low, high = each.start, each.stop
    return groups


def _read_local(file: SourceFile, path: Path, group: Sequence[_Request]) -> list[memoryview]:
    with source_errors(file.url):
        descriptor = open_regular(path)
        try:
            check_unchanged(file, file_from_status(file.url, os.fstat(descriptor)))
            return [
                _check_complete(file, wanted, memoryview(read_at(descriptor, wanted.start, wanted.stop)))
                for wanted in group
            ]
        finally:
            os.close(descriptor)


def _check_complete(file: SourceFile, wanted: _Request, data: memoryview) -> memoryview:
    if len(data) != wanted.stop - wanted.start:
        raise SourceError(f"{one_line(file.url)}: ends at byte {wanted.start + len(data)}, before {wanted.stop}")
    return data


def check_unchanged(parsed: SourceFile, seen: SourceFile) -> None:
    """Make sure that an object is the one that was parsed, as far as both descriptions tell.

    Raises
    ------
    SourceError
        It is another one.
    """
    change = difference(parsed, seen)
    if change:
        raise SourceError(f"{one_line(parsed.url)}: has changed since it was parsed: {change}; parse it again")


def difference(parsed: SourceFile, seen: SourceFile) -> str:
    """How an object differs from the one that was parsed, ``""`` when nothing tells so.

    The size counts, then the entity tag, and the time only where there is no tag to compare.
    """
    if None not in (parsed.size, seen.size) and parsed.size != seen.size:
        return f"it had {parsed.size} bytes, and has {seen.size}"
    if parsed.etag is not None and seen.etag is not None:
        same = parsed.etag.removeprefix("W/") == seen.etag.removeprefix("W/")
        return "" if same else f"its entity tag was {parsed.etag}, and is {seen.etag}"
    then, now = parsed.last_modified, seen.last_modified
    if then is not None and now is not None and _differ(then, now):
        return f"it was last changed {then.isoformat()}, and now {now.isoformat()}"
    return ""


def _differ(one: datetime, other: datetime) -> bool:
    """Whether two times are different ones: servers give whole seconds, and file systems a rounded fraction."""
    whole = not (one.microsecond and other.microsecond)
    return abs(one - other) >= (timedelta(seconds=1) if whole else timedelta(microseconds=10))
