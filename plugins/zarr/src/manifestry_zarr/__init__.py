"""Native Zarr stores as a format of manifestry: the entry point of the plugin. The parser is imported on first use.

====================  ======================================================================================
`parser`              from the documents and objects of a store to a tree
`listing`             everything below a prefix, with sizes, times and entity tags, in one pass
====================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator

from manifestry.plugin import Capability, ParserDescriptor, hookimpl


@hookimpl
def manifestry_parsers() -> Iterator[ParserDescriptor]:
    """The parser of Zarr stores, version 2 and 3."""
    yield ParserDescriptor(
        name="zarr",
        title="Zarr stores, version 2 and 3",
        parser="manifestry_zarr.parser:ZarrParser",
        sentinels=("zarr.json", ".zgroup", ".zarray"),
        refines=("kerchunk-parquet",),  # whose .zmetadata consolidated Zarr v2 stores have too
        capabilities=frozenset({Capability.GROUPS, Capability.REMOTE}),
    )
