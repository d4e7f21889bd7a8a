"""TiffParser: a file to a tree of virtual arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from manifestry.plugin import (
    MalformedFileError,
    OptionError,
    ParseContext,
    Source,
    UnsupportedFeatureError,
    VirtualGroup,
)

from manifestry_tiff.descriptions.series import follows_convention, read_series
from manifestry_tiff.descriptions.slides import slide_levels
from manifestry_tiff.layout import Layout
from manifestry_tiff.options import TiffOptions
from manifestry_tiff.series_layout import series_group
from manifestry_tiff.sidecars.files import Sidecars, find_sidecars, mention_sidecars
from manifestry_tiff.sidecars.images import add_sidecar_images
from manifestry_tiff.structure.file import LARGE_BYTES, TiffFile
from manifestry_tiff.structure.ifd import Directory, Header, read_chain, read_header
from manifestry_tiff.structure.image import read_image
from manifestry_tiff.structure.pyramids import group_images, images_apart

if TYPE_CHECKING:
    from manifestry_tiff.native import TiffReader

__all__ = ["TiffParser"]


class TiffParser:
    """Parser of TIFF 6.0, BigTIFF, GeoTIFF and COG."""

    def parse(self, source: Source, options: TiffOptions, context: ParseContext) -> VirtualGroup:
        """The tree of a file.

        Raises
        ------
        MalformedFileError
            The file has no TIFF header, or no directory.
        OptionError
            The file does not have the directory or the group that is asked for.
        """
        tree = _read(source, Layout(options, context))
        return _subgroup(tree, source, context) if context.group else tree

    def open_native(self, source: Source, options: TiffOptions) -> TiffReader:
        """The arrays of the tree as tifffile decodes them.

        Raises
        ------
        MalformedFileError
            tifffile does not open the file.
        UnsupportedFeatureError
            Planes have no directories of their own, so that tifffile reads them as a whole only.
        """
        from manifestry_tiff.native import TiffReader  # noqa: PLC0415 tifffile is slow to import

        layout = Layout(options, ParseContext(on_unsupported="skip"))
        tree = _read(source, layout)
        for path, array in tree.walk_arrays():
            if path not in layout.pages and array.metadata.ndim > 1:
                raise UnsupportedFeatureError("planes without directories", path, "verify against the parse instead")
        return TiffReader(source, tree, layout.pages, layout.sources)


def _subgroup(tree: VirtualGroup, source: Source, context: ParseContext) -> VirtualGroup:
    """The group that becomes the root; the paths of issues become those below it."""
    below = f"{context.group}/"
    context.issues[:] = [replace(issue, path=issue.path.removeprefix(below)) for issue in context.issues]
    node = tree
    for name in context.group.split("/"):
        if name not in node.groups:
            raise OptionError(f"there is no group {context.group!r} in {source.url}")
        node = node.groups[name]
    return node


def _read(source: Source, layout: Layout) -> VirtualGroup:
    """The tree of a file."""
    options, context = layout.options, layout.context
    file = TiffFile(source)
    header = read_header(file)
    sidecars = _sidecars(source, options, context)
    if options.ifd is not None:
        directory = _directory(file, header, options.ifd, context)
        directory = directory if options.ifd else replace(directory, beside=sidecars.beside)
        return _one_directory(directory, str(options.ifd), layout)
    directories = list(_all_directories(file, header, context))
    if not directories:
        raise MalformedFileError(f"{source.url}: the file has no image file directory")
    if not follows_convention(directories[0]):
        return _tree_of_images(directories, sidecars, layout)
    apart = images_apart(directories, context)
    # Of damaged pages tifffile makes other series, and would follow a chain that is a loop without end.
    if not any(issue.severity == "refused" for issue in context.issues):
        series = read_series(directories[0], context)
        if series is None:
            return _tree_of_images(directories, sidecars, layout)
        _report_unread(sidecars, context)
        trial = layout.on_trial()
        known = [level.directory for pyramid in apart for level in pyramid.levels]
        tree = series_group(series, file, header, trial, known=known)
        if not any(isinstance(failure, MalformedFileError) for failure in trial.context.failures):
            layout.accept(trial)
            return tree
    else:
        _report_unread(sidecars, context)
    context.report(
        "",
        "series with a page that cannot be read",
        "the other pages are images of their own, with the names of their directories",
    )
    return layout.tree_of_file(apart)


def _report_unread(sidecars: Sidecars, context: ParseContext) -> None:
    if sidecars != Sidecars():
        context.report("", "files beside the image", "of a series they are not read")


def _sidecars(source: Source, options: TiffOptions, context: ParseContext) -> Sidecars:
    """The files beside the TIFF that are asked for; of one directory, which are no other images, of the first one only."""
    wanted: set[str] = set(options.sidecars)
    mention_sidecars(source, wanted, context)
    if options.ifd is not None:
        without_images = {"metadata", "world_file"}
        wanted = (without_images if "all" in wanted else wanted & without_images) if options.ifd == 0 else set()
    return find_sidecars(source, wanted, context)


def _tree_of_images(directories: Sequence[Directory], sidecars: Sidecars, layout: Layout) -> VirtualGroup:
    directories = [replace(directories[0], beside=sidecars.beside), *directories[1:]]
    pyramids = group_images(directories, slide_levels(directories), layout.context)
    if pyramids and not pyramids[0].name and not pyramids[0].is_mask:
        add_sidecar_images(pyramids[0], sidecars, layout.context)
    return layout.tree_of_file(pyramids)


def _one_directory(directory: Directory, name: str, layout: Layout) -> VirtualGroup:
    """One image as an array at the root; nothing of the others is read."""
    directory.prefetch()
    with layout.context.isolate(name):
        return layout.tree_of_image(read_image(directory), name)
    return VirtualGroup()


def _directory(file: TiffFile, header: Header, number: int, context: ParseContext) -> Directory:
    count = 0
    for directory in read_chain(file, header, header.first, limit=context.limits.max_arrays):
        if count == number:
            return directory
        count += 1
    raise OptionError(f"ifd={number}: {file.source.url} has {count} directories in its main chain")


def _all_directories(file: TiffFile, header: Header, context: ParseContext) -> Iterator[Directory]:
    """The main chain; where it breaks off after the first directory, that is an issue of the next image."""
    chain = read_chain(file, header, header.first, limit=context.limits.max_arrays)
    directory = next(chain, None)
    count = 0
    while directory is not None:
        directory.prefetch(*_rest_of_cog(directory))
        yield directory
        count += 1
        directory = _next_directory(chain, str(count), context)


def _next_directory(chain: Iterator[Directory], path: str, context: ParseContext) -> Directory | None:
    with context.isolate(path):
        return next(chain, None)
    return None


def _rest_of_cog(directory: Directory) -> list[tuple[int, int]]:
    """Where the offsets of the overviews of a cloud optimized GeoTIFF probably are, so that one request brings them all.

    Its directories come before all data, and so do their arrays after them, from fine to coarse; every overview has a
    quarter of the tiles, so what follows takes a third of what the full image takes.
    """
    ends = [entry.offset + entry.nbytes for entry in directory.entries.values()]
    own = sum(entry.nbytes for entry in directory.entries.values())
    if own < LARGE_BYTES or not directory.offset < directory.next < max(ends):
        return []
    return [(max(ends), max(ends) + own // 3 + LARGE_BYTES // 4)]
