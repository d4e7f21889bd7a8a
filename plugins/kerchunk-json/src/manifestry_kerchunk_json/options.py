"""Options of the Kerchunk JSON writer and parser."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["KerchunkJsonParserOptions", "KerchunkJsonWriterOptions"]


class KerchunkJsonWriterOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How references are written."""

    zarr_format: Annotated[
        Literal[2, 3, "2", "3", "both"],
        Meta(
            description="Version of the Zarr metadata. 2: what xarray's kerchunk engine and GDAL read; 3: zarr and "
            "fsspec only, no fill chunks needed; both: one document for all of them."
        ),
    ] = 2
    inline_below: Annotated[int, Meta(ge=0, description="Copy chunks of fewer bytes than this into the document.")] = 0
    compression: Annotated[
        Literal["auto", "none", "zstd"],
        Meta(description="zstd makes documents ten times smaller; auto: zstd when the target ends in .zst."),
    ] = "auto"
    compression_level: Annotated[int, Meta(ge=1, le=19, description="Level of zstd.")] = 3


class KerchunkJsonParserOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How references are read."""

    target: Annotated[str, Meta(description="URL that references without a location of their own point at.")] = ""
    templates: Annotated[
        dict[str, str], Meta(description="Values for templates that replace those of the document.")
    ] = {}
