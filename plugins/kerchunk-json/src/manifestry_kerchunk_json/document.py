"""A document of references: version 0 (keys and references) or 1 (``version``, ``templates``, ``gen``, ``refs``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from manifestry import Budget
from manifestry.plugin import MalformedFileError, Source, UnsupportedFeatureError, translated

from manifestry_kerchunk_json.blocks import MemberBlocks
from manifestry_kerchunk_json.compression import decompress
from manifestry_kerchunk_json.sniffing import ZSTD_MAGIC
from manifestry_kerchunk_json.sorting import CONSOLIDATED, SortedMembers
from manifestry_kerchunk_json.templates import Templates, generate

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
    members
        Its references, generated ones included, and the documents of Zarr.
    templates
        Values of the expressions in locations.
    provenance
        As our writer puts it beside the references.
    """

    members: SortedMembers
    templates: Templates
    provenance: Any = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The documents of Zarr by key: consolidated ones count where there are no others.

        Raises
        ------
        MalformedFileError
            What is consolidated is no metadata.
        """
        documents = dict(self.members.documents)
        return {**_consolidated_documents(documents.pop(CONSOLIDATED, {})), **documents}


def read_document(source: Source, templates: Mapping[str, str], budget: Budget) -> Document:
    """The document that a file holds, decompressed when it is zstd.

    Parameters
    ----------
    templates
        Values that replace those of the document.
    budget
        What the document may be made into.

    Raises
    ------
    MalformedFileError
        It holds none, or is larger than the limit.
    UnsupportedFeatureError
        It is of a later version.
    """
    limit = budget.limits.max_metadata_bytes
    if source.size > limit:
        raise MalformedFileError(
            f"{source.url}: has {source.size} bytes, more than the limit of {limit} for a document"
        )
    data = source.range(0, source.size)
    if data.startswith(ZSTD_MAGIC):
        data = decompress(data, limit, source.url)
    with translated((ValueError, RecursionError), MalformedFileError, f"{source.url}: is not JSON"):
        return _read_blocks(data, templates, budget)


def document_of(references: Mapping[str, Any], templates: Mapping[str, str], budget: Budget) -> Document:
    """The document that the kerchunk package has in memory. Parameters and errors as in `read_document`."""
    if "refs" not in references and "version" not in references:
        return _of_version_1({}, _sort(references), templates, budget)
    refs = references.get("refs", {})
    if not isinstance(refs, Mapping):
        raise MalformedFileError("refs is not a JSON object")
    return _of_version_1(references, _sort(refs), templates, budget)


def _read_blocks(data: bytes, templates: Mapping[str, str], budget: Budget) -> Document:
    blocks, members = MemberBlocks(data=data), SortedMembers()
    for block in blocks.blocks():
        if not blocks.has_refs and ("refs" in block or "version" in block):  # version 1, in an unusual order
            return document_of(json.loads(data), templates, budget)
        members.add(block)
    return _of_version_1(blocks.around, members, templates, budget)


def _sort(references: Mapping[str, Any]) -> SortedMembers:
    members = SortedMembers()
    members.add(references)
    return members


def _of_version_1(
    around: Mapping[str, Any], members: SortedMembers, templates: Mapping[str, str], budget: Budget
) -> Document:
    version = around.get("version")
    if version not in (None, 1):
        raise UnsupportedFeatureError(f"Kerchunk references of version {version!r}")
    given = around.get("templates") or {}
    if not isinstance(given, Mapping):
        raise MalformedFileError(f"templates: {str(given)[:80]!r} is not a JSON object")
    values = Templates({**given, **templates}, budget)
    if around.get("gen"):
        members.add(generate(around["gen"], values, budget))
    return Document(members, values, around.get(PROVENANCE_MEMBER))


def _consolidated_documents(value: Any) -> Mapping[str, Any]:
    try:
        document = value if isinstance(value, Mapping) else json.loads(value)
        metadata = document.get("metadata", {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedFileError(f"{CONSOLIDATED}: is not consolidated metadata: {error}") from error
    if not isinstance(metadata, Mapping):
        raise MalformedFileError(f"{CONSOLIDATED}: has no object metadata")
    return metadata
