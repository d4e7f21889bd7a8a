"""Options of the HDF5 parser."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["Hdf5Options"]


class Hdf5Options(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What can be chosen for HDF5 beyond what every format has."""

    follow_external: Annotated[
        bool, Meta(description="Follow external links: their arrays refer to the other file.")
    ] = True
    references: Annotated[
        Literal["paths", "refuse"],
        Meta(
            description="What becomes of arrays whose elements are references to objects: the paths of these as texts, or "
            "refused."
        ),
    ] = "paths"
    compounds: Annotated[
        Literal["structs", "groups"],
        Meta(
            description="What becomes of compounds with fields of variable length or references: arrays of structs, texts as "
            "long as the longest of them and the rest refused, or groups of arrays, one for each field."
        ),
    ] = "structs"
    prefer_sidecar: Annotated[
        bool, Meta(description="Read a DMR++ document beside the file in place of the file, where there is one.")
    ] = False
