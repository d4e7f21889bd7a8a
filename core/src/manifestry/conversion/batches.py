"""The task of a worker: parse a batch of sources and fold their trees into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set as AbstractSet
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import parent_process
from typing import Any, Literal

import msgspec

from manifestry.combine.chunking import take_along
from manifestry.combine.concatenation import Concatenation
from manifestry.combine.dimensions import lengths_along
from manifestry.combine.merging import merge
from manifestry.combine.options import CombineOptions
from manifestry.conversion.kinds import Kind, are_columns, join_kinds, kind_of, like_of_kind
from manifestry.conversion.order import Coordinate, Kept, coordinate_of
from manifestry.conversion.preparation import Preparation
from manifestry.conversion.report import SourceReport
from manifestry.errors import IncompatibleArraysError, ManifestryError, OptionError
from manifestry.formats.contracts import OnUnsupported
from manifestry.formats.detection import detect
from manifestry.formats.isolation import limited_time
from manifestry.formats.loading import installed_formats
from manifestry.formats.plugin_errors import PluginBoundary
from manifestry.model.limits import Limits
from manifestry.model.manifest import ChunkManifest
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.parallel.processes import is_worker
from manifestry.reading import is_foreign, parse_isolated, parse_source
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source

__all__ = ["Batch", "BatchJob", "BatchResult", "CoordinateTask", "array_paths", "template_of"]

type OnError = Literal["raise", "skip"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some sources, and the tree that decides what theirs must be like (None for the first source of all).

    `kept` says what is kept of those of which not all is, by URL.
    """

    urls: tuple[str, ...]
    like: VirtualGroup | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The trees of a batch by their kinds, none when every source failed, and what became of each source.

    Attributes
    ----------
    lengths
        How long the combined dimension is in each source of the trees, by URL.
    kinds
        The kind of each of them, by URL.
    left_out
        Paths of the arrays that the sources have, or should have, and the tree has not: the options drop them.
    """

    trees: Mapping[Kind, VirtualGroup]
    reports: tuple[SourceReport, ...]
    lengths: Mapping[str, int] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def tree(self) -> VirtualGroup | None:
        """The first tree."""
        return next(iter(self.trees.values()), None)

    @property
    def references(self) -> int:
        """References parsed."""
        return sum(report.references for report in self.reports)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """How sources are parsed, prepared and folded; travels to workers, with its stores and their credentials.

    Attributes
    ----------
    format, options, on_unsupported, limits
        As for `manifestry.parse`.
    preparation
        What is done to each tree.
    dim
        The dimension that trees are combined along; None: they are merged.
    others
        Further dimensions, along which trees lie by the values of their coordinates.
    combine
        What to do where trees differ.
    stores
        Object stores by URL prefix.
    on_error
        Whether a source that fails fails the run.
    isolate
        Whether sources that are remote or untrusted are parsed in a process of their own, in place of the main one.
    continued
        Trees are added to an output that is there, and that says what they must be like.
    """

    format: str | None
    options: Mapping[str, Any]
    on_unsupported: OnUnsupported
    limits: Limits | None
    preparation: Preparation
    dim: str | None
    combine: CombineOptions
    stores: StoreRegistry
    on_error: OnError = "raise"
    isolate: bool = False
    continued: bool = False
    others: tuple[str, ...] = ()

    def __call__(self, batch: Batch) -> BatchResult:
        """Parse and fold a batch.

        Raises
        ------
        ManifestryError
            A source cannot be parsed or does not fit the others, and ``on_error`` is ``"raise"``.
        """
        trees: dict[str, VirtualGroup] = {}
        reports: dict[str, SourceReport] = {}
        for url in batch.urls:
            try:
                tree = self.parse(url, batch.kept.get(url))
            except ManifestryError as error:
                if self.on_error == "raise" or isinstance(error, OptionError):
                    raise
                reports[url] = SourceReport.of_error(url, error)
                continue
            trees[url], reports[url] = tree, SourceReport.of(url, tree)
        if self.on_error == "skip" and self.dim is not None:
            for url, misfit in self._misfits(trees, batch.like).items():
                del trees[url]
                reports[url] = SourceReport.of_error(url, misfit)
        in_order = tuple(reports[url] for url in batch.urls)
        lengths = {} if self.dim is None else {url: _length(tree, self.dim) for url, tree in trees.items()}
        kinds = self._kinds(trees)
        folded: dict[Kind, VirtualGroup] = {}
        left_out: frozenset[str] = frozenset()
        for kind in dict.fromkeys(kinds.values()):
            some = [trees[url] for url, own in kinds.items() if own == kind]
            like = self._like(batch.like, kind, some)
            whole = self.fold(some, like)
            folded |= {} if whole is None else {kind: whole}
            left_out |= array_paths(like, *some) - array_paths(whole)
        return BatchResult(folded, in_order, lengths, left_out, kinds)

    def _kinds(self, trees: Mapping[str, VirtualGroup]) -> dict[str, Kind]:
        """The kind of each source: variables count only where a source that lacks some is an error."""
        if self.dim is None or not trees:
            return dict.fromkeys(trees, Kind())
        how: dict[str, Any] = {"stack": self.combine.stack, "stores": self.stores}
        found = {url: kind_of(url, tree, self.dim, self.others, **how) for url, tree in trees.items()}
        given = self.combine.missing, self.combine.on_conflict, self.on_error
        if {"fill", "drop", "skip"}.intersection(given) or not are_columns(found.values()):
            found = {url: Kind(places=kind.places) for url, kind in found.items()}
        return found

    def _like(self, like: VirtualGroup | None, kind: Kind, trees: Sequence[VirtualGroup]) -> VirtualGroup | None:
        if self.dim is None or kind == Kind():
            return like
        return like_of_kind(like, kind, self.dim, array_paths(*trees))

    def fold_kinds(
        self, parts: Sequence[tuple[Kind, VirtualGroup]], like: VirtualGroup | None, left_out: AbstractSet[str]
    ) -> VirtualGroup | None:
        """Trees as one, side by side where their kinds say so; None of none."""
        kinds = list(dict.fromkeys(kind for kind, _ in parts))
        if not kinds or (not self.others and (len(kinds) == 1 or not are_columns(kinds))):
            return self.fold([tree for _, tree in parts], like, left_out)
        folded: dict[Kind, VirtualGroup] = {}
        for kind in kinds:
            some = [tree for own, tree in parts if own == kind]
            if (tree := self.fold(some, self._like(like, kind, some), left_out)) is not None:
                folded[kind] = tree
        options = msgspec.structs.replace(self.combine, index_chunk=None)
        try:
            whole = join_kinds(
                folded,
                self.others,
                concat=lambda trees, dim: Concatenation(trees, dim, options, stores=self.stores).run(),
                merge=lambda trees: merge(trees, stores=self.stores, **msgspec.structs.asdict(options)),
            )
        except IncompatibleArraysError:
            if not self.others:
                self.fold([tree for _, tree in parts], like, left_out)  # they lack each other's variables: says so
            raise
        return self.fold([whole], like, left_out) if self.continued else whole

    def warm_up(self, url: str) -> None:
        """Load what parsing a source needs, in a process that has nothing else to do yet."""
        formats = installed_formats()
        with PluginBoundary():  # what goes wrong here goes wrong again, and is reported, when the source is parsed
            entry = formats.select(self.format)[0] if self.format else detect(Source.at(url, self.stores), formats)
            entry.load()

    def parse(self, url: str, kept: Kept | None = None) -> VirtualGroup:
        """The prepared tree of one source, or what is kept of it."""
        source = Source.at(url, self.stores)
        foreign = is_foreign(source, untrusted=self.stores.access.untrusted)
        if self.isolate and foreign and parent_process() is None:  # workers are others already
            tree = parse_isolated(source, self.format, self.on_unsupported, self.options, limits=self.limits)
        else:
            with limited_time() if is_worker() else nullcontext():
                tree = parse_source(source, self.format, self.on_unsupported, self.options, limits=self.limits)
        tree = self.preparation.apply(tree, url)
        if kept is None or self.dim is None:
            return tree
        return take_along(tree, self.dim, *kept, options=self.combine, stores=self.stores)

    def coordinate(self, url: str) -> Coordinate:
        """The coordinate of the combined dimension in one source, read without the rest where nothing prepares it.

        Raises
        ------
        OptionError
            There is none.
        """
        assert self.dim is not None
        found = None
        if self.preparation.changes_nothing and self.options.keys().isdisjoint(("include", "exclude")):
            with suppress(ManifestryError):
                lean = replace(self, options={**self.options, "include": (self.dim,)})
                found = coordinate_of(url, lean.parse(url), self.dim, self.stores)
        if found is None:
            found = coordinate_of(url, self.parse(url), self.dim, self.stores)
        if found is None:
            raise OptionError(f"{url}: there is no coordinate {self.dim!r}, by which sources are sorted and compared")
        return found

    def fold(
        self, trees: Sequence[VirtualGroup], like: VirtualGroup | None, left_out: AbstractSet[str] = frozenset()
    ) -> VirtualGroup | None:
        """Trees as one, None of none.

        Parameters
        ----------
        left_out
            Paths of the arrays that some of the trees had to leave out: the whole has them no more.
        """
        if not trees:
            return None
        trees = [_without(tree, left_out) for tree in trees]
        if self.dim is not None:
            return self._concatenation(trees, None if like is None else _without(like, left_out), left_out).run()
        if len(trees) == 1:
            return trees[0]
        return merge(trees, stores=self.stores, **msgspec.structs.asdict(self.combine))

    def _concatenation(
        self, trees: Sequence[VirtualGroup], like: VirtualGroup | None, left_out: AbstractSet[str] = frozenset()
    ) -> Concatenation:
        assert self.dim is not None
        names = left_out | {path.rpartition("/")[2] for path in left_out}
        options = msgspec.structs.replace(
            self.combine,
            load=tuple(name for name in self.combine.load if name not in names),
            stack=tuple(name for name in self.combine.stack if name not in names),
        )
        common: dict[str, Any] = {"like": like, "stores": self.stores, "continued": self.continued}
        return Concatenation(trees, self.dim, options, check_order=False, **common)

    def _misfits(self, trees: Mapping[str, VirtualGroup], like: VirtualGroup | None) -> dict[str, ManifestryError]:
        """The sources that cannot be combined with the first one, or whose values cannot be read for that.

        They are looked for one by one only when together they fail.
        """
        if not trees:
            return {}
        try:
            self._concatenation(list(trees.values()), like).join()
        except OptionError:
            raise
        except ManifestryError:
            pass
        else:
            return {}
        misfits: dict[str, ManifestryError] = {}
        for url, tree in trees.items():
            try:
                self._concatenation([tree], like).run()
            except ManifestryError as error:
                misfits[url] = error
        return misfits


@dataclass(frozen=True, slots=True)
class CoordinateTask:
    """The task of a worker before all others, where sources are sorted or compared: read the coordinates of a batch."""

    job: BatchJob

    def __call__(self, batch: Batch) -> list[Coordinate]:
        """The coordinates, without those of sources that fail where that is allowed: they fail again when they are parsed."""
        found = []
        for url in batch.urls:
            try:
                found.append(self.job.coordinate(url))
            except ManifestryError as error:
                if self.job.on_error == "raise" or isinstance(error, OptionError):
                    raise
        return found


def _length(tree: VirtualGroup, dim: str) -> int:
    return next(iter(lengths_along(tree, dim)), 0)


def array_paths(*trees: VirtualGroup | None) -> frozenset[str]:
    """The paths of all arrays of some trees."""
    return frozenset(path for tree in trees if tree is not None for path, _ in tree.walk_arrays())


def _without(tree: VirtualGroup, paths: AbstractSet[str]) -> VirtualGroup:
    return tree.map_arrays(lambda path, array: None if path in paths else array) if paths else tree


def template_of(tree: VirtualGroup, dim: str | None) -> VirtualGroup:
    """What a tree says of all others, without the references of the arrays that are joined: it travels to workers."""

    def lean(_: str, array: VirtualArray) -> VirtualArray:
        if dim not in (array.dims or ()):
            return array
        return VirtualArray(array.metadata, ChunkManifest.missing(array.manifest.grid_shape))

    return tree.map_arrays(lean).with_(issues=(), provenance=())
