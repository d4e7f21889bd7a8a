"""Options of the Kerchunk Parquet writer and parser."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["KerchunkParquetWriterOptions"]


class KerchunkParquetWriterOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How references are written."""

    zarr_format: Annotated[
        Literal[2, "2", "both"],
        Meta(
            description="Version of the Zarr metadata. 2: what xarray's kerchunk engine reads; both: Zarr v3 documents "
            "as well. fsspec looks chunks up by Zarr v2 documents, so there is no 3 alone."
        ),
    ] = 2
    inline_below: Annotated[int, Meta(ge=0, description="Copy chunks of fewer bytes than this into the tables.")] = 0
    record_size: Annotated[
        int,
        Meta(
            ge=1, description="References in one Parquet file; readers load a file as a whole when they need a chunk."
        ),
    ] = 100_000
