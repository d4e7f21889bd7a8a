"""A document of references: version 0 (keys and references) or 1 (``version``, ``templates``, ``gen``, ``refs``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from manifestry import Limits
from manifestry.plugin import MalformedFileError, Source, UnsupportedFeatureError

from manifestry_kerchunk_json.blocks import Pieces
from manifestry_kerchunk_json.compression import decompressed
from manifestry_kerchunk_json.sniffing import ZSTD_MAGIC
from manifestry_kerchunk_json.sorting import CONSOLIDATED, Collected
from manifestry_kerchunk_json.templates import generated

__all__ = ["PROVENANCE_MEMBER", "Document", "document_of", "read_document"]

PROVENANCE_MEMBER: Final = "manifestry"
"""Member of the document, beside ``refs``, that holds our provenance as text.

Not a reference: zarr would list it as a child of the root and warn of it whenever the store is opened. A text, since
GDAL 3.12 accepts no array in a member that it does not know.
"""


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says.

    Attributes
    ----------
    collected
        Its references, generated ones included.
    templates
        Values of the expressions in locations.
    provenance
        As our writer puts it beside the references.
    """

    collected: Collected
    templates: Mapping[str, str] = field(default_factory=dict)
    provenance: Any = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The documents of Zarr by key: consolidated ones count where there are no others.

        Raises
        ------
        MalformedFileError
            What is consolidated is no metadata.
        """
        documents = dict(self.collected.documents)
        return {**_consolidated(documents.pop(CONSOLIDATED, {})), **documents}


def read_document(source: Source, templates: Mapping[str, str], limits: Limits) -> Document:
    """The document that a file holds, decompressed when it is zstd.

    Parameters
    ----------
    templates
        Values that replace those of the document.

    Raises
    ------
    MalformedFileError
        It holds none, or is larger than the limit.
    UnsupportedFeatureError
        It is of a later version.
    """
    limit = limits.max_metadata_bytes
    if source.size > limit:
        raise MalformedFileError(f"{source.url}: {source.size} bytes, more than the limit of {limit} for a document")
    data = source.range(0, source.size)
    if data.startswith(ZSTD_MAGIC):
        data = decompressed(data, limit, source.url)
    try:
        return _in_pieces(data, templates, limits)
    except (ValueError, RecursionError) as error:
        raise MalformedFileError(f"{source.url}: no JSON: {error}") from error


def document_of(references: Mapping[str, Any], templates: Mapping[str, str], limits: Limits) -> Document:
    """The document that the kerchunk package has in memory. Parameters and errors as in `read_document`."""
    if "refs" not in references and "version" not in references:
        return _of_version_1({}, _collect([references]), templates, limits)
    refs = references.get("refs", {})
    if not isinstance(refs, Mapping):
        raise MalformedFileError("refs is no JSON object")
    return _of_version_1(references, _collect([refs]), templates, limits)


def _in_pieces(data: bytes, templates: Mapping[str, str], limits: Limits) -> Document:
    pieces, collected = Pieces(data=data), Collected()
    for members in pieces.blocks():
        if not pieces.has_refs and ("refs" in members or "version" in members):  # version 1, its members in odd order
            return document_of(json.loads(data), templates, limits)
        collected.add(members)
    return _of_version_1(pieces.around, collected, templates, limits)


def _collect(blocks: Iterable[Mapping[str, Any]]) -> Collected:
    collected = Collected()
    for members in blocks:
        collected.add(members)
    return collected


def _of_version_1(
    around: Mapping[str, Any], collected: Collected, templates: Mapping[str, str], limits: Limits
) -> Document:
    version = around.get("version")
    if version not in (None, 1):
        raise UnsupportedFeatureError(f"Kerchunk references of version {version!r}")
    values = {**(around.get("templates") or {}), **templates}
    if around.get("gen"):
        collected.add(generated(around["gen"], values, limits))
    return Document(collected, values, around.get(PROVENANCE_MEMBER))


def _consolidated(value: Any) -> Mapping[str, Any]:
    try:
        found = value if isinstance(value, Mapping) else json.loads(value)
        metadata = found.get("metadata", {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedFileError(f"{CONSOLIDATED}: no consolidated metadata: {error}") from error
    if not isinstance(metadata, Mapping):
        raise MalformedFileError(f"{CONSOLIDATED}: no consolidated metadata")
    return metadata
