"""netCDF classic (CDF-1, CDF-2, CDF-5) as a format of manifestry.

====================  ======================================================================================
`parser`              header, layout, arrays: the order of work
`options`             options that only this format has
`header`              the header, parsed by the grammar of the specification
`external_types`      ``nc_type``: stored and native types, and default fill values
`layout`              where the data of each variable lies, and the records that interleave
`records`             small records that interleave: which are copied, and their bytes
`arrays`              from the extent of a variable to a virtual array
`native`              arrays as netCDF-C reads them, for `verify`
====================  ======================================================================================

Only descriptors here: nothing heavy is imported before a file is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable

from manifestry.plugin import Capability, Magic, ParserDescriptor, hookimpl

__all__ = ["manifestry_parsers"]


@hookimpl
def manifestry_parsers() -> Iterable[ParserDescriptor]:
    """The netCDF classic format, all three versions."""
    yield ParserDescriptor(
        name="netcdf3",
        title="netCDF classic: CDF-1, CDF-2 (64-bit offset) and CDF-5 (64-bit data)",
        parser="manifestry_netcdf3.parser:NetCDF3Parser",
        options="manifestry_netcdf3.options:NetCDF3Options",
        magic=(Magic(b"CDF\x01"), Magic(b"CDF\x02"), Magic(b"CDF\x05")),
        extensions=(".nc", ".nc3", ".cdf"),
        capabilities=frozenset({Capability.REMOTE, Capability.NATIVE}),
    )
