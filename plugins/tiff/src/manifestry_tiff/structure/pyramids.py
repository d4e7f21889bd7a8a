"""Which image is what: full resolution, overview or mask, by NewSubfileType and SubIFDs (TIFF 6.0 section 8).

An image that cannot be read keeps its place, so that those after it keep their numbers. Where its tags do not even say
which place it would have, the images after it stand apart, under names that no image of a whole file has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from manifestry.plugin import ParseContext

from manifestry_tiff.structure.ifd import Directory, read_chain
from manifestry_tiff.structure.image import Image, read_image
from manifestry_tiff.structure.levels import (
    Level,
    Outline,
    PlaceUnknownError,
    Pyramid,
    add_level,
    is_overview,
    read_outline,
)
from manifestry_tiff.structure.masks import assign_masks
from manifestry_tiff.structure.tags import Tag

__all__ = ["SlideLevel", "group_images", "images_apart"]

_MAX_SUB_IFDS: Final = 1024
"""Real images have some dozens; directories may overlap, and cost as much as if they did not."""


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
                    raise PlaceUnknownError  # noqa: TRY301 as it is raised below
                if at == 0 and number in slide:
                    _place_slide_level(one.directory, one.image, slide[number], pyramids, by_number)
                else:
                    _place(one.directory, one.image, pyramids)
                by_number.setdefault(number, pyramids[-1])
            except PlaceUnknownError:
                rest = found[at:]
                for behind, other in enumerate(directories[number + 1 :], number + 1):
                    rest += _find_images(other, behind, seen, context)
                for other in directories[number:]:
                    _hold_place(other, pyramids)
                return assign_masks(pyramids, context) + _images_after(rest, directories, context)
    return assign_masks(pyramids, context)


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
            outline = read_outline(one.directory)
        except PlaceUnknownError:
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


def _full_image(outline: Outline, before: Sequence[Directory]) -> Directory | None:
    """The directory whose nodata and scale hold for an image that is reduced: the last full one with the same pixels."""
    for directory in reversed(before if outline.reduced else ()):
        try:
            other = read_outline(directory)
        except PlaceUnknownError:
            continue
        if not other.reduced and not other.mask:
            return directory if other.pixel_type == outline.pixel_type else None
    return None


def _alone(found: _Found, image: Image) -> Pyramid:
    outline = Outline(
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
        outline = read_outline(directory)
    except PlaceUnknownError:
        return
    before = _last_image(pyramids)
    if outline.reduced and not outline.mask and before is not None:
        before.levels.append(Level(outline, directory, None))
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
    PlaceUnknownError
        What it is cannot be read.
    """
    if known.full is None:
        raise PlaceUnknownError
    outline = read_outline(directory)
    if known.size is not None:
        width, length = known.size
        outline = replace(outline, width=width, length=length)
        image = None if image is None else replace(image, width=width, length=length)
    pyramid = by_number.get(known.full)
    if pyramid is not None and is_overview(outline, pyramid):
        add_level(pyramid, Level(outline, directory, image))
    else:
        pyramids.append(Pyramid([Level(outline, directory, image)]))


def _place(directory: Directory, image: Image | None, pyramids: list[Pyramid]) -> None:
    """Put an image where it belongs: to the last image as an overview, or as an image of its own.

    Raises
    ------
    PlaceUnknownError
        Its tags do not say where that is.
    """
    outline = read_outline(directory)
    level = Level(outline, directory, image)
    before = _last_image(pyramids)
    if outline.mask:  # finds its image when all are known
        for other in (level, *(() if before is None else before.levels)):
            _ = other.outline.known_size
    elif before is not None and outline.reduced and is_overview(outline, before):
        add_level(before, level)
        return
    pyramids.append(Pyramid([level]))


def _last_image(pyramids: Sequence[Pyramid]) -> Pyramid | None:
    """The last image that is no mask."""
    return next((pyramid for pyramid in reversed(pyramids) if not pyramid.is_mask), None)
