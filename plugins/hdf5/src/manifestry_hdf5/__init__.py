"""HDF5 and netCDF-4 parser: the entry point of the plugin. Parsing needs no libhdf5.

================  ==================================================================
`parser`          from a file to a tree: the order of work
`options`         the options of the parser
`open_files`      the files of a parse, and where they may point
`file_bytes`      the bytes of a file by position, mapped or through a cache
`metadata_pages`  which pages of a remote file are read together
`linked_files`    where the files are that a file points at
`link_follower`   following paths by links, in a file and to others
`netcdf_names`    variables of netCDF-4 that have the name of a dimension
`groups`          groups as the walk finds them
`walk`            groups, links and datasets of a file as plain data
`arrays`          from datasets to arrays: references, or copied values
`sidecar`         a DMR++ document beside the file, read in its place
`native`          arrays read by libhdf5 itself, to check references against
`objects`         datasets and attributes, and what they consist of
`storage`         from where elements are stored to references
`structures`      structures of the file format, read from the bytes
================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from manifestry.plugin import Capability, Confidence, ParserDescriptor, hookimpl

if TYPE_CHECKING:  # sources need numpy, and every command loads this module
    from manifestry.plugin import Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
EXTENSIONS = (".h5", ".hdf5", ".hdf", ".he5", ".nc", ".nc4", ".cdf", ".h5ad", ".nxs", ".nwb", ".mat", ".jld2")

_NETCDF_3 = b"CDF"
"""How files begin that have an ending of netCDF-4, and are of the classic format."""


def sniff(head: bytes, source: Source) -> Confidence:
    """Whether a superblock is where one may be: at 0, 512, 1024, 2048 and so on (specification, II.A).

    Behind the header that was read already it is looked for where the ending of the name says HDF5.
    """
    places = [0]
    while places[-1] + len(SIGNATURE) <= source.size:
        places.append(2 * places[-1] or 512)
    if any(head[at : at + len(SIGNATURE)] == SIGNATURE for at in places):
        return Confidence.CERTAIN
    if head.startswith(_NETCDF_3) or not source.name.lower().endswith(EXTENSIONS):
        return Confidence.NO
    ranges = [(at, at + len(SIGNATURE)) for at in places if len(head) < at + len(SIGNATURE) <= source.size]
    found = SIGNATURE in source.ranges(ranges, coalesce=0)
    return Confidence.CERTAIN if found else Confidence.NO


@hookimpl
def manifestry_parsers() -> Iterable[ParserDescriptor]:
    """HDF5 and everything that is HDF5 inside."""
    yield ParserDescriptor(
        name="hdf5",
        title="HDF5 and netCDF-4",
        parser="manifestry_hdf5.parser:Hdf5Parser",
        options="manifestry_hdf5.options:Hdf5Options",
        sniff="manifestry_hdf5:sniff",
        extensions=EXTENSIONS,
        capabilities=frozenset({Capability.GROUPS, Capability.REMOTE, Capability.NATIVE}),
    )
