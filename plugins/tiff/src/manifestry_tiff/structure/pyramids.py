"""Which image is what: full resolution, overview or mask, by NewSubfileType and SubIFDs (TIFF 6.0 section 8).

An image that cannot be read keeps its place, so that those after it keep their numbers. Where its tags do not even say
which place it would have, the images after it stand apart, under names that no image of a whole file has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from manifestry.plugin import MalformedFileError, ParseContext

from manifestry_tiff.structure.ifd import Directory, read_chain
from manifestry_tiff.structure.image import Image, read_image
from manifestry_tiff.structure.tags import Photometric, SampleFormat, Tag

__all__ = ["Level", "Pyramid", "SlideLevel", "group_images", "have_same_proportions", "images_apart"]

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


@dataclass(frozen=True, slots=True)
class SlideLevel:
    """What a slide scanner says of a directory.

    Attributes
    ----------
    full
        Number of the directory of the full image that it is a level of, None where that cannot be read.
    size
        Width and length without the padding to whole tiles; None: as the tags say.
    """

    full: int | None
    size: tuple[int, int] | None = None


@dataclass(slots=True)
class Level:
    """One resolution of an image, and the mask that belongs to it; None what cannot be read."""

    outline: _Outline
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


class _PlaceUnknownError(Exception):
    """The place of an image depends on tags that cannot be read."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A directory, or what should be one.

    Attributes
    ----------
    name
        ``"ifd3"``, ``"ifd3sub0"``.
    number
        In the main chain, of a sub-directory that of the directory which points at it.
    directory, image
        None what cannot be read, and is refused already.
    """

    name: str
    number: int
    directory: Directory | None
    image: Image | None = None


def group_images(
    directories: Sequence[Directory], slide: Mapping[int, SlideLevel], context: ParseContext
) -> list[Pyramid]:
    """The images of a file. Those that cannot be read are refused by the number of their directory.

    Parameters
    ----------
    slide
        Levels of a slide, by number of the directory, which do not say themselves that they are.
    """
    pyramids: list[Pyramid] = []
    by_number: dict[int, Pyramid] = {}
    seen = {directory.offset for directory in directories}
    for number, directory in enumerate(directories):
        found = _find_images(directory, number, seen, context)
        for at, one in enumerate(found):
            try:
                if one.directory is None:
                    raise _PlaceUnknownError  # noqa: TRY301 as it is raised below
                if at == 0 and number in slide:
                    _place_slide_level(one.directory, one.image, slide[number], pyramids, by_number)
                else:
                    _place(one.directory, one.image, pyramids)
                by_number.setdefault(number, pyramids[-1])
            except _PlaceUnknownError:
                rest = found[at:]
                for behind, other in enumerate(directories[number + 1 :], number + 1):
                    rest += _find_images(other, behind, seen, context)
                for other in directories[number:]:
                    _hold_place(other, pyramids)
                return pyramids + _images_after(rest, directories, context)
    return pyramids


def images_apart(directories: Sequence[Directory], context: ParseContext) -> list[Pyramid]:
    """Every image of a file by itself, under the name of its directory. Those that cannot be read are refused."""
    seen = {directory.offset for directory in directories}
    return [
        _alone(one, one.image)
        for number, directory in enumerate(directories)
        for one in _find_images(directory, number, seen, context)
        if one.image is not None
    ]


def _images_after(rest: Sequence[_Found], directories: Sequence[Directory], context: ParseContext) -> list[Pyramid]:
    """Images behind one whose place, or the place of whose other resolutions, is unknown."""
    apart = []
    for one in rest:
        if one.directory is None or one.image is None:
            continue
        try:
            outline = _read_outline(one.directory)
        except _PlaceUnknownError:
            context.refuse(
                str(one.number),
                "an image whose place is unknown",
                f"{one.directory.label}: whether it is an image, an overview or a mask cannot be read",
                f"read it by itself with ifd={one.number}",
            )
            continue
        context.report(
            one.name,
            "an image whose place is unknown",
            f"{one.directory.label}: an image in front of it, which its number depends on, cannot be read; it has the"
            " name of its directory",
        )
        full = _full_image(outline, directories[: one.number + (one.directory is not directories[one.number])])
        directory = one.directory if full is None else one.directory.as_level_of(full)
        apart.append(_alone(one, replace(one.image, directory=directory)))
    return apart


def _full_image(outline: _Outline, before: Sequence[Directory]) -> Directory | None:
    """The directory whose nodata and scale hold for an image that is reduced: the last full one with the same pixels."""
    for directory in reversed(before if outline.reduced else ()):
        try:
            other = _read_outline(directory)
        except _PlaceUnknownError:
            continue
        if not other.reduced and not other.mask:
            return directory if other.pixel_type == outline.pixel_type else None
    return None


def _alone(found: _Found, image: Image) -> Pyramid:
    outline = _Outline(
        reduced=False,
        mask=False,
        width=image.width,
        length=image.length,
        pixel_type=(image.samples, image.sample_format),
    )
    return Pyramid([Level(outline, image.directory, image)], found.name)


def _find_images(directory: Directory, number: int, seen: set[int], context: ParseContext) -> list[_Found]:
    """A directory and those that its SubIFDs tag points at, but for those that were `seen`."""
    found = [_Found(f"ifd{number}", number, directory, _read_image_of(directory, number, context))]
    for sub in _sub_directories(directory, number, seen, context):
        image = None if sub is None else _read_image_of(sub, number, context)
        found.append(_Found(f"ifd{number}sub{len(found) - 1}", number, sub, image))
    return found


def _sub_directories(
    directory: Directory, number: int, seen: set[int], context: ParseContext
) -> Iterator[Directory | None]:
    """The directories that the SubIFDs tag points at; each may begin a chain of its own. None for one that is damaged."""
    offsets: tuple[int, ...] | None = None
    with context.isolate(str(number)):
        offsets = directory.integers(Tag.SUB_IFDS)
        count, offsets = len(offsets), offsets if len(offsets) <= _MAX_SUB_IFDS else None
        if offsets is None:
            raise directory.tag_error(Tag.SUB_IFDS, f"{count} directories are more than the limit of {_MAX_SUB_IFDS}")
    if offsets is None:
        yield None
        return
    for i, offset in enumerate(offsets):
        complete = False
        with context.isolate(str(number)):
            label = f"{directory.label} SubIFD {i}"
            for sub in read_chain(directory.file, directory.header, offset, label, context.limits.max_arrays):
                if sub.offset in seen:
                    break
                seen.add(sub.offset)
                yield sub
            complete = True
        if not complete:
            yield None


def _hold_place(directory: Directory, pyramids: list[Pyramid]) -> None:
    """Let an image that is not read be a level or a pyramid, by what it says it is.

    So the images in front of it have the names that they have in a whole file.
    """
    try:
        outline = _read_outline(directory)
    except _PlaceUnknownError:
        return
    if outline.reduced and pyramids:
        pyramids[-1].levels.append(Level(outline, directory, None))
    elif not outline.mask:
        pyramids.append(Pyramid([Level(outline, directory, None)]))


def _read_image_of(directory: Directory, number: int, context: ParseContext) -> Image | None:
    with context.isolate(str(number)):
        return read_image(directory)
    return None


def _place_slide_level(
    directory: Directory,
    image: Image | None,
    known: SlideLevel,
    pyramids: list[Pyramid],
    by_number: Mapping[int, Pyramid],
) -> None:
    """Put a level of a slide into the pyramid of its full image, where it fits; else it is an image of its own.

    Raises
    ------
    _PlaceUnknownError
        What it is cannot be read.
    """
    if known.full is None:
        raise _PlaceUnknownError
    outline = _read_outline(directory)
    if known.size is not None:
        width, length = known.size
        outline = replace(outline, width=width, length=length)
        image = None if image is None else replace(image, width=width, length=length)
    pyramid = by_number.get(known.full)
    if pyramid is not None and _is_overview(outline, pyramid):
        _add_level(pyramid, Level(outline, directory, image))
    else:
        pyramids.append(Pyramid([Level(outline, directory, image)]))


def _add_level(pyramid: Pyramid, level: Level) -> None:
    """Add a level between those that are finer and those that are coarser, with what it inherits from the full image."""
    if level.image is not None:
        level.image = replace(level.image, directory=level.directory.as_level_of(pyramid.levels[0].directory))
    width, length = level.outline.known_size
    sizes = [one.outline.known_size for one in pyramid.levels]
    at = next((i for i, (w, n) in enumerate(sizes) if w * n < width * length), len(sizes))
    pyramid.levels.insert(at, level)


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
        _add_level(pyramids[-1], Level(outline, directory, image))
        return
    pyramids.append(Pyramid([Level(outline, directory, image)]))


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
    """Whether an image shows the same in fewer pixels: of a size that no level has, alike in shape and type of pixel."""
    full = pyramid.levels[0].outline
    (full_width, full_length), (width, length) = full.known_size, outline.known_size
    if None in outline.pixel_type + full.pixel_type:
        raise _PlaceUnknownError
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
