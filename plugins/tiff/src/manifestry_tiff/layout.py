"""Images as a tree of groups and arrays.

====================================  ==========================================================================
one image                             array ``0`` at the root, ``mask`` beside it
a pyramid                             groups ``0``, ``1``, ... with an array ``data`` each, ``mask`` beside it
pages or a series that are alike      one array with a dimension for each axis, in the places above
other images                          groups ``0``, ``1``, ... for the images, each as above
====================================  ==========================================================================

Every group has its own ``x``, ``y`` and ``spatial_ref``, so that xarray opens it by itself and as a DataTree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from manifestry.formats.contracts import ParseContext
from manifestry.model.tree import VirtualArray, VirtualGroup

from manifestry_tiff.descriptions.attributes import describe
from manifestry_tiff.geo.georeference import GeoReference, read_georeference
from manifestry_tiff.geo.geozarr import multiscales_attributes, with_conventions
from manifestry_tiff.options import TiffOptions
from manifestry_tiff.pixels.arrays import image_array
from manifestry_tiff.pixels.stacking import shared_attributes, stack_pages, stackable
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.pyramids import Family

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
        As the parser was called with.
    pages
        Filled while arrays are made: offsets of the directories behind each array of pixels.
    """

    options: TiffOptions
    context: ParseContext
    pages: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def wants(self, path: str) -> bool:
        """Whether the array at a path of the whole file is wanted: it is in the group asked for, and selected."""
        below = f"{self.context.group}/" if self.context.group else ""
        return path.startswith(below) and self.context.wants(path.removeprefix(below))

    def single(self, image: Image, name: str) -> VirtualGroup:
        """One image as an array of that name, with its coordinates beside it."""
        return VirtualGroup(self._level_arrays(image, None, name, "", self._reference(image, name)))

    def images(self, families: Sequence[Family]) -> VirtualGroup:
        """All images of a file."""
        if not families:
            return VirtualGroup()
        if len(families) == 1:
            return self._family(families[0], "0", "")
        pages = self._pages(families)
        if pages is not None:
            return pages
        groups = {str(i): self._family(family, DATA, f"{i}/") for i, family in enumerate(families)}
        return VirtualGroup({}, {name: group for name, group in groups.items() if group.arrays or group.groups})

    def _family(self, family: Family, name: str, prefix: str) -> VirtualGroup:
        """One image: an array of that name, or a pyramid."""
        reference = None if family.full is None else self._reference(family.full, prefix + name)
        if len(family.levels) == 1:
            level = family.levels[0]
            return VirtualGroup(self._level_arrays(level.image, level.mask, name, prefix, reference))
        sizes = [(0, 0) if (image := level.image) is None else (image.width, image.length) for level in family.levels]
        references = [None if reference is None or not any(size) else reference.level(*size) for size in sizes]
        levels = [
            self._level_arrays(level.image, level.mask, DATA, f"{prefix}{i}/", known)
            for i, (level, known) in enumerate(zip(family.levels, references, strict=True))
        ]
        return self.pyramid(levels, sizes, references)

    def pyramid(
        self,
        levels: Sequence[dict[str, VirtualArray]],
        sizes: Sequence[tuple[int, int]],
        references: Sequence[GeoReference | None],
    ) -> VirtualGroup:
        """Groups of levels, and what joins them as attributes. Levels without pixels are not named there."""
        kept = [i for i, arrays in enumerate(levels) if DATA in arrays]
        groups = {str(i): VirtualGroup(arrays) for i, arrays in enumerate(levels) if arrays}
        if 0 not in kept:
            return VirtualGroup({}, groups)
        own = [{} if (known := references[i]) is None else known.conventions() for i in kept]
        transforms = [found.get("spatial:transform") for found in own]
        resampling = str(levels[0][DATA].attributes.get("OVERVIEW_RESAMPLING", "")).lower()
        attributes: dict[str, Any] = {}
        attributes |= {k: v for k, v in own[0].items() if k not in ("spatial:shape", "spatial:transform")}
        attributes |= multiscales_attributes([sizes[i] for i in kept], transforms, resampling, [str(i) for i in kept])
        return VirtualGroup({}, groups, with_conventions(attributes))

    def _pages(self, families: Sequence[Family]) -> VirtualGroup | None:
        """Pages that are alike as one array, None where they are not."""
        images = [family.full for family in families if family.full is not None]
        if len(images) < len(families):
            return None
        first = images[0]
        if any(len(f.levels) > 1 or f.levels[0].masked for f in families) or not all(_same(first, i) for i in images):
            return None
        shared = self._shared(images)
        if shared is None:
            return None
        wanted = self.wants("0")
        context = self.context if wanted else self._silent()
        pages: list[VirtualArray] = []
        for image in images:
            with context.isolate("0"):
                pages.append(image_array(image, "0", self.options, context))
        if wanted and len(pages) < len(families):
            return VirtualGroup()
        if len(pages) < len(families) or not stackable(pages):
            return None
        self.pages["0"] = tuple(image.directory.offset for image in images)
        stacked = stack_pages(pages, (len(pages),), (PAGE,))
        reference = self._reference(first, "0")
        attributes = {k: v for k, v in self.described(first, "0", reference).items() if k in shared}
        return VirtualGroup(self._beside({"0": _with(stacked, attributes)} if wanted else {}, "", reference))

    def _shared(self, images: Sequence[Image]) -> dict[str, Any] | None:
        """The attributes that pages have in common, None where they differ in what their values mean or where they lie.

        What cannot be understood of them is reported by who makes the arrays.
        """
        silent = replace(self, context=self._silent())
        pages = [(image, silent._reference(image, "")) for image in images]  # noqa: SLF001 of this class
        return shared_attributes([silent.described(image, "", reference) for image, reference in pages])

    def _silent(self) -> ParseContext:
        """A context for what must not be reported."""
        return ParseContext(on_unsupported="skip", limits=self.context.limits)

    def described(self, image: Image, path: str, reference: GeoReference | None) -> dict[str, Any]:
        """The attributes of an image, and those that say where it lies."""
        found = describe(image, path, self.context)
        return found if reference is None else found | reference.array_attributes()

    def pixels(self, array: VirtualArray, image: Image, path: str, reference: GeoReference | None) -> VirtualArray:
        """An array with the attributes of its image."""
        return _with(array, self.described(image, path, reference))

    def _level_arrays(
        self, image: Image | None, mask: Image | None, name: str, prefix: str, reference: GeoReference | None
    ) -> dict[str, VirtualArray]:
        """The arrays of one resolution: pixels, coordinates, mask, as far as they can be read and are wanted."""
        arrays: dict[str, VirtualArray] = {}
        path = prefix + name
        if image is not None and self.wants(path):
            with self.context.isolate(path):
                array = image_array(image, path, self.options, self.context)
                arrays[name] = self.pixels(array, image, path, reference)
                self.pages[path] = (image.directory.offset,)
        if name in arrays or not self.wants(path):
            arrays = self._beside(arrays, prefix, reference)
        if mask is not None and self.wants(prefix + MASK):
            with self.context.isolate(prefix + MASK):
                array = image_array(mask, prefix + MASK, self.options, self.context)
                arrays[MASK] = _with(array, {} if reference is None else reference.array_attributes())
                self.pages[prefix + MASK] = (mask.directory.offset,)
        return arrays

    def _beside(
        self, arrays: dict[str, VirtualArray], prefix: str, reference: GeoReference | None
    ) -> dict[str, VirtualArray]:
        """The array of an image and its coordinates, as far as those are wanted."""
        if reference is None:
            return arrays
        found = reference.variables(self.context, coordinates=self.options.coordinates)
        return arrays | {name: array for name, array in found.items() if self.wants(prefix + name)}

    def _reference(self, image: Image, path: str) -> GeoReference | None:
        found: list[GeoReference | None] = [None]
        with self.context.isolate(path):
            found[0] = read_georeference(image, path, self.options, self.context)
        return found[0]


def _with(array: VirtualArray, attributes: dict[str, Any]) -> VirtualArray:
    """An array with attributes of its image beside its own."""
    return replace(array, metadata=array.metadata.with_(attributes={**attributes, **array.attributes}))


def _same(mine: Image, other: Image) -> bool:
    """Whether two images can be pages of one array, by their tags alone."""
    names = ("shape", "bits", "sample_format", "compression", "photometric")
    return all(getattr(mine, name) == getattr(other, name) for name in names)
