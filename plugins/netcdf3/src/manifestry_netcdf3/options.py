"""Options of the netCDF classic parser."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["NetCDF3Options"]


class NetCDF3Options(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options of the netCDF classic parser."""

    truncated: Annotated[
        Literal["zeros", "fill", "refuse"],
        Meta(
            description="What elements beyond the end of a truncated file read as: zeros, as netCDF-C reads them; the "
            "fill value of the variable; or refuse the variables that are cut off."
        ),
    ] = "zeros"
    records_per_chunk: (
        Annotated[
            int,
            Meta(
                ge=1,
                description="Records in a chunk where the file has one record variable, so that its records are "
                "contiguous. Must divide the number of records. Not given: as many as chunk_bytes allows.",
            ),
        ]
        | None
    ) = None
