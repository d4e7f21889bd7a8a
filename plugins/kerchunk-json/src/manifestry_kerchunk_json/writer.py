"""Writes trees as documents of Kerchunk references (version 1 of the specification, no templates, no ``gen``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from manifestry.errors import UnsupportedFeatureError
from manifestry.formats.contracts import Mode, Placement, Target, WriteContext
from manifestry.model.issues import Issue
from manifestry.model.tree import VirtualGroup
from manifestry.references.layout import PROVENANCE_KEY, Preparation, PreparedArray, to_strict_json
from manifestry.references.locations import reader_lines
from manifestry.references.targets import StagedFile, check_target
from manifestry.report import WriteReport

from manifestry_kerchunk_json.compression import compressing
from manifestry_kerchunk_json.lines import reference_lines
from manifestry_kerchunk_json.options import KerchunkJsonWriterOptions
from manifestry_kerchunk_json.sniffing import is_document

__all__ = ["KerchunkJsonWriter"]


class KerchunkJsonWriter:
    """One JSON document for a tree."""

    def open(
        self, target: Target, mode: Mode, options: KerchunkJsonWriterOptions, context: WriteContext
    ) -> KerchunkJsonSession:
        """Begin; the target is looked at and not touched."""
        check_target(target, mode, "document of Kerchunk references", is_document)
        return KerchunkJsonSession(target, mode, options, context)


class KerchunkJsonSession:
    """A document that appears at its target when it is complete."""

    def __init__(self, target: Target, mode: Mode, options: KerchunkJsonWriterOptions, context: WriteContext) -> None:
        self._target, self._options, self._context = target, options, context
        self._file = StagedFile(target, mode)
        zarr_format = options.zarr_format if options.zarr_format == "both" else int(options.zarr_format)
        self._preparation = Preparation(
            zarr_format,  # type: ignore[arg-type]
            options.inline_below,
            copies_share_bytes=False,
            stores=target.stores,
            limits=context.limits,
            prefix=target.group,
        )
        self._tree: VirtualGroup | None = None

    def check(self, tree: VirtualGroup, at: Placement | None = None) -> Sequence[Issue]:
        """What of the tree Zarr metadata of the version asked for cannot hold."""
        assert at is None
        return self._preparation.check(tree)

    def write(self, tree: VirtualGroup, at: Placement | None = None) -> None:
        """Take the one tree of the document."""
        assert at is None
        if self._tree is not None:
            raise UnsupportedFeatureError("several trees in one document", "", "combine them first")
        self._tree = tree

    def commit(self, metadata: Mapping[str, Any]) -> WriteReport:
        """Write the document and put it in its place."""
        tree = self._tree or VirtualGroup()
        prepared = [self._preparation.array(path, array) for path, array in tree.walk_arrays()]
        with self._file.open() as handle, self._compressed(handle) as stream:
            for text in self._document(tree, prepared, metadata):
                stream.write(text.encode("ascii"))
        self._file.publish()
        protocol = self._target.url.partition("://")[0] if not tree.files else tree.files.urls[0].partition("://")[0]
        version = 3 if self._options.zarr_format in (3, "3") else 2
        lines = reader_lines(str(self._target.local_path or self._target.url), protocol, version)
        return WriteReport.of(str(self._target), "kerchunk-json", [tree], reader=lines)

    def abort(self) -> None:
        """Forget the document."""
        self._file.discard()

    @contextmanager
    def _compressed(self, handle: BinaryIO) -> Iterator[BinaryIO]:
        wanted = self._options.compression
        if wanted == "zstd" or (wanted == "auto" and self._target.url.lower().endswith(".zst")):
            with compressing(handle, self._options.compression_level) as stream:
                yield stream
        else:
            yield handle

    def _document(
        self, tree: VirtualGroup, prepared: Sequence[PreparedArray], metadata: Mapping[str, Any]
    ) -> Iterator[str]:
        """The text of the document: all metadata first, then references array by array."""
        documents: dict[str, Any] = {}
        for parent in self._preparation.parents():
            documents |= parent
        for path, group in tree.walk():
            documents |= self._preparation.group_documents(path, group)
        for array in prepared:
            documents |= array.documents
        documents[PROVENANCE_KEY] = dict(metadata)
        members = (f"{to_strict_json(key)}:{to_strict_json(to_strict_json(value))}" for key, value in documents.items())
        yield '{"version":1,"refs":{\n' + ",\n".join(members)
        for array in prepared:
            for lines in reference_lines(array):
                yield ",\n" + lines
            self._context.progress.advance(references=array.array.manifest.stored_count)
        yield "\n}}\n"
