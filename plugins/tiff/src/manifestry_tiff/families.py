"""Which image is what: full resolution, overview or mask, by NewSubfileType and SubIFDs (TIFF 6.0 section 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from manifestry.formats.contracts import ParseContext

from manifestry_tiff.ifd import Directory, read_chain
from manifestry_tiff.image import Image, read_image
from manifestry_tiff.tags import Photometric, Tag

__all__ = ["Family", "Level", "group_images"]

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED: Final = 2  # of SubfileType
_MAX_SUB_IFDS: Final = 1024
"""Real images have some dozens; directories may overlap, and cost as much as if they did not."""


@dataclass(slots=True)
class Level:
    """One resolution of an image, and the mask that belongs to it."""

    image: Image
    mask: Image | None = None


@dataclass(slots=True)
class Family:
    """An image with its overviews, from fine to coarse."""

    levels: list[Level] = field(default_factory=list)

    @property
    def full(self) -> Image:
        """The image at full resolution."""
        return self.levels[0].image


def group_images(directories: list[Directory], context: ParseContext) -> list[Family]:
    """The images of a file. Those that cannot be read are refused by the number of their directory."""
    families: list[Family] = []
    known = {directory.offset for directory in directories}
    for number, directory in enumerate(directories):
        image = _image(directory, str(number), context)
        if image is None:
            continue
        _place(image, families)
        for sub in _sub_directories(directory, number, known, context):
            child = _image(sub, str(number), context)
            if child is not None:
                _place(child, families)
    return families


def _image(directory: Directory, path: str, context: ParseContext) -> Image | None:
    with context.isolate(path):
        return read_image(directory)
    return None


def _sub_directories(directory: Directory, number: int, known: set[int], context: ParseContext) -> Iterator[Directory]:
    """The directories that the SubIFDs tag points at; each may begin a chain of its own. `known` ones come once only."""
    with context.isolate(str(number)):
        offsets = directory.integers(Tag.SUB_IFDS)
        if len(offsets) > _MAX_SUB_IFDS:
            raise directory.malformed(Tag.SUB_IFDS, f"{len(offsets)} directories")
        for i, offset in enumerate(offsets):
            label = f"{directory.label} SubIFD {i}"
            for sub in read_chain(directory.file, directory.header, offset, label, context.limits.max_arrays):
                if sub.offset in known:
                    break
                known.add(sub.offset)
                yield sub


def _place(image: Image, families: list[Family]) -> None:
    """Put an image where it belongs: to the last family as a mask or overview, or as a family of its own."""
    kind = image.directory.integer(Tag.NEW_SUBFILE_TYPE, 0)
    reduced = bool(kind & _REDUCED) or image.directory.integer(Tag.SUBFILE_TYPE, 0) == _OLD_REDUCED
    if families and (kind & _MASK or image.photometric == Photometric.MASK):
        size = (image.width, image.length)
        for level in families[-1].levels:
            if (level.image.width, level.image.length) == size and level.mask is None:
                level.mask = image
                return
    if families and reduced and _is_overview(image, families[-1]):
        families[-1].levels.append(Level(image))
        return
    families.append(Family([Level(image)]))


def _is_overview(image: Image, family: Family) -> bool:
    """Whether an image shows the same in fewer pixels: smaller than the last level, alike in shape and kind."""
    full, last = family.full, family.levels[-1].image
    if (image.samples, image.sample_format) != (full.samples, full.sample_format):
        return False
    if (
        image.width > last.width
        or image.length > last.length
        or (image.width, image.length) == (last.width, last.length)
    ):
        return False
    # Each side is rounded up or down by itself: the factors agree within one pixel of the coarse image.
    factor = full.width / image.width
    return abs(full.length / factor - image.length) <= max(1.0, 0.02 * image.length)
