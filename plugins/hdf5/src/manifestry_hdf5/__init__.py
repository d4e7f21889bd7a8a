"""HDF5 and netCDF-4 parser: the entry point of the plugin.

====================  ======================================================================================
`parser`              from a file to a tree: the order of work
`library`             the file opened by libhdf5; its exceptions as ours
`sidecar`             a DMR++ document beside the file in its place
`walk`                groups, links and datasets as plain data
`datasets`            what the creation properties of one dataset say
`datatypes`           datatype message → element type of an array
`filters`             filter pipeline message → codecs
`fill`                fill value message → fill value
`attributes`          attribute messages → typed attributes
`dimensions`          dimension scales and netCDF-4's conventions → dimension names
`structures`          structures of the file format that are read from its bytes: chunk indexes, attributes
`arrays`              all of that together: an array of each dataset
`chunked`             references to the chunks of chunked datasets
`contiguous`          references to contiguous elements, in the file or in raw files beside it
`reach`               which other files libhdf5 comes to when it reads values itself
`virtual`             references to the chunks of the sources of virtual datasets
`copying`             values copied where there are no references
`reencoding`          chunks that are stored unlike the others, encoded anew
`native`              arrays read by libhdf5 itself, to check against
====================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable

from manifestry.formats import hookimpl
from manifestry.formats.descriptors import Capability, Magic, ParserDescriptor

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCKS = (0, *(512 << n for n in range(8)))
"""Offsets of the superblock inside the shared header read: 0, then powers of two from 512 (specification, II.A)."""


@hookimpl
def manifestry_parsers() -> Iterable[ParserDescriptor]:
    """HDF5 and everything that is HDF5 inside."""
    yield ParserDescriptor(
        name="hdf5",
        title="HDF5 and netCDF-4",
        parser="manifestry_hdf5.parser:Hdf5Parser",
        options="manifestry_hdf5.options:Hdf5Options",
        magic=(Magic(SIGNATURE, _USER_BLOCKS),),
        extensions=(".h5", ".hdf5", ".hdf", ".he5", ".nc", ".nc4", ".cdf", ".h5ad", ".nxs", ".nwb"),
        capabilities=frozenset({Capability.GROUPS, Capability.REMOTE, Capability.NATIVE}),
    )
