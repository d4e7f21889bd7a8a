"""The parser: header, layout, arrays."""

from __future__ import annotations

from collections.abc import Container

from manifestry.plugin import (
    MalformedFileError,
    OptionError,
    ParseContext,
    Source,
    UnsupportedFeatureError,
    VirtualArray,
    VirtualGroup,
    is_node_name,
)

from manifestry_netcdf3.arrays import ArrayBuilder
from manifestry_netcdf3.header import read_header
from manifestry_netcdf3.layout import Layout
from manifestry_netcdf3.native import NetCDFReader
from manifestry_netcdf3.options import NetCDF3Options
from manifestry_netcdf3.records import Placed, copied_records

__all__ = ["NetCDF3Parser"]


class NetCDF3Parser:
    """Parser of the netCDF classic format: reads the header, and small records that are copied."""

    def parse(self, source: Source, options: NetCDF3Options, context: ParseContext) -> VirtualGroup:
        """The variables of a file as one group.

        Raises
        ------
        MalformedFileError
            The header violates the format.
        UnsupportedFeatureError
            The header is larger than the limits allow.
        OptionError
            A group is asked for: the format has none.
        """
        if context.group:
            raise OptionError(f"group {context.group!r}: netCDF classic files have no groups")
        header = read_header(source, context.limits)
        layout = Layout(header, source.size)
        builder = ArrayBuilder(source, options, context)
        names = [dimension.name for dimension in header.dimensions]
        wanted: dict[str, Placed] = {}
        for index, variable in enumerate(header.variables):
            if not context.wants(variable.name):
                continue
            with context.isolate(variable.name):
                _check_name(variable.name, wanted)
                wanted[variable.name] = Placed(variable, layout.extent(index))
        copied = copied_records(source, list(wanted.values()), options, context)
        arrays: dict[str, VirtualArray] = {}
        for name, (variable, extent) in wanted.items():
            with context.isolate(name):
                dims = tuple(names[i] for i in variable.dimids)
                arrays[name] = builder.build(variable, extent, dims, copied.get(name))
        return VirtualGroup(arrays, attributes=header.attributes)

    def open_native(self, source: Source, options: NetCDF3Options) -> NetCDFReader:  # noqa: ARG002 the contract
        """The arrays as netCDF-C reads them; needs netCDF4-python (``manifestry-netcdf3[native]``)."""
        return NetCDFReader(source)


def _check_name(name: str, earlier: Container[str]) -> None:
    """Refuse names that Zarr cannot have, and names that another variable has."""
    if not is_node_name(name):
        raise UnsupportedFeatureError(f"the name {name!r}", name, "Zarr has no such names; rename it with ncrename")
    if name in earlier:
        raise MalformedFileError(f"two variables have the name {name!r}: names must differ")
