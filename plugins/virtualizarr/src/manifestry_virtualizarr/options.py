"""Which parser of VirtualiZarr, and what it is made with."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

__all__ = ["VirtualizarrOptions"]


class VirtualizarrOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options of the bridge to VirtualiZarr's parsers."""

    parser: Annotated[
        str,
        Meta(
            description="A name of virtualizarr.parsers (HDFParser), or the module and name of another package's parser "
            "(virtual_tiff.VirtualTIFF); usually given with the format: virtualizarr:HDFParser."
        ),
    ] = ""
    arguments: Annotated[
        dict[str, Any], Meta(description='What the parser is made with, for example {"group": "/science"}.')
    ] = {}
