"""The keys of a tree as a Zarr v3 store: which document or chunk each means, and which there are.

Source: Zarr v3 core specification, "Stores" and the chunk key encoding ``default`` with the separator ``/``. A key is
looked up along its path, so its cost does not depend on how many arrays the tree holds.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Final

import numpy as np

from manifestry.model.limits import Limits
from manifestry.model.manifest import ChunkManifest, ChunkReference
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.model.validation import validate_array
from manifestry.zarr_documents.v3 import array_document, group_document

__all__ = ["KeySpace"]

DOCUMENT: Final = "zarr.json"
CHUNKS: Final = "c"

_UNLIMITED: Final = Limits(max_chunks=sys.maxsize)  # what is in memory already needs no limit
_LISTED_AT_ONCE: Final = 1 << 16
_MAX_DIGITS: Final = 20  # of a chunk coordinate below 2**64

_logger = logging.getLogger(__name__)


class KeySpace:
    """The keys of one tree. Metadata documents are made when first asked for, and kept."""

    def __init__(self, tree: VirtualGroup) -> None:
        self._tree = tree
        self._documents: dict[str, bytes] = {}

    def find(self, key: str) -> bytes | ChunkReference | None:
        """The metadata document or the chunk that a key names, None when there is no such key.

        Raises
        ------
        ManifestError
            The array contradicts itself: its document is not given out.
        """
        found = self._locate(key)
        if found is None:
            return None
        node, path, rest = found
        if rest == [DOCUMENT]:
            return self._document(path, node)
        if isinstance(node, VirtualGroup) or rest[:1] != [CHUNKS]:
            return None
        at = _coordinates(rest[1:], node.manifest.grid_shape)
        return None if at is None or len(at) != len(node.manifest.grid_shape) else node.manifest[at]

    def __contains__(self, key: str) -> bool:
        return self.find(key) is not None

    def walk(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with `prefix`, compared as text."""
        yield from _group_keys(self._tree, "", prefix)

    def children(self, prefix: str) -> Iterator[str]:
        """The next segments of all keys below a path, each once."""
        path = prefix.rstrip("/")
        found = self._locate(path) if path else (self._tree, "", [])
        if found is None:
            return
        node, _, rest = found
        if isinstance(node, VirtualGroup):
            if not rest:
                yield from (DOCUMENT, *node.arrays, *node.groups)
        elif not rest:
            yield DOCUMENT
            if node.manifest.stored_count:
                yield CHUNKS
        elif rest[0] == CHUNKS:
            yield from _chunk_children(node.manifest, rest[1:])

    def _locate(self, key: str) -> tuple[VirtualArray | VirtualGroup, str, list[str]] | None:
        """The deepest node along a key, its path, and the segments that are left."""
        node: VirtualArray | VirtualGroup = self._tree
        segments = key.split("/")
        for depth, segment in enumerate(segments):
            if isinstance(node, VirtualArray):
                return node, "/".join(segments[:depth]), segments[depth:]
            child = node.arrays.get(segment) or node.groups.get(segment)
            if child is None:
                rest = segments[depth:]
                return (node, "/".join(segments[:depth]), rest) if rest == [DOCUMENT] else None
            node = child
        return node, key, []

    def _document(self, path: str, node: VirtualArray | VirtualGroup) -> bytes:
        document = self._documents.get(path)
        if document is None:
            document = self._documents[path] = _make_document(path, node)
        return document


def _make_document(path: str, node: VirtualArray | VirtualGroup) -> bytes:
    if isinstance(node, VirtualArray):
        validate_array(node, path, _UNLIMITED)
        document, issues = array_document(node.metadata, path)
    else:
        document, issues = group_document(node.attributes, path)
    for issue in issues:
        _logger.warning("%s", issue)
    return json.dumps(document, allow_nan=False).encode()


def _coordinates(segments: list[str], grid_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The first coordinates of a chunk from the segments of its key; None where they are no numbers inside the grid."""
    if len(segments) > len(grid_shape):
        return None
    at = []
    for segment, count in zip(segments, grid_shape, strict=False):
        if not (segment.isascii() and segment.isdecimal()) or len(segment) > _MAX_DIGITS:
            return None
        number = int(segment)
        if number >= count or (segment[0] == "0" and number):
            return None
        if len(segment) > 1 and number == 0:
            return None
        at.append(number)
    return tuple(at)


def _chunk_children(manifest: ChunkManifest, segments: list[str]) -> Iterator[str]:
    """The coordinates along the next dimension below which any chunk is stored."""
    at = _coordinates(segments, manifest.grid_shape)
    if at is None or len(at) == len(manifest.grid_shape):
        return
    below = manifest.stored.reshape(manifest.grid_shape)[at]
    here = below.any(axis=tuple(range(1, below.ndim))) if below.ndim > 1 else below
    yield from map(str, np.flatnonzero(here).tolist())


def _group_keys(group: VirtualGroup, path: str, prefix: str) -> Iterator[str]:
    base = f"{path}/" if path else ""
    if (base + DOCUMENT).startswith(prefix):
        yield base + DOCUMENT
    for name, array in group.arrays.items():
        if _may_hold(f"{base}{name}/", prefix):
            yield from (key for key in _array_keys(array, f"{base}{name}/") if key.startswith(prefix))
    for name, child in group.groups.items():
        if _may_hold(f"{base}{name}/", prefix):
            yield from _group_keys(child, base + name, prefix)


def _may_hold(directory: str, prefix: str) -> bool:
    """Whether keys below `directory` can begin with `prefix`."""
    return directory.startswith(prefix) or prefix.startswith(directory)


def _array_keys(array: VirtualArray, base: str) -> Iterator[str]:
    """The document, then the stored chunks in C order."""
    yield base + DOCUMENT
    manifest = array.manifest
    stored, shape = manifest.stored, manifest.grid_shape
    if not shape:
        yield from [base + CHUNKS] if manifest.stored_count else []
        return
    for start in range(0, manifest.size, _LISTED_AT_ONCE):
        flat = np.flatnonzero(stored[start : start + _LISTED_AT_ONCE]) + start
        columns = [column.tolist() for column in np.unravel_index(flat, shape)]
        yield from (f"{base}{CHUNKS}/{'/'.join(map(str, at))}" for at in zip(*columns, strict=True))
