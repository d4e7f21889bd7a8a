"""Options of the DMR++ parser."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["DmrppOptions"]


class DmrppOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options of the DMR++ parser."""

    data_url: (
        Annotated[str, Meta(description="Where the data file is; replaces what the document says about it.")] | None
    ) = None
    href_map: Annotated[
        dict[str, str],
        Meta(description="Where a file is by the href that the document has for it; a key that ends in / is a prefix."),
    ] = {}
    prefer_s3: Annotated[
        bool,
        Meta(
            description="Refer to the data file in the bucket that the document names (dmrpp:s3), not by its href. "
            "Without an href the bucket counts anyway."
        ),
    ] = False
