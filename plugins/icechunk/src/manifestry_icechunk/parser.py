"""A repository as a tree: the state of a branch, a tag or a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import icechunk
from manifestry.plugin import (
    OptionError,
    ParseContext,
    ReferencePolicy,
    Source,
    SourceError,
    UnsupportedFeatureError,
    VirtualArray,
    VirtualGroup,
    metadata_from_documents,
)

from manifestry_icechunk.options import IcechunkReadOptions, StoreSettings
from manifestry_icechunk.reading.chunks import ChunkReader
from manifestry_icechunk.repository.errors import icechunk_errors
from manifestry_icechunk.repository.nodes import Nodes
from manifestry_icechunk.repository.provenance import provenance_of, source_files
from manifestry_icechunk.repository.repositories import authorisation, open_repository, state_of
from manifestry_icechunk.repository.storages import container_access, repository_place

__all__ = ["IcechunkParser"]


class IcechunkParser:
    """Reads Icechunk repositories of any writer.

    Virtual references are taken as they are, relative ones with the prefix of their container. Chunks that are in the
    repository itself are copied into the tree as far as the limits allow. Checksums of single references cannot be
    read back from Icechunk; size, entity tag and time of the sources come from the provenance, where there is one.
    """

    def parse(self, source: Source, options: IcechunkReadOptions, context: ParseContext) -> VirtualGroup:
        """The tree of a repository.

        Raises
        ------
        SourceError
            There is no repository, or no such branch, tag or snapshot.
        OptionError
            There is no such group, or several of branch, tag and snapshot are given.
        """
        place = repository_place(source.url, source.registry, options.storage)
        if place.path is None:
            state_of(place)  # opening would wait for minutes where nobody answers
        repository = open_repository(place)
        with icechunk_errors(f"{source.url}: reading the repository", SourceError):
            access = authorisation(
                repository.config, lambda p: container_access(p, StoreSettings(), source.registry).make()
            )
            session = _session(repository.reopen(authorize_virtual_chunk_access=access), options)
            nodes = Nodes(session.store)
            documents = nodes.documents(context.group)
            if documents.get("", {}).get("node_type") != "group":
                raise OptionError(f"there is no group {context.group or '/'!r} in {source.url}")
            if len(documents) > context.limits.max_arrays:
                raise UnsupportedFeatureError(
                    f"{len(documents)} arrays and groups, more than {context.limits.max_arrays}", "", "raise the limits"
                )
            provenance = provenance_of(repository, session.snapshot_id, context.group)
            policy = ReferencePolicy.of(source)
            reader = ChunkReader(nodes, source_files(provenance), policy, context)
            tree = _Builder(documents, reader, context).group("")
        return tree.with_(provenance=provenance)


def _session(repository: icechunk.Repository, options: IcechunkReadOptions) -> icechunk.Session:
    chosen: dict[str, Any] = {
        name: value
        for name, value in (("branch", options.branch), ("tag", options.tag), ("snapshot_id", options.snapshot))
        if value is not None
    }
    if len(chosen) > 1:
        raise OptionError(f"icechunk: give one of branch, tag and snapshot, not {' and '.join(chosen)}")
    return repository.readonly_session(**(chosen or {"branch": "main"}))


class _Builder:
    """The tree of some documents."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]], reader: ChunkReader, context: ParseContext) -> None:
        self._documents = documents
        self._reader = reader
        self._context = context
        self._children: dict[str, list[str]] = {}
        for path in documents:
            if path:
                self._children.setdefault(path.rpartition("/")[0], []).append(path)

    def group(self, path: str) -> VirtualGroup:
        """The group at a path."""
        arrays, groups = {}, {}
        for child in self._children.get(path, ()):
            name = child.rpartition("/")[2]
            if self._documents[child]["node_type"] == "group":
                if self._context.wants_group(child):
                    groups[name] = self.group(child)
            elif self._context.wants(child):
                with self._context.isolate(child):
                    arrays[name] = self._array(child)
        return VirtualGroup(arrays, groups=groups, attributes=self._documents[path].get("attributes") or {})

    def _array(self, path: str) -> VirtualArray:
        metadata = metadata_from_documents({"zarr.json": self._documents[path]}, path)
        where = f"{self._context.group}/{path}".strip("/")
        inline = self._context.inline_below is not None and metadata.nbytes < self._context.inline_below
        return VirtualArray(metadata, self._reader.manifest(where, metadata.grid_shape, inline=inline))
