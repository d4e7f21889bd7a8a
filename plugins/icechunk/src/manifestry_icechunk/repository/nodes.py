"""Zarr documents and native chunks of a store: what is not a virtual reference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import Any, Final

import icechunk
import numpy as np
from manifestry.plugin import ChunkManifest, MalformedFileError
from zarr.buffer import cpu

_IMPLICIT: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": {}}
"""A group that has children and no document of its own."""

__all__ = ["Nodes", "chunk_key", "complete", "native_chunks"]

_MAX_REQUESTS: Final = 1024
"""Keys that are asked for, or sent, at the same time."""


def complete[T](work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, also where an event loop is running already (notebooks)."""
    if not _in_event_loop():
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def chunk_key(path: str, coordinates: Iterable[int]) -> str:
    """The key of a chunk in the default encoding; that of a scalar is ``path/c``."""
    return "/".join([*filter(None, (path,)), "c", *map(str, coordinates)])


def native_chunks(path: str, manifest: ChunkManifest, offset: tuple[int, ...]) -> Iterable[tuple[str, bytes]]:
    """Keys and bytes of the inline chunks of an array whose grid begins at `offset` of the stored one."""
    positions = np.flatnonzero(manifest.inlined)
    _, starts, lengths = manifest.columns()
    for flat in positions.tolist():
        at = np.unravel_index(flat, manifest.grid_shape) if manifest.grid_shape else ()
        start = int(starts[flat])
        data = manifest.inline[start : start + int(lengths[flat])]
        yield chunk_key(path, (int(i) + o for i, o in zip(at, offset, strict=True))), data


def _parse(data: bytes, path: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedFileError(f"{path or '/'}: the document of the node is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("node_type") not in ("array", "group"):
        raise MalformedFileError(f"{path or '/'}: the document of the node is neither an array's nor a group's")
    return document


class Nodes:
    """Documents and chunks of an Icechunk store by path.

    Parameters
    ----------
    store
        The store of a session.
    """

    def __init__(self, store: icechunk.IcechunkStore) -> None:
        self.store = store

    def document(self, path: str) -> dict[str, Any] | None:
        """The ``zarr.json`` of the array or group at a path, or None."""
        return complete(self._document(path))

    async def _document(self, path: str) -> dict[str, Any] | None:
        data = await self.store.get(f"{path}/zarr.json".lstrip("/"), cpu.buffer_prototype)
        return None if data is None else _parse(data.to_bytes(), path)

    def documents(self, below: str) -> dict[str, dict[str, Any]]:
        """The documents of everything at and below a path, by their paths relative to it; parents come first."""

        async def collect() -> dict[str, dict[str, Any]]:
            root = await self._document(below)
            documents = {} if root is None else {"": root}
            if root is None or root["node_type"] == "group":
                await self._collect(below, "", documents)
            return documents

        return complete(collect())

    async def _collect(self, base: str, group: str, into: dict[str, dict[str, Any]]) -> None:
        listing = self.store.list_dir(f"{base}/{group}".strip("/"))
        names = sorted([name async for name in listing if name != "zarr.json"])
        for some in batched(names, _MAX_REQUESTS):
            paths = [f"{group}/{name}".lstrip("/") for name in some]
            texts = await asyncio.gather(*(self._document(f"{base}/{path}".strip("/")) for path in paths))
            for path, document in zip(paths, texts, strict=True):
                into[path] = document or _IMPLICIT
                if into[path]["node_type"] == "group":
                    await self._collect(base, path, into)

    def set(self, values: Iterable[tuple[str, bytes]]) -> None:
        """Store documents or native chunks."""

        async def send() -> None:
            for some in batched(values, _MAX_REQUESTS):
                await asyncio.gather(*(self.store.set(key, cpu.Buffer.from_bytes(data)) for key, data in some))

        complete(send())

    def set_documents(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Store the documents of arrays and groups by path, as strict JSON; parents come before their children."""
        self.set(
            (f"{path}/zarr.json".lstrip("/"), json.dumps(document, allow_nan=False).encode())
            for path, document in documents.items()
        )

    def delete(self, keys: Iterable[str]) -> None:
        """Delete chunks by key."""

        async def send() -> None:
            for some in batched(keys, _MAX_REQUESTS):
                await asyncio.gather(*(self.store.delete(key) for key in some))

        complete(send())

    def stale_keys(self, path: str, manifest: ChunkManifest, offset: tuple[int, ...]) -> list[str]:
        """Keys of the chunks that the store has and `manifest`, put at `offset` of the stored grid, has not."""

        async def collect() -> list[str]:
            stale: list[str] = []
            missing = ~manifest.stored
            async for batch in self.chunks(path):
                local = batch[0].astype("i8") - np.array(offset, "i8")
                inside = ((local >= 0) & (local < np.array(manifest.grid_shape, "i8"))).all(axis=1)
                rows = local[inside]
                flat = np.ravel_multi_index(tuple(rows.T), manifest.grid_shape) if rows.size else np.zeros(0, "i8")
                gone = batch[0][inside][missing[flat]]
                stale += [chunk_key(path, at) for at in gone.tolist()]
            return stale

        return complete(collect())

    def delete_below(self, path: str) -> None:
        """Delete the array or group at a path and everything below it."""
        complete(self.store.delete_dir(path))

    def chunks(self, path: str) -> AsyncIterable[Any]:
        """The stored chunks of an array in batches of columns, as icechunk gives them."""
        return self.store.array_chunk_iterator(f"/{path}")
