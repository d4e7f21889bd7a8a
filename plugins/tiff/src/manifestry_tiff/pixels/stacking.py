"""Pages that are alike as one array of more dimensions: their manifests one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from manifestry.plugin import (
    ArrayMetadata,
    ChunkManifest,
    Codec,
    RectilinearGrid,
    RegularGrid,
    VirtualArray,
    values_equal,
)

__all__ = ["can_stack", "shared_attributes", "stack_pages"]

_MEANINGFUL: Final = frozenset(
    {"units", "long_name", "photometric", "grid_mapping", "AREA_OR_POINT", "orientation", "proj:code", "proj:wkt2"}
)
"""Attributes that are text and say what values mean, or where."""


def can_stack(pages: Sequence[VirtualArray]) -> bool:
    """Whether all pages have the same shape, type, chunks, codecs and fill value."""
    first = pages[0].metadata
    return all(_have_same_form(first, page.metadata) for page in pages[1:])


def _have_same_form(first: ArrayMetadata, other: ArrayMetadata) -> bool:
    return (first.shape, first.dtype, first.chunk_grid, first.codecs) == (
        other.shape,
        other.dtype,
        other.chunk_grid,
        other.codecs,
    ) and values_equal(first.fill_value, other.fill_value)


def shared_attributes(pages: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What all pages have in common; None where they differ in more than free text, and so are not pages of one array."""
    shared: dict[str, Any] = {}
    for name in dict.fromkeys(name for page in pages for name in page):
        values = [page.get(name) for page in pages]
        if all(values_equal(values[0], value) for value in values[1:]):
            shared[name] = values[0]
        elif name in _MEANINGFUL or not all(value is None or isinstance(value, str) for value in values):
            return None
    return shared


def stack_pages(pages: Sequence[VirtualArray], shape: tuple[int, ...], dims: tuple[str, ...]) -> VirtualArray:
    """The array of pages that `can_stack`, in C order of the new leading dimensions.

    Parameters
    ----------
    shape, dims
        Of the new leading dimensions; as many pages as they have elements.
    """
    assert len(pages) == math.prod(shape)
    first = pages[0].metadata
    # Codecs see one page: leading dimensions of length one change neither the order of bytes nor axes from the end.
    transposed = tuple(_shift_transpose(codec, len(shape)) for codec in first.codecs)
    grid = first.chunk_grid
    if isinstance(grid, RectilinearGrid):
        chunks: RegularGrid | RectilinearGrid = RectilinearGrid((*((1,) * n for n in shape), *grid.edges))
    else:
        chunks = RegularGrid((*(1 for _ in shape), *grid.chunk_shape))
    metadata = ArrayMetadata(
        shape=(*shape, *first.shape),
        dtype=first.dtype,
        chunk_grid=chunks,
        codecs=transposed,
        fill_value=first.fill_value,
        dims=(*dims, *(first.dims or ())),
        attributes=first.attributes,
    )
    in_a_row = ChunkManifest.concatenate([page.manifest for page in pages], 0)
    return VirtualArray(metadata, in_a_row.rearrange(lambda grid: grid.reshape(*shape, *first.grid_shape)))


def _shift_transpose(codec: Codec, leading: int) -> Codec:
    """A transposition of a page, in an array with `leading` more dimensions in front."""
    if codec.name != "transpose":
        return codec
    order = codec.configuration["order"]
    return Codec("transpose", {"order": [*range(leading), *(axis + leading for axis in order)]})
