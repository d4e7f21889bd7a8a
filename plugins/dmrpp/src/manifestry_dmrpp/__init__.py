"""DMR++, OPeNDAP's sidecar documents, as a format of manifestry.

====================  ======================================================================================
`parser`              from a document to a tree: the order of work
`options`             options that only this format has
`sidecars`            what a DMR++ document looks like, and where the sidecar of a data file lies
`reading`             one streaming pass over the XML
`document`            what the document declares, as plain data
`chunk_list`          the chunks of a variable, as columns
`dimensions`          names and lengths of dimensions, and variables that have the names of some
`attributes`          typed attributes
`elements`            DAP4 types → element types
`fill`                fill values, whose text has lost digits
`filters`             compressionType → codecs
`payloads`            values that are in the document itself
`storage`             chunks → references
`copying`             chunks whose bytes have to be put together
`locations`           where the data is, and where a document may point
`arrays`              all of that together
====================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable

from manifestry.plugin import Capability, ParserDescriptor, hookimpl

__all__ = ["manifestry_parsers"]


@hookimpl
def manifestry_parsers() -> Iterable[ParserDescriptor]:
    """DMR++ documents, and data files that have one beside them."""
    yield ParserDescriptor(
        name="dmrpp",
        title="DMR++: OPeNDAP's descriptions of HDF5, netCDF-4 and HDF4 files",
        parser="manifestry_dmrpp.parser:DmrppParser",
        options="manifestry_dmrpp.options:DmrppOptions",
        sniff="manifestry_dmrpp.sidecars:sniff",
        extensions=(".dmrpp", ".dmrpp.xml"),
        capabilities=frozenset({Capability.GROUPS, Capability.REMOTE}),
    )
