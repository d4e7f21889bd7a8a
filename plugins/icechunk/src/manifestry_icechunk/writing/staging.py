"""Staging of trees: documents, native chunks and references, relieved whenever there are many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import icechunk
import numpy as np
import zarr
from manifestry.plugin import (
    Destination,
    FileTable,
    IncompatibleArraysError,
    Mode,
    Placement,
    StoredGroup,
    Target,
    TargetExistsError,
    UnsupportedFeatureError,
    VirtualArray,
    VirtualGroup,
    WriteContext,
    documents_of,
)
from numpy.typing import NDArray

from manifestry_icechunk.options import IcechunkWriteOptions
from manifestry_icechunk.repository.containers import Container, choose_containers, locations_of, used_rows
from manifestry_icechunk.repository.nodes import Nodes, native_chunks
from manifestry_icechunk.writing.references import LocatedFiles, checksum_groups, set_references
from manifestry_icechunk.writing.splitting import automatic_size, split_sizes
from manifestry_icechunk.writing.transactions import Transaction

__all__ = ["Staging", "refuse_occupied"]

_MAX_UNSPLIT: Final = 20_000_000
"""References of one manifest file that stay below its limit of two gigabytes; one takes about 84 bytes."""

_KEEP_ALL: Final[Any] = {"write_empty_chunks": True}
"""Chunks of nothing but fill values are stored: zarr takes -0.0 for 0.0 when it looks for them."""


def refuse_occupied(nodes: Nodes, target: Target | str) -> None:
    """Make sure that nothing is at a group: an empty group without attributes counts as nothing.

    Raises
    ------
    TargetExistsError
        Something is there.
    """
    group = target if isinstance(target, str) else target.group
    documents = nodes.documents(group)
    root = documents.pop("", None)
    if documents or (root is not None and (root["node_type"] == "array" or root.get("attributes"))):
        where = f"{target}" if not isinstance(target, str) else ""
        place = f"the group {group!r}" if group else "the repository"
        raise TargetExistsError(
            f"{where}: {place} holds data already; replace it with overwrite=True (--overwrite), or choose another group"
        )


class Staging:
    """Puts trees into a transaction.

    Parameters
    ----------
    transaction
        Where.
    target, mode, options, context
        As given to the writer.
    """

    def __init__(
        self, transaction: Transaction, target: Target, mode: Mode, options: IcechunkWriteOptions, context: WriteContext
    ) -> None:
        self._transaction = transaction
        self._group = target.group
        self._mode = mode
        self._options = options
        self._progress = context.progress
        self._stores = target.stores
        self._equal: dict[tuple[str, str, int], bool] = {}
        self.restart()

    def restart(self) -> None:
        """Forget what was staged."""
        self._first = True
        self._pending = 0
        self._store: icechunk.IcechunkStore | None = None

    @property
    def store(self) -> icechunk.IcechunkStore:
        """The store to stage in; what was staged is stored first when there is much of it."""
        if self._pending >= self._options.references_per_commit:
            self._store = self._transaction.relieve()
            self._pending = 0
        assert self._store is not None
        return self._store

    @property
    def batch(self) -> int:
        """See `references.Stage`."""
        return self._options.references_per_commit

    def count_staged(self, count: int) -> None:
        """See `references.Stage`."""
        self._pending += count
        self._progress.advance(references=count)

    def place(self, tree: VirtualGroup, at: Placement, store: icechunk.IcechunkStore | None) -> dict[str, Destination]:
        """Where the arrays of a tree go in what is stored.

        Raises
        ------
        IncompatibleArraysError
            The tree does not go there.
        """
        if store is None:
            raise IncompatibleArraysError("append and region: nothing is stored yet that could be continued or changed")
        snapshot, stored = store.session.snapshot_id, self.stored(store)

        def same(path: str, array: VirtualArray) -> bool:
            key = (snapshot, path, id(array))
            if key not in self._equal:
                self._equal[key] = stored.same_values(path, array)
            return self._equal[key]

        return stored.place(tree, at, self._options.rewrite_below, same=same, renews=True)

    def stored(self, store: icechunk.IcechunkStore) -> StoredGroup:
        """What the group of the target holds."""
        return StoredGroup(store, self._group, Nodes(store).documents(self._group), self._stores)

    def stage(self, tree: VirtualGroup, at: Placement | None) -> None:
        """Put a tree into the transaction."""
        arrays = dict(tree.walk_arrays())
        destinations: dict[str, Destination] = {}
        before = self._transaction.reading()
        if at is not None:
            destinations = self.place(tree, at, before)
            arrays = _placed(arrays, destinations)
        if not self._transaction.splits_manifests:
            _check_manifest_sizes(arrays)
        used = _used_files(arrays)
        urls = {files.urls[row] for files, rows in used.values() for row in rows.tolist()}
        containers = choose_containers(urls, self._transaction.containers(), relative=self._options.relative)
        self._store = self._transaction.writing(containers, self._splits(arrays, destinations))
        if at is None:
            self._stage_documents(tree)
        else:
            if before is not None and before.session.snapshot_id != self._store.session.snapshot_id:
                destinations = self.place(tree, at, self._store)  # somebody else has committed in between
                arrays = _placed(dict(tree.walk_arrays()), destinations)
                used = _used_files(arrays)
            self._stage_changes(arrays, destinations)
        self._first = False
        located = {key: self._locate(files, rows, containers) for key, (files, rows) in used.items()}
        for path, array in arrays.items():
            offset = destinations[path].offset if path in destinations else (0,) * array.metadata.ndim
            if offset is not None:
                where = self._path(path)
                Nodes(self.store).set(native_chunks(where, array.manifest, offset))
                set_references(self, where, array.manifest, located[id(array.manifest.files)], offset)

    def _locate(self, files: FileTable, rows: NDArray[np.uint32], containers: Sequence[Container]) -> LocatedFiles:
        locations = locations_of(files, containers, rows, relative=self._options.relative)
        return LocatedFiles(locations, *checksum_groups(files, wanted=self._options.checksums))

    def _path(self, path: str) -> str:
        return f"{self._group}/{path}".strip("/")

    def _splits(
        self, arrays: Mapping[str, VirtualArray], destinations: Mapping[str, Destination]
    ) -> dict[str, tuple[int, ...]]:
        """Rules of manifests for the arrays whose grids are, or become, large."""
        rules = {}
        for path, array in arrays.items():
            grid = array.manifest.grid_shape
            if path in destinations:
                chunks = array.metadata.chunk_shape
                grid = tuple(-(-n // c) for n, c in zip(destinations[path].shape, chunks, strict=True))
            wanted = self._options.references_per_manifest or automatic_size(math.prod(grid))
            sizes = split_sizes(grid, wanted)
            if sizes is not None:
                rules[self._path(path)] = sizes
        return rules

    def _stage_changes(self, arrays: Mapping[str, VirtualArray], destinations: Mapping[str, Destination]) -> None:
        """Let arrays grow, store small ones anew, and delete chunks that the tree does not have."""
        nodes = Nodes(self.store)
        stored = {path: nodes.document(self._path(path)) or {} for path in arrays}
        changed = {
            self._path(path): _changed(document, destinations[path])
            for path, document in stored.items()
            if destinations[path].renewed is None
            and (destinations[path].attributes or list(destinations[path].shape) != document["shape"])
        }
        changed |= {
            self._path(path): documents_of(array.metadata).json["zarr.json"]
            for path, array in arrays.items()
            if destinations[path].renewed is not None
        }
        nodes.set_documents(changed)
        for path, array in arrays.items():
            to = destinations[path]
            if to.offset is None:
                target: Any = zarr.open_array(
                    self.store, path=self._path(path), mode="r+", zarr_format=3, config=_KEEP_ALL
                )
                target[to.region] = StoredGroup.values(array, self._stores)
            elif array.manifest.stored_count < array.manifest.size:
                nodes.delete(nodes.stale_keys(self._path(path), array.manifest, to.offset))

    def _stage_documents(self, tree: VirtualGroup) -> None:
        """Documents of the groups above, of the tree's groups and of its arrays."""
        nodes = Nodes(self.store)
        if self._first and self._mode is Mode.OVERWRITE:
            nodes.delete_below(self._group)
        elif self._first:
            refuse_occupied(nodes, self._group)
        staged = {} if self._first else nodes.documents(self._group)
        documents: dict[str, dict[str, Any]] = {}
        segments = self._group.split("/") if self._group else []
        for depth in range(len(segments)):
            above = "/".join(segments[:depth])
            document = nodes.document(above)
            if document is None:
                documents[above] = documents_of(VirtualGroup()).json["zarr.json"]
            elif document["node_type"] == "array":
                raise TargetExistsError(
                    f"{above}: is an array, so the group {self._group} cannot be in it; choose another group"
                )
        for path, group in tree.walk():
            if path not in staged:
                documents[self._path(path)] = documents_of(group).json["zarr.json"]
            for name, array in group.arrays.items():
                inner = f"{path}/{name}".lstrip("/")
                if inner in staged:
                    raise TargetExistsError(f"{inner}: is staged in this session already")
                documents[self._path(inner)] = documents_of(array.metadata).json["zarr.json"]
        nodes.set_documents(documents)


def _changed(document: Mapping[str, Any], to: Destination) -> dict[str, Any]:
    """The document of an array that grows."""
    attributes = {**document.get("attributes", {}), **to.attributes}
    kept = {name: value for name, value in attributes.items() if to.attributes.get(name, value) is not None}
    return {**document, "shape": list(to.shape), "attributes": kept}


def _placed(arrays: Mapping[str, VirtualArray], to: Mapping[str, Destination]) -> dict[str, VirtualArray]:
    """The arrays that go somewhere, by path; where a stored one is renewed, what takes its place."""
    return {path: to[path].renewed or array for path, array in arrays.items() if path in to}


def _check_manifest_sizes(arrays: Mapping[str, VirtualArray]) -> None:
    """Refuse what would not go into one manifest file: Icechunk panics at two gigabytes."""
    for path, array in arrays.items():
        if array.manifest.stored_count > _MAX_UNSPLIT:
            raise UnsupportedFeatureError(
                f"{array.manifest.stored_count} references in one manifest file",
                path,
                "set manifest.splitting in the configuration of the repository that the session is of, or give the "
                "repository as the target",
            )


def _used_files(arrays: Mapping[str, VirtualArray]) -> dict[int, tuple[FileTable, NDArray[np.uint32]]]:
    """The file tables of some arrays by identity, each with the rows that are referred to."""
    tables: dict[int, tuple[FileTable, list[NDArray[np.uint32]]]] = {}
    for array in arrays.values():
        files = array.manifest.files
        tables.setdefault(id(files), (files, []))[1].append(used_rows(array.manifest))
    return {key: (files, np.unique(np.concatenate(rows))) for key, (files, rows) in tables.items()}
