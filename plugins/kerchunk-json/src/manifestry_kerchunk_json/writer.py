"""Writes trees as documents of Kerchunk references (version 1 of the specification, no templates, no ``gen``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from manifestry.plugin import Mode, StagedFile, Target, WriteContext
from manifestry_kerchunk.documents import PreparedArray, to_strict_json, zarr_format_of
from manifestry_kerchunk.session import ReferenceSession

from manifestry_kerchunk_json.compression import compress_into
from manifestry_kerchunk_json.document import PROVENANCE_MEMBER
from manifestry_kerchunk_json.members import reference_lines
from manifestry_kerchunk_json.options import KerchunkJsonWriterOptions
from manifestry_kerchunk_json.sniffing import is_document

__all__ = ["KerchunkJsonWriter"]


class KerchunkJsonWriter:
    """One JSON document for a tree."""

    def open(
        self, target: Target, mode: Mode, options: KerchunkJsonWriterOptions, context: WriteContext
    ) -> KerchunkJsonSession:
        """Begin; the target is looked at and not touched."""
        staged = StagedFile(target, mode)
        staged.check("document of Kerchunk references", is_document)
        return KerchunkJsonSession(target, staged, options, context)


class KerchunkJsonSession(ReferenceSession):
    """A document that appears at its target when it is complete."""

    format_name = "kerchunk-json"

    def __init__(
        self, target: Target, staged: StagedFile, options: KerchunkJsonWriterOptions, context: WriteContext
    ) -> None:
        zarr_format = zarr_format_of(options.zarr_format)
        super().__init__(target, context, zarr_format, options.inline_below, copies_share_bytes=False)
        self._options = options
        self._file = staged

    def abort(self) -> None:
        """Forget the document."""
        self._file.discard()

    def _publish(
        self, documents: Mapping[str, Any], prepared: Sequence[PreparedArray], metadata: Mapping[str, Any]
    ) -> None:
        with self._file.open() as handle, self._compress(handle) as stream:
            for text in self._document(documents, prepared, metadata):
                stream.write(text.encode("ascii"))
        self._file.publish()

    @property
    def _compresses(self) -> bool:
        wanted = self._options.compression
        return wanted == "zstd" or (wanted == "auto" and self._target.url.lower().endswith(".zst"))

    def _reader_options(self) -> Mapping[str, Any]:
        return {"target_options": {"compression": "zstd"}} if self._compresses else {}

    @contextmanager
    def _compress(self, handle: BinaryIO) -> Iterator[BinaryIO]:
        if not self._compresses:
            yield handle
            return
        with compress_into(handle, self._options.compression_level) as stream:
            yield stream

    def _document(
        self, documents: Mapping[str, Any], prepared: Sequence[PreparedArray], metadata: Mapping[str, Any]
    ) -> Iterator[str]:
        """The text of the document: all metadata, references array by array, and provenance."""
        members = (f"{to_strict_json(key)}:{to_strict_json(to_strict_json(value))}" for key, value in documents.items())
        yield '{"version":1,"refs":{\n' + ",\n".join(members)
        for array in prepared:
            for lines in reference_lines(array):
                yield ",\n" + lines
            self._context.progress.advance(references=array.array.manifest.stored_count)
        # Last, so that the first bytes say what the document is however many sources there are.
        yield f'\n}},"{PROVENANCE_MEMBER}":{to_strict_json(to_strict_json(dict(metadata)))}}}\n'
