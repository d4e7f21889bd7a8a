"""Which image is what: full resolution, overview or mask, by NewSubfileType and SubIFDs (TIFF 6.0 section 8).

An image that cannot be read keeps its place, so that those after it keep their numbers. Where its tags do not even say
which place it would have, the images after it are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from manifestry.plugin import MalformedFileError, ParseContext

from manifestry_tiff.structure.ifd import Directory, read_chain
from manifestry_tiff.structure.image import Image, read_image
from manifestry_tiff.structure.tags import Photometric, SampleFormat, Tag

__all__ = ["Level", "Pyramid", "group_images"]

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED: Final = 2  # of SubfileType
_MAX_SUB_IFDS: Final = 1024
"""Real images have some dozens; directories may overlap, and cost as much as if they did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outline:
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
        _PlaceUnknownError
            They cannot be read.
        """
        if self.width is None or self.length is None:
            raise _PlaceUnknownError
        return self.width, self.length


@dataclass(slots=True)
class Level:
    """One resolution of an image, and the mask that belongs to it; None what cannot be read."""

    outline: _Outline
    image: Image | None
    mask: Image | None = None
    masked: bool = False
    """Whether there is a mask, readable or not."""


@dataclass(slots=True)
class Pyramid:
    """An image with its overviews, from fine to coarse."""

    levels: list[Level] = field(default_factory=list)

    @property
    def full(self) -> Image | None:
        """The image at full resolution, None where it cannot be read."""
        return self.levels[0].image


class _PlaceUnknownError(Exception):
    """The place of an image depends on tags that cannot be read."""


def group_images(directories: list[Directory], context: ParseContext) -> list[Pyramid]:
    """The images of a file. Those that cannot be read are refused by the number of their directory."""
    pyramids: list[Pyramid] = []
    seen = {directory.offset for directory in directories}
    for number, directory in enumerate(directories):
        image = _read_image_of(directory, number, context)
        try:
            _place(directory, image, pyramids)
            for sub in _sub_directories(directory, number, seen, context):
                _place(sub, _read_image_of(sub, number, context), pyramids)
        except _PlaceUnknownError:
            placed = image is None or any(level.image is image for pyramid in pyramids for level in pyramid.levels)
            _refuse_rest(directories[number:], number, pyramids, context, placed=placed)
            break
    return pyramids


def _refuse_rest(
    directories: list[Directory], first: int, pyramids: list[Pyramid], context: ParseContext, *, placed: bool
) -> None:
    """Refuse directories whose place is unknown; each can be read by itself.

    What they say they are is kept, so that the images in front of them have the names that they have in a whole file.

    Parameters
    ----------
    first
        Number of the first directory.
    placed
        Whether that one has its place, or is refused already.
    """
    for number, directory in enumerate(directories, first):
        _hold_place(directory, pyramids)
        if placed and number == first:
            continue
        context.refuse(
            str(number),
            "an image whose place is unknown",
            f"IFD {number}: an image in front of it, which its number depends on, cannot be read",
            f"read it by itself with ifd={number}",
        )


def _hold_place(directory: Directory, pyramids: list[Pyramid]) -> None:
    """Let an image that is not read be a level or a pyramid, by what it says it is."""
    try:
        outline = _read_outline(directory)
    except _PlaceUnknownError:
        return
    if outline.reduced and pyramids:
        pyramids[-1].levels.append(Level(outline, None))
    elif not outline.mask:
        pyramids.append(Pyramid([Level(outline, None)]))


def _read_image_of(directory: Directory, number: int, context: ParseContext) -> Image | None:
    with context.isolate(str(number)):
        return read_image(directory)
    return None


def _sub_directories(directory: Directory, number: int, seen: set[int], context: ParseContext) -> Iterator[Directory]:
    """The directories that the SubIFDs tag points at; each may begin a chain of its own.

    Those that were `seen` do not come again.

    Raises
    ------
    _PlaceUnknownError
        There are more, which cannot be read.
    """
    with context.isolate(str(number)):
        offsets = directory.integers(Tag.SUB_IFDS)
        if len(offsets) > _MAX_SUB_IFDS:
            raise directory.tag_error(
                Tag.SUB_IFDS, f"{len(offsets)} directories are more than the limit of {_MAX_SUB_IFDS}"
            )
        for i, offset in enumerate(offsets):
            label = f"{directory.label} SubIFD {i}"
            for sub in read_chain(directory.file, directory.header, offset, label, context.limits.max_arrays):
                if sub.offset in seen:
                    break
                seen.add(sub.offset)
                yield sub
        return
    raise _PlaceUnknownError


def _place(directory: Directory, image: Image | None, pyramids: list[Pyramid]) -> None:
    """Put an image where it belongs: to the last pyramid as a mask or overview, or as a pyramid of its own.

    Raises
    ------
    _PlaceUnknownError
        Its tags do not say where that is.
    """
    outline = _read_outline(directory)
    if pyramids and outline.mask:
        owner = _owner_of_mask(outline, pyramids[-1])
        if owner is not None:
            owner.mask, owner.masked = image, True
            return
    if pyramids and outline.reduced and _is_overview(outline, pyramids[-1]):
        pyramids[-1].levels.append(Level(outline, image))
        return
    pyramids.append(Pyramid([Level(outline, image)]))


def _read_outline(directory: Directory) -> _Outline:
    """What the tags say that decide the place of an image."""
    subfile_type = _integer(directory, Tag.NEW_SUBFILE_TYPE, 0)
    old_subfile_type = _integer(directory, Tag.SUBFILE_TYPE, 0)
    photometric = _integer(directory, Tag.PHOTOMETRIC_INTERPRETATION, Photometric.MIN_IS_BLACK)
    if subfile_type is None or old_subfile_type is None or photometric is None:
        raise _PlaceUnknownError
    return _Outline(
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


def _owner_of_mask(mask: _Outline, pyramid: Pyramid) -> Level | None:
    """The level that a mask belongs to: the first of its size that has none."""
    for level in pyramid.levels:
        if level.outline.known_size == mask.known_size and not level.masked:
            return level
    return None


def _is_overview(outline: _Outline, pyramid: Pyramid) -> bool:
    """Whether an image shows the same in fewer pixels: smaller than the last level, alike in shape and type of pixel."""
    full, last = pyramid.levels[0].outline, pyramid.levels[-1].outline
    (full_width, full_length), (width, length) = full.known_size, outline.known_size
    if None in outline.pixel_type + full.pixel_type:
        raise _PlaceUnknownError
    if outline.pixel_type != full.pixel_type:
        return False
    last_width, last_length = last.known_size
    if width > last_width or length > last_length or (width, length) == (last_width, last_length):
        return False
    # Each side is rounded up or down by itself: the factors agree within one pixel of the coarse image.
    factor = full_width / width
    return abs(full_length / factor - length) <= max(1.0, 0.02 * length)
