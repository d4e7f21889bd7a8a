"""Reads documents of Kerchunk references, as files or as the kerchunk package has them in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from manifestry import Limits, Stores
from manifestry.plugin import (
    Hierarchy,
    LocationTable,
    ParseContext,
    ReferencePolicy,
    Source,
    StoreRegistry,
    VirtualGroup,
    make_options,
)
from manifestry_kerchunk.provenance import read_provenance

from manifestry_kerchunk_json.document import Document, document_of, read_document
from manifestry_kerchunk_json.options import KerchunkJsonParserOptions
from manifestry_kerchunk_json.values import Reading

__all__ = ["KerchunkJsonParser", "tree_from_references"]


class KerchunkJsonParser:
    """The tree that a document of references describes."""

    def parse(self, source: Source, options: KerchunkJsonParserOptions, context: ParseContext) -> VirtualGroup:
        """Read the document; nothing that it points at is opened, except for the sizes of whole files."""
        document = read_document(source, options.templates, context.budget)
        return _tree(document, ReferencePolicy.of(source), options, context)


def tree_from_references(
    references: Mapping[str, Any],
    *,
    stores: Stores = None,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    group: str = "",
    limits: Limits | None = None,
    on_unsupported: Literal["raise", "skip"] = "raise",
    allow: tuple[str, ...] | None = None,
    **options: Any,
) -> VirtualGroup:
    """See `manifestry_kerchunk_json.from_references`."""
    own = make_options(KerchunkJsonParserOptions, options, "kerchunk-json", call=tree_from_references)
    context = ParseContext.of(
        group=group, include=include, exclude=exclude, limits=limits or Limits(), on_unsupported=on_unsupported
    )
    document = document_of(references, own.templates, context.budget)
    policy = ReferencePolicy.of(None, StoreRegistry.of(stores), allow=allow)
    return context.complete(_tree(document, policy, own, context))


def _tree(
    document: Document, policy: ReferencePolicy, options: KerchunkJsonParserOptions, context: ParseContext
) -> VirtualGroup:
    root_name = "" if policy.base is None else policy.base.name.partition(".")[0]
    hierarchy = Hierarchy.of(document.metadata, context, root_name)
    provenance = read_provenance(document.provenance, context)
    locations = LocationTable(policy=policy, provenance=provenance)
    references = document.members.references
    reading = Reading(
        references=references,
        locations=locations,
        stores=policy.registry,
        templates=document.templates,
        target=options.target,
        limits=context.limits,
    )
    columns = {}
    for path, chunks in document.members.by_array(hierarchy).items():
        with context.isolate(path):
            columns[path] = reading.columns(hierarchy.arrays[path], chunks)
    document.templates.raise_refusal()
    return hierarchy.tree(columns, locations)
