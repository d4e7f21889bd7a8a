"""Kerchunk JSON: the entry point of the plugin. Writer and parser are imported on first use.

=============  =========================================================================
`options`      what the caller may choose
`sniffing`     whether a file is a document of references
`parser`       documents, as files or in memory, as trees
`document`     a document of version 0 or 1: references, templates, generated references
`blocks`       the members of a document, some thousand at a time
`reference`    one reference, in the form that is decoded fastest
`sorting`      references sorted into Zarr documents and the chunks of each array
`templates`    templates and generated references of version 1
`values`       the references of one array as columns
`writer`       trees as documents
`members`      the references of one array as members of a document
`compression`  zstd
=============  =========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from manifestry.plugin import Capability, ParserDescriptor, WriterDescriptor, hookimpl

if TYPE_CHECKING:
    from manifestry.plugin import VirtualGroup

__all__ = ["from_references"]

_EXTENSIONS = (".json", ".json.zst")
_CAPABILITIES = frozenset({Capability.GROUPS, Capability.REMOTE})


@hookimpl
def manifestry_parsers() -> Iterator[ParserDescriptor]:
    """The parser of reference documents."""
    yield ParserDescriptor(
        name="kerchunk-json",
        title="Kerchunk references in JSON",
        parser="manifestry_kerchunk_json.parser:KerchunkJsonParser",
        options="manifestry_kerchunk_json.options:KerchunkJsonParserOptions",
        sniff="manifestry_kerchunk_json.sniffing:sniff",
        extensions=_EXTENSIONS,
        capabilities=_CAPABILITIES,
    )


@hookimpl
def manifestry_writers() -> Iterator[WriterDescriptor]:
    """The writer of reference documents."""
    yield WriterDescriptor(
        name="kerchunk-json",
        title="Kerchunk references in JSON",
        writer="manifestry_kerchunk_json.writer:KerchunkJsonWriter",
        options="manifestry_kerchunk_json.options:KerchunkJsonWriterOptions",
        extensions=_EXTENSIONS,
        capabilities=_CAPABILITIES,
    )


def from_references(references: Mapping[str, Any], **options: Any) -> VirtualGroup:
    """The tree of references in memory, as the kerchunk package's translators return them.

    Parameters
    ----------
    references
        A document of version 0 (keys and references) or 1 (``{"version": 1, "refs": ...}``).
    **options
        Those of the parser.
    """
    from manifestry_kerchunk_json.parser import tree_from_references  # noqa: PLC0415 imported on first use

    return tree_from_references(references, **options)
