"""Kerchunk Parquet: the entry point of the plugin. Writer and parser are imported on first use.

=========  =========================================================
`options`  what the caller may choose
`parser`   directories of references as trees
`columns`  tables of references as columns of the model
`writer`   trees as directories of references
`records`  columns of the model as tables of references
`store`    the metadata of a directory, and whether something is one
=========  =========================================================
"""

from __future__ import annotations

from collections.abc import Iterator

from manifestry.plugin import Capability, ParserDescriptor, WriterDescriptor, hookimpl

_EXTENSIONS = (".parq", ".parquet")
_CAPABILITIES = frozenset({Capability.GROUPS, Capability.REMOTE})


@hookimpl
def manifestry_parsers() -> Iterator[ParserDescriptor]:
    """The parser of directories of references."""
    yield ParserDescriptor(
        name="kerchunk-parquet",
        title="Kerchunk references in Parquet",
        parser="manifestry_kerchunk_parquet.parser:KerchunkParquetParser",
        sentinels=(".zmetadata",),
        capabilities=_CAPABILITIES,
    )


@hookimpl
def manifestry_writers() -> Iterator[WriterDescriptor]:
    """The writer of directories of references."""
    yield WriterDescriptor(
        name="kerchunk-parquet",
        title="Kerchunk references in Parquet",
        writer="manifestry_kerchunk_parquet.writer:KerchunkParquetWriter",
        options="manifestry_kerchunk_parquet.options:KerchunkParquetWriterOptions",
        extensions=_EXTENSIONS,
        capabilities=_CAPABILITIES,
    )
