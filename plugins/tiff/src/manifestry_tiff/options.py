"""Options of the TIFF parser."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["TiffOptions"]


class TiffOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options that only TIFF files have."""

    ifd: (
        Annotated[int, Meta(ge=0, description="Read only the image file directory of this number in the main chain.")]
        | None
    ) = None
    coordinates: Annotated[
        bool,
        Meta(
            description="Add one-dimensional x and y coordinates where the transform is axis-aligned, and coordinates where"
            " ImageJ says how far apart pixels, slices and frames are."
        ),
    ] = True
    rectilinear: Annotated[
        bool,
        Meta(
            description="Describe a short last strip by a rectilinear chunk grid instead of copying it. Readers with"
            " default settings refuse such arrays, and the whole group with them."
        ),
    ] = False
    sidecars: Annotated[
        tuple[Literal["all", "metadata", "mask", "overviews", "world_file"], ...],
        Meta(
            description="Read what GDAL reads beside the file: metadata (.aux.xml), mask (.msk), overviews (.ovr),"
            " world_file (.tfw, .tifw, .wld), or all of them."
        ),
    ] = ()
    registration: Annotated[
        Literal["pixel", "node"],
        Meta(
            description="What spatial:registration is of PixelIsPoint images: pixel, with a transform of pixel corners,"
            " which every reader takes; or node, with one of pixel centres, which rioxarray takes for corners."
        ),
    ] = "pixel"
