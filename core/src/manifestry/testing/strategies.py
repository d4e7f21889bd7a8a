"""Hypothesis strategies for everything in the model; what they draw passes the validation gate.

Examples
--------
The property that every store or writer must have starts like this:

>>> from hypothesis import given
>>> @given(tree=virtual_groups())
... def test_round_trip(tree):
...     validate_tree(tree)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from manifestry.issues import Issue
from manifestry.model.attributes import Reference
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import default_fill, is_bool, is_variable_length
from manifestry.model.files import FileTable, SourceFile
from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.model.validation import validate_tree
from manifestry.testing.building import native_codecs

__all__ = [
    "array_metadata",
    "attribute_values",
    "attributes",
    "chunk_manifests",
    "dtypes",
    "elements",
    "file_tables",
    "node_names",
    "source_files",
    "validate_tree",
    "virtual_arrays",
    "virtual_groups",
]

_CODES = [
    "?",
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    "f2",
    "f4",
    "f8",
    "c8",
    "c16",
    "S1",
    "S7",
    "U1",
    "U3",
    "V3",
    "M8[ns]",
    "M8[s]",
    "m8[10m]",
]
_RECORD = np.dtype([("a", "i2"), ("b", [("x", "f8"), ("y", "S3")])])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_COMPRESSED = (Codec("numcodecs.zlib", {"level": 1}),)
_FAR = 2**40


@cache
def node_names() -> st.SearchStrategy[str]:
    """Names of arrays and groups: one segment, none of those that Zarr reserves."""
    ordinary = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=8)
    return ordinary.filter(lambda name: bool(name.strip(".")) and not name.startswith("__") and name != "zarr.json")


@cache
def source_files() -> st.SearchStrategy[SourceFile]:
    """Source objects of several schemes, with and without size, entity tag and time."""
    keys = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=8)
    origins = st.sampled_from(["file:///data/", "s3://bucket/", "https://host/", "memory://m/"])
    times = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 the bounds must be naive
    return st.builds(
        SourceFile,
        st.builds(str.__add__, origins, keys),
        st.none() | st.integers(0, 2**50),
        st.none() | st.text('abcdef0123456789"-', min_size=1, max_size=8),
        st.none() | times,
    )


@cache
def file_tables(min_size: int = 0, max_size: int = 4) -> st.SearchStrategy[FileTable]:
    """Tables of distinct source objects."""
    rows = st.lists(source_files(), min_size=min_size, max_size=max_size, unique_by=lambda file: file.url)
    return rows.map(FileTable)


@cache
def dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    """Data types of every kind that the model has."""
    named = [np.dtype(code) for code in _CODES]
    return st.sampled_from([*named, _RECORD, np.dtypes.StringDType(), np.dtype(object)])


@cache
def elements(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    """Single elements of a data type, for fill values: any bits of a float, NaN payloads among them."""
    if isinstance(dtype, np.dtypes.StringDType):
        return _TEXT
    if dtype.type is np.object_:
        return st.binary(max_size=9)
    if dtype.type is np.str_:
        texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=dtype.itemsize // 4)
        return texts.map(lambda text: np.array(text, dtype)[()])
    if is_bool(dtype):
        return st.booleans().map(np.bool_)
    raw = st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize)
    return raw.map(lambda data: np.frombuffer(data, dtype)[0])


@cache
def attribute_values() -> st.SearchStrategy[Any]:
    """Attribute values of every type that has a form in JSON."""
    numbers = st.sampled_from([np.dtype(code) for code in _CODES[:14]]).flatmap(elements)
    arrays = st.builds(
        lambda dtype, values: np.array(values, dtype),
        st.sampled_from([np.dtype(code) for code in ("i2", "u8", "f4", "f8", "?")]),
        st.lists(st.integers(0, 1), max_size=3),
    )
    leaves = _TEXT | st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none() | numbers | arrays
    leaves |= (
        st.binary(max_size=5)
        | _TEXT.map(Reference)
        | _TEXT.map(lambda text: np.str_(text.rstrip("\0")))
        | st.complex_numbers()
    )
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3))


@cache
def attributes() -> st.SearchStrategy[dict[str, Any]]:
    """Sets of attributes; ``_FillValue``, whose value depends on the array, is not among them."""
    return st.dictionaries(_TEXT.filter(lambda name: name != "_FillValue"), attribute_values(), max_size=3)


@st.composite
def chunk_manifests(
    draw: st.DrawFn, grid_shape: tuple[int, ...] | None = None, chunk_bytes: int | None = None
) -> ChunkManifest:
    """Manifests with any mixture of stored, inline and missing chunks, over several files, or constant.

    Parameters
    ----------
    grid_shape
        Drawn when None; scalars and empty grids among them.
    chunk_bytes
        Bytes of every stored chunk (uncompressed arrays); any number when None.
    """
    grid = draw(_shapes(4)) if grid_shape is None else grid_shape
    size = math.prod(grid)
    kinds = draw(st.lists(st.sampled_from(["file", "inline", "missing"]), min_size=size, max_size=size))
    if draw(st.booleans()):
        kinds = [draw(st.sampled_from(["file", "missing"]))] * size
    names = [file.url for file in draw(file_tables(1, 3))]

    def column(least: int, most: int) -> list[int]:
        return draw(st.lists(st.integers(least, most), min_size=size, max_size=size))

    lengths = column(1, 40) if chunk_bytes is None else [chunk_bytes] * size
    index, offsets, inline = [], [], bytearray()
    for kind, length, file, far in zip(kinds, lengths, column(0, len(names) - 1), column(0, _FAR), strict=True):
        row = file if kind == "file" else INLINE
        offset = len(inline) if kind == "inline" else far
        if kind == "inline":
            inline += draw(st.binary(min_size=length, max_size=length))
        index.append(0 if kind == "missing" else row)
        offsets.append(offset)
    stored = [0 if kind == "missing" else length for kind, length in zip(kinds, lengths, strict=True)]
    # One URL has one size, in whichever manifest of a tree it is.
    sources = [SourceFile(url, 2 * _FAR if len(url) % 2 else None) for url in names]
    return ChunkManifest.from_columns(
        grid, sources, np.array(index, "u4"), np.array(offsets, "u8"), np.array(stored, "u8"), inline=bytes(inline)
    )


@cache
def _shapes(longest: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, longest), max_size=3).map(tuple)


@st.composite
def array_metadata(draw: st.DrawFn) -> ArrayMetadata:
    """Arrays of any shape and type on regular grids, uncompressed or compressed, in either byte order."""
    shape = draw(_shapes(9))
    chunks = tuple(draw(st.integers(max(1, -(-n // 3)), max(n, 1) + 1)) for n in shape)
    dtype = draw(dtypes())
    codecs: Sequence[Codec] = native_codecs(dtype, draw(st.sampled_from(["little", "big"])))
    transposed: bool = shape != () and draw(st.booleans())
    if transposed:
        codecs = (Codec("transpose", {"order": draw(st.permutations(range(len(shape))))}), *codecs)
    if draw(st.booleans()):
        codecs = (*codecs, *_COMPRESSED)
    fill = draw(elements(dtype)) if draw(st.booleans()) else default_fill(dtype)
    dims: tuple[str | None, ...] | None = draw(st.none() | st.tuples(*(st.none() | node_names() for _ in shape)))
    return ArrayMetadata(
        shape=shape,
        dtype=dtype,
        chunk_grid=RegularGrid(chunks),
        codecs=tuple(codecs),
        fill_value=fill,
        dims=dims,
        attributes=draw(attributes()),
    )


@st.composite
def virtual_arrays(draw: st.DrawFn) -> VirtualArray:
    """Arrays with manifests that fit them."""
    metadata = draw(array_metadata())
    plain = metadata.codecs[-1] not in _COMPRESSED and not is_variable_length(metadata.dtype)
    size = math.prod(metadata.chunk_shape) * metadata.dtype.itemsize if plain else None
    return VirtualArray(metadata, draw(chunk_manifests(metadata.grid_shape, size)))


@st.composite
def virtual_groups(draw: st.DrawFn, depth: int = 2) -> VirtualGroup:
    """Trees of at most `depth` levels of groups below the root."""
    names = draw(st.lists(node_names(), max_size=3, unique=True))
    arrays, groups = {}, {}
    for name in names:
        if depth and draw(st.booleans()):
            groups[name] = draw(virtual_groups(depth - 1))
        else:
            arrays[name] = draw(virtual_arrays())
    issues = draw(st.lists(st.builds(Issue, path=node_names(), feature=st.just("feature")), max_size=1))
    return VirtualGroup(arrays, groups=groups, attributes=draw(attributes()), issues=tuple(issues))
