"""Kerchunk JSON: the entry point of the plugin. Writer and parser are imported on first use."""

from __future__ import annotations

from collections.abc import Iterator

from manifestry.formats import hookimpl
from manifestry.formats.descriptors import Capability, WriterDescriptor

_EXTENSIONS = (".json", ".json.zst")
_CAPABILITIES = frozenset({Capability.GROUPS, Capability.REMOTE})


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
