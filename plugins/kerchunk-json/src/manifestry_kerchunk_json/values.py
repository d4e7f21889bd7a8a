"""References of one array as columns: ``[url]``, ``[url, offset, length]``, or the bytes themselves."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from manifestry.errors import MalformedFileError
from manifestry.model.limits import Limits
from manifestry.model.manifest import INLINE
from manifestry.references.files import LocationTable, ReferenceColumns, whole_lengths
from manifestry.references.nodes import ArrayNode, chunk_positions
from manifestry.storage.registry import StoreRegistry
from numpy.typing import NDArray

from manifestry_kerchunk_json.collecting import Chunks
from manifestry_kerchunk_json.reference import ABSENT, Reference, reference_of

__all__ = ["columns_of"]


def columns_of(
    node: ArrayNode, chunks: Chunks, locations: LocationTable, stores: StoreRegistry, target: str, limits: Limits
) -> ReferenceColumns:
    """The columns of an array.

    Parameters
    ----------
    target
        Location of references that have none.

    Raises
    ------
    MalformedFileError
        A key or a reference is not as the specification says.
    SourceError
        A location is not allowed, or a file that is referred to as a whole is not there.
    """
    grid, values = node.metadata.grid_shape, chunks.values
    if not values:
        none = np.empty(0, "u8")
        return ReferenceColumns(grid, np.empty(0, "i8"), none.astype("u4"), none, none)
    positions = chunk_positions(chunks.keys, node.keys, grid, node.path)
    kinds = set(map(type, values))
    if kinds & {list, tuple}:
        values = [reference_of(value, node.path) if isinstance(value, list | tuple) else value for value in values]
        kinds = set(map(type, values))
    if kinds == {Reference}:
        return ReferenceColumns(grid, positions, *_ranges(values, locations, stores, target, node.path))
    in_files = np.fromiter((type(value) is Reference for value in values), bool, len(values))
    index = np.full(len(values), INLINE, "u4")
    offsets, lengths = np.zeros(len(values), "u8"), np.zeros(len(values), "u8")
    pointing = [value for value in values if type(value) is Reference]
    if pointing:
        index[in_files], offsets[in_files], lengths[in_files] = _ranges(pointing, locations, stores, target, node.path)
    data = [_inline(value, node.path) for value in values if type(value) is not Reference]
    counts = np.fromiter(map(len, data), "u8", len(data))
    if int(counts.sum()) > limits.max_metadata_bytes:
        raise MalformedFileError(f"{node.path}: {int(counts.sum())} bytes inline, more than the limit")
    if not counts.all():
        raise MalformedFileError(f"{node.path}: an inline chunk of no bytes")
    offsets[~in_files], lengths[~in_files] = np.cumsum(counts) - counts, counts
    return ReferenceColumns(grid, positions, index, offsets, lengths, b"".join(data))


type _Columns = tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]]


def _ranges(
    values: Sequence[Reference], locations: LocationTable, stores: StoreRegistry, target: str, where: str
) -> _Columns:
    """File index, offsets and lengths of references into files."""
    texts = [value.url for value in values]
    distinct = dict.fromkeys(texts)
    rows = dict(zip(distinct, locations.rows(_location(text, target, where) for text in distinct), strict=True))
    index = np.fromiter(map(rows.__getitem__, texts), "u4", len(values))
    starts = _integers([value.offset for value in values], where)
    counts = _integers([value.length for value in values], where)
    whole = (starts == ABSENT) & (counts == ABSENT)
    if bool(((starts < 0) | (counts <= 0))[~whole].any()):
        at = int(np.argmax(((starts < 0) | (counts <= 0)) & ~whole))
        raise MalformedFileError(f"{where}: a reference with offset {starts[at]} and length {counts[at]}")
    if bool(whole.any()):
        needed, which = np.unique(index[whole], return_inverse=True)
        sizes = whole_lengths([locations.urls[row] for row in needed.tolist()], stores)
        starts[whole], counts[whole] = 0, np.array(sizes, "i8")[which]
    return index, starts.astype("u8"), counts.astype("u8")


def _integers(values: Sequence[int], where: str) -> NDArray[np.int64]:
    try:
        return np.array(values, "i8")
    except OverflowError as error:
        raise MalformedFileError(f"{where}: an offset or length beyond 2**63") from error


def _location(text: Any, target: str, where: str) -> str:
    if text is None and target:
        return target
    if not isinstance(text, str) or not text:
        raise MalformedFileError(f"{where}: a reference to {text!r}; give the option target for those without a URL")
    return text


def _inline(value: Any, where: str) -> bytes:
    """The bytes of a chunk that stands in the document: base64, plain text, or JSON."""
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value)
        return _base64(value[7:], where) if value.startswith(b"base64:") else value
    if isinstance(value, str):
        return _base64(value[7:].encode(), where) if value.startswith("base64:") else value.encode("utf-8")
    if isinstance(value, dict):
        return json.dumps(value).encode()
    raise MalformedFileError(f"{where}: {type(value).__name__} is no reference")


def _base64(text: bytes, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise MalformedFileError(f"{where}: an inline chunk that is no base64: {error}") from error
