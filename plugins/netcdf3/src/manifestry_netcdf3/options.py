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
    records: Annotated[
        Literal["auto", "references", "strided"],
        Meta(
            description="How variables are described whose records interleave with those of others: copy those whose "
            "records take fewer bytes than references to them (auto), refer to each record (references), or refer to "
            "many records at once, of which the codec manifestry.strided takes the variable (strided)."
        ),
    ] = "auto"
    copy_records: Annotated[
        int, Meta(ge=0, description="Bytes of the file that may be read to copy small records (records='auto').")
    ] = 64 << 20
    records_per_chunk: (
        Annotated[
            int,
            Meta(
                ge=1,
                description="Records in a chunk where the file has one record variable, so that its records are "
                "contiguous, and then a divisor of the number of records; or with records='strided'. Not given: as "
                "many as chunk_bytes allows.",
            ),
        ]
        | None
    ) = None
