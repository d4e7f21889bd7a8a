"""Overviews and masks in files beside a TIFF: levels of its image, whose references point into the other file."""

from __future__ import annotations

from collections.abc import Iterator

from manifestry.plugin import ParseContext, Source

from manifestry_tiff.sidecars.files import Sidecars
from manifestry_tiff.structure.file import TiffFile
from manifestry_tiff.structure.ifd import Directory, read_chain, read_header
from manifestry_tiff.structure.image import Image, read_image
from manifestry_tiff.structure.levels import (
    Level,
    PlaceUnknownError,
    Pyramid,
    add_level,
    is_overview,
    read_outline,
)

__all__ = ["add_sidecar_images"]

_NOT_USED = "image of a file beside the TIFF that is not used"


def add_sidecar_images(pyramid: Pyramid, sidecars: Sidecars, context: ParseContext) -> None:
    """Give an image the overviews and masks of files beside it; what the TIFF has itself counts before them, as for GDAL."""
    own_mask = pyramid.levels[0].masked
    if sidecars.overviews is not None:
        if len(pyramid.levels) > 1:
            context.report("", _NOT_USED, f"{sidecars.overviews.name}: the TIFF has overviews itself")
        else:
            _add_overviews(pyramid, sidecars.overviews, context)
    for source in (sidecars.mask, sidecars.mask_overviews):
        if source is None:
            continue
        if own_mask:
            context.report("", _NOT_USED, f"{source.name}: the TIFF has a mask itself")
        else:
            for directory, image in _images(source, context):
                _add_mask(pyramid, directory, image, context)


def _images(source: Source, context: ParseContext) -> Iterator[tuple[Directory, Image | None]]:
    """The images of a file; those that cannot be read are refused."""
    with context.isolate(source.name):
        file = TiffFile(source)
        header = read_header(file)
        chain = read_chain(file, header, header.first, f"{source.name} IFD", context.limits.max_arrays)
        for directory in chain:
            directory.prefetch()
            image = None
            with context.isolate(directory.label):
                image = read_image(directory)
            yield directory, image


def _add_overviews(pyramid: Pyramid, source: Source, context: ParseContext) -> None:
    masks = []
    for directory, image in _images(source, context):
        try:
            outline = read_outline(directory)
            if outline.mask:
                masks.append((directory, image))
            elif is_overview(outline, pyramid):
                add_level(pyramid, Level(outline, directory, image))
            else:
                context.refuse(directory.label, _NOT_USED, "it does not show the image in fewer pixels")
        except PlaceUnknownError:
            context.refuse(directory.label, "an image whose place is unknown", "its tags do not say what it is")
    for directory, image in masks:
        _add_mask(pyramid, directory, image, context)


def _add_mask(pyramid: Pyramid, directory: Directory, image: Image | None, context: ParseContext) -> None:
    """Let an image be the mask of the level of its size."""
    if image is None:
        return
    for level in pyramid.levels:
        if (level.outline.width, level.outline.length) == (image.width, image.length) and not level.masked:
            level.mask, level.masked = image, True
            return
    context.report(
        "", _NOT_USED, f"{directory.label}: no level of {image.width} x {image.length} pixels is without a mask"
    )
