"""Reads documents of Kerchunk references, as files or as the kerchunk package has them in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manifestry.errors import UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext
from manifestry.formats.options import make_options
from manifestry.model.limits import Limits
from manifestry.model.selection import Selection
from manifestry.model.tree import VirtualGroup
from manifestry.model.validation import validate_tree
from manifestry.references.files import LocationTable
from manifestry.references.locations import ReferencePolicy
from manifestry.references.nodes import Hierarchy, read_provenance
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source

from manifestry_kerchunk_json.collecting import collect
from manifestry_kerchunk_json.document import PROVENANCE_MEMBER, consolidated_documents, read_document, references_of
from manifestry_kerchunk_json.options import KerchunkJsonParserOptions
from manifestry_kerchunk_json.values import columns_of

__all__ = ["KerchunkJsonParser", "tree_from_references"]


class KerchunkJsonParser:
    """The tree that a document of references describes."""

    def parse(self, source: Source, options: KerchunkJsonParserOptions, context: ParseContext) -> VirtualGroup:
        """Read the document; nothing that it points at is opened, except for the sizes of whole files."""
        document = read_document(source, context.limits)
        return _tree(document, source, source.registry, options, context)


def tree_from_references(
    references: Mapping[str, Any],
    *,
    stores: Any = None,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    group: str = "",
    limits: Limits | None = None,
    on_unsupported: str = "raise",
    **options: Any,
) -> VirtualGroup:
    """See `manifestry_kerchunk_json.from_references`."""
    own = make_options(KerchunkJsonParserOptions, options, "kerchunk-json")
    context = ParseContext(group.strip("/"), Selection(tuple(include), tuple(exclude)), limits=limits or Limits())
    tree = _tree(references, None, StoreRegistry(stores), own, context)
    refused = [issue for issue in context.issues if issue.severity == "refused"]
    if context.failures and on_unsupported == "raise":
        if len(context.failures) == 1:
            raise context.failures[0]
        hint = "leave them out with on_unsupported='skip'"
        raise UnsupportedFeatureError(f"{len(refused)} arrays cannot be expressed exactly", "", hint, refused)
    validate_tree(tree, context.limits)
    return tree.with_(issues=tuple(context.issues))


def _tree(
    document: Mapping[str, Any],
    source: Source | None,
    stores: StoreRegistry,
    options: KerchunkJsonParserOptions,
    context: ParseContext,
) -> VirtualGroup:
    references = references_of(document, options.templates, context.limits)
    collected = collect(references)
    found = Hierarchy.of({**consolidated_documents(references), **collected.documents}, context)
    provenance = read_provenance(document.get(PROVENANCE_MEMBER), context)
    locations = LocationTable(ReferencePolicy.of(source, options.allow), provenance)
    columns = {}
    for path, chunks in collected.by_array(found).items():
        with context.isolate(path):
            columns[path] = columns_of(found.arrays[path], chunks, locations, stores, options.target, context.limits)
    return found.tree(columns, locations)
