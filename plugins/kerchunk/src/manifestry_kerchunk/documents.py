"""A tree as the keys of a Zarr store: documents, and chunk references below them.

`Preparation` makes what a writer of references has to store, in Zarr v2, in Zarr v3, or in both at once. Both at once
share the chunk keys of version 2: ``zarr.json`` can say so (``chunk_key_encoding``), ``.zarray`` cannot say otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from manifestry import Limits
from manifestry.plugin import (
    Issue,
    ManifestError,
    StoreRegistry,
    UnsupportedFeatureError,
    VirtualArray,
    VirtualGroup,
    documents_of,
)

from manifestry_kerchunk.inlining import encoded_fill_chunk, with_inline_chunks, with_missing_chunks

__all__ = ["Preparation", "PreparedArray", "ZarrFormat", "to_strict_json", "zarr_format_of"]

type ZarrFormat = Literal[2, 3, "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedArray:
    """An array as a writer of references stores it.

    Attributes
    ----------
    path
        Path below the root of the output.
    documents
        JSON values by their keys (``"path/.zarray"``).
    array
        The array, with every chunk that has to be in the output itself inline.
    chunk_prefix, separator
        A chunk key is the prefix and the grid coordinates, joined; a scalar's is `scalar_key`.
    scalar_key
        Key of the only chunk of a scalar.
    issues
        Attributes without a place.
    packages
        Distributions that readers need.
    """

    path: str
    documents: Mapping[str, Any]
    array: VirtualArray
    chunk_prefix: str
    separator: str
    scalar_key: str
    issues: tuple[Issue, ...]
    packages: frozenset[str]


@dataclass(slots=True, kw_only=True)
class Preparation:
    """Prepares arrays and groups, and remembers what it prepared: `check` and `write` of a session ask for the same.

    Attributes
    ----------
    zarr_format
        2, 3 or ``"both"``.
    inline_below
        Chunks of fewer bytes are copied into the output.
    copies_share_bytes
        Whether equal inline chunks are stored once; otherwise all of them count against the limit.
    stores
        For reading what is copied.
    prefix
        Path of the group of the output that the tree's root becomes.
    """

    zarr_format: ZarrFormat
    inline_below: int
    copies_share_bytes: bool
    stores: StoreRegistry
    limits: Limits
    prefix: str = ""
    _prepared: dict[str, tuple[VirtualArray, PreparedArray]] = field(default_factory=dict)

    def check(self, tree: VirtualGroup) -> list[Issue]:
        """What of a tree has no exact form, and what attributes have no place."""
        issues = []
        for path, group in tree.walk():
            issues += self._group(path, group)[1]
        for path, array in tree.walk_arrays():
            try:
                issues += self.array(path, array).issues
            except UnsupportedFeatureError as error:
                issues.append(Issue(path=path, feature=error.feature, message="", hint=error.hint))
            except ManifestError as error:
                issues.append(Issue(path=path, feature="no exact form", message=str(error)))
        return issues

    def array(self, path: str, array: VirtualArray) -> PreparedArray:
        """One array.

        Raises
        ------
        UnsupportedFeatureError, ManifestError
            It has no exact form in the format asked for.
        """
        prepared = self._prepared.get(path)
        if prepared is None or prepared[0] is not array:
            prepared = self._prepared[path] = (array, self._prepare(path, array))
        return prepared[1]

    def group_documents(self, path: str, group: VirtualGroup) -> dict[str, Any]:
        """The documents of a group, by their keys."""
        return self._group(path, group)[0]

    def parents(self) -> Iterator[dict[str, Any]]:
        """The documents of the groups above the tree's root."""
        parts = self.prefix.split("/") if self.prefix else []
        for depth in range(len(parts)):
            yield self._group_at("/".join(parts[:depth]), "", VirtualGroup())[0]

    def _group(self, path: str, group: VirtualGroup) -> tuple[dict[str, Any], list[Issue]]:
        return self._group_at(self._below(path), path, group)

    def _group_at(self, at: str, path: str, group: VirtualGroup) -> tuple[dict[str, Any], list[Issue]]:
        documents: dict[str, Any] = {}
        start = f"{at}/" if at else ""
        issues: dict[Issue, None] = {}
        for version in self._versions:
            own = documents_of(group, path, zarr_format=version)
            documents |= {f"{start}{name}": value for name, value in own.json.items()}
            issues |= dict.fromkeys(own.issues)
        return documents, list(issues)

    @property
    def _versions(self) -> tuple[Literal[2, 3], ...]:
        return (2, 3) if self.zarr_format == "both" else (self.zarr_format,)

    def _below(self, path: str) -> str:
        return "/".join(filter(None, [self.prefix, path]))

    def _prepare(self, path: str, array: VirtualArray) -> PreparedArray:
        if array.manifest.size > self.limits.max_chunks:
            raise UnsupportedFeatureError(
                f"{array.manifest.size} chunks in an output of references",
                path,
                f"the limit is {self.limits.max_chunks}: choose larger chunks, or raise limits.max_chunks",
            )
        at = self._below(path)
        documents: dict[str, Any] = {}
        packages: frozenset[str] = frozenset()
        issues: tuple[Issue, ...] = ()
        array = with_inline_chunks(array, self.inline_below, self.stores, self.limits, path)
        for version in self._versions:
            own = documents_of(array.metadata, path, zarr_format=version)
            documents |= {f"{at}/{name}": value for name, value in own.json.items()}
            packages, issues = packages | own.packages, issues or own.issues
            if not own.fill_is_stored and array.manifest.stored_count < array.manifest.size:
                array = self._fill(path, array, own.json[".zarray"])
        keys_of_v2 = self.zarr_format != 3
        if self.zarr_format == "both":
            documents[f"{at}/zarr.json"]["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "."}}
        return PreparedArray(
            path=at,
            documents=documents,
            array=array,
            chunk_prefix=f"{at}/" if keys_of_v2 else f"{at}/c/",
            separator="." if keys_of_v2 else "/",
            scalar_key=f"{at}/0" if keys_of_v2 else f"{at}/c",
            issues=issues,
            packages=packages,
        )

    def _fill(self, path: str, array: VirtualArray, zarray: dict[str, Any]) -> VirtualArray:
        size = math.prod(array.metadata.chunk_shape) * array.dtype.itemsize
        if size > self.limits.max_inline_bytes:
            raise self._too_much(path, size)
        chunk = encoded_fill_chunk(array.metadata, zarray, path)
        copies = 1 if self.copies_share_bytes else array.manifest.size - array.manifest.stored_count
        if copies * len(chunk) > self.limits.max_inline_bytes:
            raise self._too_much(path, copies * len(chunk))
        return with_missing_chunks(array, chunk)

    def _too_much(self, path: str, count: int) -> UnsupportedFeatureError:
        return UnsupportedFeatureError(
            f"missing chunks that take {count} bytes in Zarr v2",
            path,
            f"the limit is {self.limits.max_inline_bytes}; write zarr_format=3, Kerchunk Parquet or Icechunk",
        )


def zarr_format_of(option: int | str) -> ZarrFormat:
    """The version that an option means, which a command line gives as text."""
    return "both" if option == "both" else 3 if int(option) == 3 else 2


def to_strict_json(value: Any) -> str:
    """Strict JSON in ASCII: what every reader of references takes."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
