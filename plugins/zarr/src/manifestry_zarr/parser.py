"""Reads native Zarr stores: every object that holds a chunk, or a shard, becomes one reference.

A shard is the chunk of the model, and the sharding codec stays in its pipeline: readers find inner chunks by the index
of the shard. Sources: Zarr storage specification version 2, Zarr core specification version 3.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from manifestry.plugin import (
    ArrayNode,
    ChunkManifest,
    FileTable,
    Hierarchy,
    MalformedFileError,
    ParseContext,
    Source,
    SourceFile,
    VirtualArray,
    VirtualGroup,
)

__all__ = ["ZarrParser"]

_CONCURRENT: Final = 32

type _Objects = dict[str, SourceFile]
"""Objects by their key below the path of an array."""


class ZarrParser:
    """The tree of a Zarr store; of a store that is one array, a tree that holds it by the store's name."""

    def parse(self, source: Source, options: None, context: ParseContext) -> VirtualGroup:  # noqa: ARG002 has none
        """List the store once, and read its metadata."""
        if not source.is_prefix:
            raise MalformedFileError(f"{source.url}: not a Zarr store: it must be a directory that can be listed")
        documents, directories = _sort_objects(source)
        hierarchy = Hierarchy.of(
            _read_documents(source, documents, context), context, source.name.removesuffix(".zarr")
        )
        objects: dict[str, _Objects] = {path: {} for path in hierarchy.arrays}
        for directory, names in directories.items():
            owner = hierarchy.array_of_chunks(directory)
            if owner is not None:
                path, inner = owner
                objects[path] |= {inner + name: file for name, file in names.items()}
        arrays = {}
        for path, node in hierarchy.arrays.items():
            with context.isolate(path):
                manifest = _manifest(node, objects[path], context)
                arrays[path] = VirtualArray(node.metadata, manifest)
        return hierarchy.tree_of(arrays)


def _sort_objects(source: Source) -> tuple[list[Source], dict[str, _Objects]]:
    """The documents of the store, and all other objects by the directory that they are in."""
    documents: list[Source] = []
    directories: dict[str, _Objects] = {}
    for key, file in source.walk():
        directory, _, name = key.rpartition("/")
        if name in Hierarchy.DOCUMENT_NAMES:
            documents.append(source.child(key))
        else:
            directories.setdefault(directory, {})[name] = file
    return documents, directories


def _read_documents(source: Source, documents: list[Source], context: ParseContext) -> dict[str, bytes]:
    """The contents of documents by their keys, fetched concurrently."""

    def read(document: Source) -> tuple[str, bytes]:
        if document.size > context.limits.max_metadata_bytes:
            raise MalformedFileError(
                f"{document.url}: the document has {document.size} bytes, more than limits.max_metadata_bytes"
            )
        return document.url.removeprefix(source.url.rstrip("/") + "/"), document.range(0, document.size)

    with ThreadPoolExecutor(_CONCURRENT) as pool:
        return dict(sorted(pool.map(read, documents)))


def _manifest(node: ArrayNode, objects: _Objects, context: ParseContext) -> ChunkManifest:
    """One reference for each object that is a chunk of the array; other objects next to them are ignored."""
    grid = node.metadata.grid_shape
    names = [name for name in objects if node.keys.may_be(name)]
    if not names:
        return ChunkManifest.missing(grid)
    positions = node.positions("\n".join(names), len(names))
    files = FileTable(objects[name] for name in names)
    if not files.sizes.all():
        raise MalformedFileError(
            f"{files.urls[int(np.argmin(files.sizes))]}: the chunk has no bytes: a chunk must have at least one"
        )
    rows = np.arange(len(names), dtype="u4")
    return ChunkManifest.from_sparse(
        grid,
        files,
        positions,
        offsets=0,
        lengths=files.sizes.astype("u8"),
        file_index=rows,
        budget=context.budget,
    )
