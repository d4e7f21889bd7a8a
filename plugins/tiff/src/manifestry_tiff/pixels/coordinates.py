"""Coordinates of evenly spaced elements, as arrays whose values are in the manifest."""

from __future__ import annotations

import numpy as np
from manifestry.plugin import ArrayMetadata, ChunkManifest, RegularGrid, VirtualArray, serializer

__all__ = ["even_coordinate"]


def even_coordinate(dim: str, size: int, origin: float, step: float, unit: str) -> VirtualArray:
    """The coordinate of a dimension, ``origin + step * i``, of type float64."""
    values = origin + step * np.arange(size, dtype="<f8")
    metadata = ArrayMetadata(
        shape=(size,),
        dtype=values.dtype,
        chunk_grid=RegularGrid((size,)),
        codecs=(serializer(values.dtype),),
        fill_value=values.dtype.type(0),
        dims=(dim,),
        attributes={"units": unit} if unit else {},
    )
    return VirtualArray(metadata, ChunkManifest.from_inline(metadata.grid_shape, [values.tobytes()]))
