"""Small arrays whose values are in the manifest: coordinates, and what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from manifestry.plugin import ArrayMetadata, ChunkManifest, RegularGrid, VirtualArray, serializer
from numpy.typing import NDArray

__all__ = ["even_coordinate", "inline_array"]


def even_coordinate(dim: str, size: int, origin: float, step: float, unit: str) -> VirtualArray:
    """The coordinate of a dimension, ``origin + step * i``, of type float64."""
    values = origin + step * np.arange(size, dtype="f8")
    return inline_array(values, (dim,), {"units": unit} if unit else {})


def inline_array(values: NDArray[Any], dims: tuple[str, ...], attributes: Mapping[str, Any]) -> VirtualArray:
    """An array of one chunk, whose values are in the manifest."""
    metadata = ArrayMetadata(
        shape=values.shape,
        dtype=values.dtype,
        chunk_grid=RegularGrid(values.shape),
        codecs=(serializer(values.dtype),),
        fill_value=values.dtype.type(0),
        dims=dims,
        attributes=dict(attributes),
    )
    little = values.astype(values.dtype.newbyteorder("<"))
    return VirtualArray(metadata, ChunkManifest.from_inline(metadata.grid_shape, [little.tobytes()]))
