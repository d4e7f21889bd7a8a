"""Which image a mask belongs to: masks are images themselves, of the size of the level that they say something of.

The specification says no more than that a mask is one of another image in the file. Writers put it behind its image, among
the overviews and their masks; behind several images as many masks in their order; or in front.
"""

from __future__ import annotations

from collections.abc import Sequence

from manifestry.plugin import ParseContext

from manifestry_tiff.structure.levels import Level, Pyramid, add_level, is_overview

__all__ = ["assign_masks"]


def assign_masks(pyramids: Sequence[Pyramid], context: ParseContext) -> list[Pyramid]:
    """The images of a file with their masks; masks of no image stay images of their own. Changes the levels.

    A mask belongs to the one level of its size, of the images in front of it, that has none. Where there are several, as many
    masks must follow each other as there are levels.
    """
    masks = [at for at, pyramid in enumerate(pyramids) if pyramid.is_mask]
    if not masks:
        return list(pyramids)
    left = [at for at in masks if not _assign(pyramids, at, range(at), len(_run_of_masks(pyramids, at)))]
    for at in list(left):
        same = [other for other in left if _size(pyramids[other]) == _size(pyramids[at])]
        if _assign(pyramids, at, range(len(pyramids)), len(same)):
            left.remove(at)
    kept: list[Pyramid] = []
    last: Pyramid | None = None
    for at, pyramid in enumerate(pyramids):
        if not pyramid.is_mask:
            kept.append(pyramid)
        elif at in left:
            level = pyramid.levels[0]
            if last is not None and level.outline.reduced and is_overview(level.outline, last):
                add_level(last, level)
                continue
            last = pyramid
            kept.append(pyramid)
            _report_unclear(pyramids, at, context)
    return kept


def _assign(pyramids: Sequence[Pyramid], at: int, among: range, masks: int) -> bool:
    """Give the mask at a position to the first of the levels that it may belong to, where it is clear which that is."""
    candidates = _candidates(pyramids, at, among)
    if not candidates or len(candidates) not in (1, masks):
        return False
    candidates[0].mask, candidates[0].masked = pyramids[at].full, True
    return True


def _candidates(pyramids: Sequence[Pyramid], at: int, among: range) -> list[Level]:
    """The levels without a mask that have the size of the mask at a position."""
    return [
        level
        for other in among
        if not pyramids[other].is_mask
        for level in pyramids[other].levels
        if not level.masked and (level.outline.width, level.outline.length) == _size(pyramids[at])
    ]


def _run_of_masks(pyramids: Sequence[Pyramid], at: int) -> list[int]:
    """The positions of masks of one size from one on, up to the next image that has a level of this size."""
    run = []
    for other in range(at, len(pyramids)):
        if pyramids[other].is_mask:
            run += [other] if _size(pyramids[other]) == _size(pyramids[at]) else []
        elif _candidates(pyramids, at, range(other, other + 1)):
            break
    return run


def _size(mask: Pyramid) -> tuple[int | None, int | None]:
    outline = mask.levels[0].outline
    return outline.width, outline.length


def _report_unclear(pyramids: Sequence[Pyramid], at: int, context: ParseContext) -> None:
    count = len(_candidates(pyramids, at, range(len(pyramids))))
    if count:
        label = pyramids[at].levels[0].directory.label
        message = f"{label}: {count} images of its size have no mask; it is an image of its own"
        context.report("", "a mask whose image is not clear", message)
