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
    in_files = np.fromiter((isinstance(v, list | tuple) for v in values), bool, len(values))
    index = np.full(len(values), INLINE, "u4")
    offsets, lengths = np.zeros(len(values), "u8"), np.zeros(len(values), "u8")
    if in_files.all():
        index, offsets, lengths = _ranges(values, locations, stores, target, node.path)
        return ReferenceColumns(grid, positions, index, offsets, lengths)
    pointing = [value for value in values if isinstance(value, list | tuple)]
    if pointing:
        index[in_files], offsets[in_files], lengths[in_files] = _ranges(pointing, locations, stores, target, node.path)
    data = [_inline(value, node.path) for value in values if not isinstance(value, list | tuple)]
    counts = np.fromiter(map(len, data), "u8", len(data))
    if int(counts.sum()) > limits.max_metadata_bytes:
        raise MalformedFileError(f"{node.path}: {int(counts.sum())} bytes inline, more than the limit")
    if not counts.all():
        raise MalformedFileError(f"{node.path}: an inline chunk of no bytes")
    offsets[~in_files], lengths[~in_files] = np.cumsum(counts) - counts, counts
    return ReferenceColumns(grid, positions, index, offsets, lengths, b"".join(data))


type _Columns = tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]]


def _ranges(
    values: Sequence[Sequence[Any]], locations: LocationTable, stores: StoreRegistry, target: str, where: str
) -> _Columns:
    """File index, offsets and lengths of references into files."""
    count = len(values)
    sizes = set(map(len, values))
    if not sizes <= {1, 3}:
        raise MalformedFileError(f"{where}: a reference of {max(sizes - {1, 3})} parts")
    texts = [value[0] for value in values]
    distinct = dict.fromkeys(texts)
    rows = dict(zip(distinct, locations.rows(_location(text, target, where) for text in distinct), strict=True))
    index = np.fromiter(map(rows.__getitem__, texts), "u4", count)
    if sizes == {3}:
        return index, _integers(values, 1, where), _integers(values, 2, where, least=1)
    whole = np.fromiter((len(value) == 1 for value in values), bool, count)
    offsets, lengths = np.zeros(count, "u8"), np.zeros(count, "u8")
    parts = [value for value in values if len(value) == 3]
    offsets[~whole], lengths[~whole] = _integers(parts, 1, where), _integers(parts, 2, where, least=1)
    needed = np.unique(index[whole])
    known = np.zeros(int(index.max(initial=0)) + 1, "u8")
    known[needed] = whole_lengths([locations.urls[row] for row in needed.tolist()], stores)
    lengths[whole] = known[index[whole]]
    return index, offsets, lengths


def _location(text: Any, target: str, where: str) -> str:
    if text is None and target:
        return target
    if not isinstance(text, str) or not text:
        raise MalformedFileError(f"{where}: a reference to {text!r}; give the option target for those without a URL")
    return text


def _integers(values: Sequence[Sequence[Any]], part: int, where: str, least: int = 0) -> NDArray[np.uint64]:
    """One number of each reference."""
    try:
        column = np.array([value[part] for value in values])
    except (OverflowError, ValueError):
        column = np.empty(0)
    if column.size != len(values) or (column.dtype.kind not in "iu" and column.size):
        raise MalformedFileError(f"{where}: an offset or length that is no whole number")
    if column.size and int(column.min()) < least:
        raise MalformedFileError(f"{where}: a reference with offset or length {int(column.min())}")
    return column.astype("u8")


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
