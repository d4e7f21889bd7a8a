"""Images with their overviews: what decides which place an image has, and whether it is an overview of another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from manifestry.plugin import MalformedFileError

from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import Photometric, SampleFormat, Tag

__all__ = [
    "Level",
    "Outline",
    "PlaceUnknownError",
    "Pyramid",
    "add_level",
    "have_same_proportions",
    "is_overview",
    "read_outline",
]

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED: Final = 2  # of SubfileType


class PlaceUnknownError(Exception):
    """The place of an image depends on tags that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What decides which place an image has.

    Attributes
    ----------
    reduced, mask
        What NewSubfileType and its forerunners say that the image is.
    width, length
        Pixels; None where they are missing or cannot be read.
    pixel_type
        Components of a pixel, and their format; None what cannot be read.
    """

    reduced: bool
    mask: bool
    width: int | None
    length: int | None
    pixel_type: tuple[int | None, int | None]

    @property
    def known_size(self) -> tuple[int, int]:
        """Width and length.

        Raises
        ------
        PlaceUnknownError
            They cannot be read.
        """
        if self.width is None or self.length is None:
            raise PlaceUnknownError
        return self.width, self.length


@dataclass(slots=True)
class Level:
    """One resolution of an image, and the mask that belongs to it; None what cannot be read."""

    outline: Outline
    directory: Directory
    image: Image | None
    mask: Image | None = None
    masked: bool = False
    """Whether there is a mask, readable or not."""


@dataclass(slots=True)
class Pyramid:
    """An image with its overviews, from fine to coarse.

    Attributes
    ----------
    name
        Of an image whose place is unknown, by its directory; else ``""``: images are numbered.
    """

    levels: list[Level] = field(default_factory=list)
    name: str = ""

    @property
    def full(self) -> Image | None:
        """The image at full resolution, None where it cannot be read."""
        return self.levels[0].image

    @property
    def is_mask(self) -> bool:
        """Whether it is a mask that belongs to no image."""
        return self.levels[0].outline.mask


def add_level(pyramid: Pyramid, level: Level) -> None:
    """Add a level between those that are finer and those that are coarser, with what it inherits from the full image."""
    if level.image is not None:
        level.image = replace(level.image, directory=level.directory.as_level_of(pyramid.levels[0].directory))
    width, length = level.outline.known_size
    sizes = [one.outline.known_size for one in pyramid.levels]
    at = next((i for i, (w, n) in enumerate(sizes) if w * n < width * length), len(sizes))
    pyramid.levels.insert(at, level)


def is_overview(outline: Outline, pyramid: Pyramid) -> bool:
    """Whether an image shows the same in fewer pixels: of a size that no level has, alike in shape and type of pixel."""
    full = pyramid.levels[0].outline
    (full_width, full_length), (width, length) = full.known_size, outline.known_size
    if None in outline.pixel_type + full.pixel_type:
        raise PlaceUnknownError
    if outline.pixel_type != full.pixel_type:
        return False
    if any(level.outline.known_size == (width, length) for level in pyramid.levels):
        return False
    return have_same_proportions((full_width, full_length), (width, length))


def have_same_proportions(full: tuple[int, int], reduced: tuple[int, int]) -> bool:
    """Whether an image may show in no more pixels what another one shows, by the width and length of both.

    Each side is rounded up or down by itself: there is one factor that both come from, within a pixel of the coarse image or a
    fiftieth of it.
    """
    (width, length), (columns, rows) = full, reduced
    if columns > width or rows > length:
        return False
    across, down = max(50, columns), max(50, rows)
    return width * (50 * rows - down) <= length * (50 * columns + across) and (
        length * (50 * columns - across) <= width * (50 * rows + down)
    )


def read_outline(directory: Directory) -> Outline:
    """What the tags say that decide the place of an image.

    Raises
    ------
    PlaceUnknownError
        One of them cannot be read.
    """
    subfile_type = _integer(directory, Tag.NEW_SUBFILE_TYPE, 0)
    old_subfile_type = _integer(directory, Tag.SUBFILE_TYPE, 0)
    photometric = _integer(directory, Tag.PHOTOMETRIC_INTERPRETATION, Photometric.MIN_IS_BLACK)
    if subfile_type is None or old_subfile_type is None or photometric is None:
        raise PlaceUnknownError
    return Outline(
        reduced=bool(subfile_type & _REDUCED) or old_subfile_type == _OLD_REDUCED,
        mask=bool(subfile_type & _MASK) or photometric == Photometric.MASK,
        width=_integer(directory, Tag.IMAGE_WIDTH, 0) or None,
        length=_integer(directory, Tag.IMAGE_LENGTH, 0) or None,
        pixel_type=(
            _integer(directory, Tag.SAMPLES_PER_PIXEL, 1),
            _integer(directory, Tag.SAMPLE_FORMAT, SampleFormat.UINT),
        ),
    )


def _integer(directory: Directory, tag: Tag, default: int) -> int | None:
    try:
        return directory.integer(tag, default)
    except MalformedFileError:
        return None
