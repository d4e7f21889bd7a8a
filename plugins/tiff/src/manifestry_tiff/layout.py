"""Images as a tree of groups and arrays.

====================================  ==========================================================================
one image                             array ``0`` at the root, ``mask`` next to it
a pyramid                             groups ``0``, ``1``, ... with an array ``data`` each, ``mask`` next to it
pages or a series that are alike      one array with a dimension for each axis, in the places above
other images                          groups ``0``, ``1``, ... for the images, each as above
images whose place is unknown         groups ``ifd2``, ``ifd2sub0``, ... by directory, each as above
====================================  ==========================================================================

Every group has its own ``x``, ``y`` and ``spatial_ref``, so that xarray opens it by itself and as a DataTree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from manifestry.plugin import ParseContext, Source, UnsupportedFeatureError, VirtualArray, VirtualGroup

from manifestry_tiff.descriptions.attributes import describe, level_resampling, mask_attributes
from manifestry_tiff.geo.georeference import GeoReference, read_georeference
from manifestry_tiff.geo.geozarr import multiscales_attributes, with_conventions
from manifestry_tiff.options import TiffOptions
from manifestry_tiff.pixels.arrays import image_array
from manifestry_tiff.pixels.stacking import can_stack, shared_attributes, stack_pages
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.levels import Pyramid

__all__ = ["Layout"]

DATA: Final = "data"
MASK: Final = "mask"
PAGE: Final = "page"


@dataclass(frozen=True, slots=True)
class Layout:
    """Makes groups of images.

    Attributes
    ----------
    options, context
        What the parser was called with.
    pages
        Filled while arrays are made: offsets of the directories behind each array of pixels.
    sources
        Filled likewise: the files of those directories where they may be others than the TIFF itself.
    """

    options: TiffOptions
    context: ParseContext
    pages: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)

    def wants(self, path: str) -> bool:
        """Whether the array at a path of the whole file is wanted: it is in the group asked for, and selected."""
        below = f"{self.context.group}/" if self.context.group else ""
        return path.startswith(below) and self.context.wants(path.removeprefix(below))

    def on_trial(self) -> Layout:
        """The same with a context whose issues count only if the layout is accepted."""
        return replace(
            self, context=replace(self.context, on_unsupported="skip", issues=[], failures=[]), pages={}, sources={}
        )

    def accept(self, trial: Layout) -> None:
        """Take over what a layout on trial has found."""
        self.context.issues.extend(trial.context.issues)
        self.context.failures.extend(trial.context.failures)
        self.pages.update(trial.pages)
        self.sources.update(trial.sources)

    def tree_of_image(self, image: Image, name: str) -> VirtualGroup:
        """One image as an array of that name, with its coordinates next to it."""
        reference = self._reference(image, name)
        return _group_of_image(self._level_arrays(image, None, name, "", reference), name, reference)

    def tree_of_file(self, pyramids: Sequence[Pyramid]) -> VirtualGroup:
        """All images of a file."""
        numbered = [pyramid for pyramid in pyramids if not pyramid.name]
        tree = self._tree_of_numbered(numbered)
        apart = self._groups({pyramid.name: pyramid for pyramid in pyramids if pyramid.name})
        return replace(tree, groups={**tree.groups, **apart}) if apart else tree

    def _tree_of_numbered(self, pyramids: Sequence[Pyramid]) -> VirtualGroup:
        if not pyramids:
            return VirtualGroup()
        if len(pyramids) == 1:
            return self._pyramid(pyramids[0], "0", "")
        pages = self._stack(pyramids)
        if pages is not None:
            return pages
        return VirtualGroup({}, groups=self._groups({str(i): pyramid for i, pyramid in enumerate(pyramids)}))

    def _groups(self, pyramids: Mapping[str, Pyramid]) -> dict[str, VirtualGroup]:
        """The groups of images by their names, but for those of which nothing is wanted or can be read."""
        groups = {name: self._pyramid(pyramid, DATA, f"{name}/") for name, pyramid in pyramids.items()}
        return {name: group for name, group in groups.items() if group.arrays or group.groups}

    def _pyramid(self, pyramid: Pyramid, name: str, prefix: str) -> VirtualGroup:
        """One image: an array of that name, or a group for each level."""
        reference = None if pyramid.full is None else self._reference(pyramid.full, prefix + name)
        if len(pyramid.levels) == 1:
            level = pyramid.levels[0]
            return _group_of_image(
                self._level_arrays(level.image, level.mask, name, prefix, reference), name, reference
            )
        sizes = [(0, 0) if (image := level.image) is None else (image.width, image.length) for level in pyramid.levels]
        references = [None if reference is None or not any(size) else reference.at_size(*size) for size in sizes]
        levels = [
            self._level_arrays(level.image, level.mask, DATA, f"{prefix}{i}/", level_reference)
            for i, (level, level_reference) in enumerate(zip(pyramid.levels, references, strict=True))
        ]
        methods = [level_resampling(level.image.directory) if level.image else "" for level in pyramid.levels]
        return self.join_levels(levels, sizes, references, methods)

    def join_levels(
        self,
        levels: Sequence[dict[str, VirtualArray]],
        sizes: Sequence[tuple[int, int]],
        references: Sequence[GeoReference | None],
        methods: Sequence[str],
    ) -> VirtualGroup:
        """Groups of levels, and what joins them as attributes. Levels without pixels are not named there.

        Parameters
        ----------
        methods
            How each level was made, ``""`` where it is not known.
        """
        kept = [i for i, arrays in enumerate(levels) if DATA in arrays]
        groups = {
            str(i): _group_of_image(arrays, DATA, reference)
            for i, (arrays, reference) in enumerate(zip(levels, references, strict=True))
            if arrays
        }
        if 0 not in kept:
            return VirtualGroup({}, groups=groups)
        conventions = [{} if (reference := references[i]) is None else reference.conventions() for i in kept]
        transforms = [convention.get("spatial:transform") for convention in conventions]
        attributes: dict[str, Any] = {}
        attributes |= {k: v for k, v in conventions[0].items() if k not in ("spatial:shape", "spatial:transform")}
        attributes |= multiscales_attributes(
            [sizes[i] for i in kept], transforms, [methods[i] for i in kept], [str(i) for i in kept]
        )
        return VirtualGroup({}, groups=groups, attributes=with_conventions(attributes))

    def _stack(self, pyramids: Sequence[Pyramid]) -> VirtualGroup | None:
        """Pages that are alike as one array, None where they are not."""
        images = [pyramid.full for pyramid in pyramids if pyramid.full is not None]
        if len(images) < len(pyramids):
            return None
        first = images[0]
        if any(len(p.levels) > 1 or p.levels[0].masked for p in pyramids):
            return None
        if not all(_have_same_tags(first, image) for image in images):
            return None
        shared = self._shared_attributes(images)
        if shared is None:
            return None
        wanted = self.wants("0")
        trial = self.on_trial()
        pages: list[VirtualArray] = []
        for image in images:
            with trial.context.isolate("0"):
                pages.append(image_array(image, "0", self.options, trial.context))
        if len(pages) < len(pyramids) or not can_stack(pages):
            return None  # then each by itself; what is refused is said there
        if wanted:
            self.accept(trial)
        self.pages["0"] = tuple(image.directory.offset for image in images)
        stacked = stack_pages(pages, (len(pages),), (PAGE,))
        reference = self._reference(first, "0")
        attributes = {k: v for k, v in self.attributes_of(first, "0", reference).items() if k in shared}
        arrays = {"0": _add_attributes(stacked, attributes)} if wanted else {}
        return _group_of_image(self._add_coordinates(arrays, "", reference), "0", reference)

    def _shared_attributes(self, images: Sequence[Image]) -> dict[str, Any] | None:
        """The attributes that pages have in common, None where they differ in what their values mean or where they lie.

        Nothing is reported here: what cannot be understood is reported when the arrays are made.
        """
        silent = replace(self, context=self._silent_context())
        pages = [(image, silent._reference(image, "")) for image in images]  # noqa: SLF001 of this class
        return shared_attributes([silent.attributes_of(image, "", reference) for image, reference in pages])

    def _silent_context(self) -> ParseContext:
        """A context whose issues nobody sees."""
        return ParseContext(on_unsupported="skip", limits=self.context.limits)

    def attributes_of(self, image: Image, path: str, reference: GeoReference | None) -> dict[str, Any]:
        """The attributes of an image, and those that say where it lies."""
        attributes = describe(image, path, self.context)
        if reference is None:
            return attributes
        return reference.value_attributes() | attributes | reference.array_attributes()

    def describe_array(
        self, array: VirtualArray, image: Image, path: str, reference: GeoReference | None
    ) -> VirtualArray:
        """An array with the attributes of its image."""
        return _add_attributes(array, self.attributes_of(image, path, reference))

    def _level_arrays(
        self, image: Image | None, mask: Image | None, name: str, prefix: str, reference: GeoReference | None
    ) -> dict[str, VirtualArray]:
        """The arrays of one resolution: pixels, coordinates, mask, as far as they can be read and are wanted."""
        arrays: dict[str, VirtualArray] = {}
        path = prefix + name
        if image is not None and self.wants(path):
            with self.context.isolate(path):
                array = image_array(image, path, self.options, self.context)
                arrays[name] = self.describe_array(array, image, path, reference)
                self._remember(path, image)
        if name in arrays or not self.wants(path):
            arrays = self._add_coordinates(arrays, prefix, reference)
        if mask is not None and self.wants(prefix + MASK):
            with self.context.isolate(prefix + MASK):
                _check_components(mask, image, prefix + MASK)
                array = image_array(mask, prefix + MASK, self.options, self.context)
                place = {} if reference is None else reference.array_attributes()
                arrays[MASK] = _add_attributes(array, mask_attributes(mask) | place)
                self._remember(prefix + MASK, mask)
                if name in arrays:
                    arrays[name] = _add_attributes(arrays[name], {"ancillary_variables": MASK})
        return arrays

    def _remember(self, path: str, image: Image) -> None:
        self.pages[path] = (image.directory.offset,)
        self.sources[path] = image.directory.file.source

    def _add_coordinates(
        self, arrays: dict[str, VirtualArray], prefix: str, reference: GeoReference | None
    ) -> dict[str, VirtualArray]:
        """The array of an image and its coordinates, as far as those are wanted."""
        if reference is None:
            return arrays
        variables = reference.variables(self.context, coordinates=self.options.coordinates)
        return arrays | {name: array for name, array in variables.items() if self.wants(prefix + name)}

    def _reference(self, image: Image, path: str) -> GeoReference | None:
        with self.context.isolate(path):
            return read_georeference(image, path, self.options, self.context)
        return None


def _group_of_image(arrays: dict[str, VirtualArray], name: str, reference: GeoReference | None) -> VirtualGroup:
    """The group of one image, which says itself where the image lies, if that is in it."""
    placed = reference is not None and name in arrays
    return VirtualGroup(arrays, groups={}, attributes=reference.group_attributes() if placed and reference else {})


def _add_attributes(array: VirtualArray, attributes: dict[str, Any]) -> VirtualArray:
    """An array with the attributes of its image and its own."""
    return replace(array, metadata=array.metadata.with_(attributes={**attributes, **array.attributes}))


def _check_components(mask: Image, image: Image | None, path: str) -> None:
    """Refuse a mask that has another number of bands than its image: they could not share the dimension."""
    if image is not None and mask.samples not in (1, image.samples):
        feature = f"a mask of {mask.samples} bands for an image of {image.samples}"
        raise UnsupportedFeatureError(feature, path, "read it by itself with ifd=N")


def _have_same_tags(first: Image, other: Image) -> bool:
    """Whether two images can be pages of one array, by their tags alone."""
    names = ("shape", "bits", "sample_format", "compression", "photometric")
    return all(getattr(first, name) == getattr(other, name) for name in names)
