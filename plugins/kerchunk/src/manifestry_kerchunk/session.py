"""What the write sessions of both reference formats have in common: they hold one tree until they are committed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from manifestry.plugin import (
    INLINE,
    ChunkManifest,
    Issue,
    Placement,
    Target,
    UnsupportedFeatureError,
    VirtualGroup,
    WriteContext,
    WriteReport,
)

from manifestry_kerchunk.documents import Preparation, PreparedArray, ZarrFormat
from manifestry_kerchunk.reader_snippet import lines_need, reader_lines

__all__ = ["ReferenceSession"]


class ReferenceSession(ABC):
    """A write session (see `manifestry.formats.contracts.WriteSession`) for outputs that are written anew or not at all.

    Subclasses write the output in `_publish`.

    Attributes
    ----------
    format_name
        Name of the format, for the report.
    """

    format_name: str

    def __init__(
        self,
        target: Target,
        context: WriteContext,
        zarr_format: ZarrFormat,
        inline_below: int,
        *,
        copies_share_bytes: bool,
    ) -> None:
        self._target, self._context = target, context
        self._preparation = Preparation(
            zarr_format=zarr_format,
            inline_below=inline_below,
            copies_share_bytes=copies_share_bytes,
            stores=target.stores,
            limits=context.limits,
            prefix=target.group,
        )
        self._tree: VirtualGroup | None = None

    def check(self, tree: VirtualGroup, at: Placement | None = None) -> Sequence[Issue]:
        """What of the tree Zarr metadata of the version asked for cannot hold."""
        _refuse_placement(at)
        return self._preparation.check(tree)

    def write(self, tree: VirtualGroup, at: Placement | None = None) -> None:
        """Take the one tree of the output."""
        _refuse_placement(at)
        if self._tree is not None:
            raise UnsupportedFeatureError("several trees in one output of references", "", "combine them first")
        self._tree = tree

    def commit(self, metadata: Mapping[str, Any]) -> WriteReport:
        """Write the output and put it in its place."""
        tree = self._tree or VirtualGroup()
        prepared = [self._preparation.array(path, array) for path, array in tree.walk_arrays()]
        self._publish(self._documents(tree, prepared), prepared, metadata)
        return self._report(tree, prepared)

    def _report(self, tree: VirtualGroup, prepared: Sequence[PreparedArray]) -> WriteReport:
        """What was written, fill chunks and copied chunks counted as inline."""
        stored = VirtualGroup({array.path: array.array for array in prepared}, issues=tree.issues)
        version = self._preparation.zarr_format
        lines = reader_lines(self._target, tree, 3 if version == 3 else 2, self._reader_options())
        report = WriteReport.of(
            str(self._target),
            self.format_name,
            [stored],
            packages=tuple(sorted(frozenset().union(*(array.packages for array in prepared)))),
            reader=lines,
            requirements=lines_need(lines, self._target, tree, self._reader_needs()),
        )
        return replace(report, described_bytes=sum(_described_bytes(array.array.manifest) for array in prepared))

    def _reader_options(self) -> Mapping[str, Any]:
        """Storage options beyond the usual ones that fsspec needs to open the output."""
        return {}

    def _reader_needs(self) -> Sequence[str]:
        """Distributions with which fsspec opens such outputs."""
        return ()

    @abstractmethod
    def abort(self) -> None:
        """Forget what was staged."""

    @abstractmethod
    def _publish(
        self, documents: Mapping[str, Any], prepared: Sequence[PreparedArray], metadata: Mapping[str, Any]
    ) -> None:
        """Write everything beside the target, and make it visible at once."""

    def _documents(self, tree: VirtualGroup, prepared: Sequence[PreparedArray]) -> dict[str, Any]:
        """All documents by their keys, groups first."""
        return {key: value for part in self._document_parts(tree, prepared) for key, value in part.items()}

    def _document_parts(self, tree: VirtualGroup, prepared: Sequence[PreparedArray]) -> Iterator[Mapping[str, Any]]:
        yield from self._preparation.parents()
        for path, group in tree.walk():
            yield self._preparation.group_documents(path, group)
        for array in prepared:
            yield array.documents


def _described_bytes(manifest: ChunkManifest) -> int:
    index, _, lengths = manifest.columns()
    return int(lengths[index != INLINE].sum())


def _refuse_placement(at: Placement | None) -> None:
    if at is not None:
        raise UnsupportedFeatureError("append and region in an output of references", "", "write an Icechunk store")
