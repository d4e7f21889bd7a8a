"""ArrayMetadata: what an array is, apart from where its chunks are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.attributes import Attributes, attributes_equal
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import as_element, native, same_bits

__all__ = ["ArrayMetadata", "ChunkGrid", "RectilinearGrid", "RegularGrid"]

_MAX_ROOT: Final = 1 << 24
"""Divisors are looked for up to the square root of a length, and no further than this."""


@dataclass(frozen=True, slots=True)
class RegularGrid:
    """All chunks have one shape; those at the upper edges hold elements outside the array."""

    chunk_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.chunk_shape and min(self.chunk_shape) <= 0:
            raise ManifestError(f"chunk shape {self.chunk_shape}: lengths must be positive")

    def grid_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Number of chunks along each dimension of an array of `shape`."""
        if len(shape) != len(self.chunk_shape):
            raise ManifestError(
                f"chunk shape {self.chunk_shape} does not match the shape {tuple(shape)}: numbers of dimensions differ"
            )
        return tuple([-(-n // c) for n, c in zip(shape, self.chunk_shape, strict=True)])

    @staticmethod
    def divide(shape: tuple[int, ...], itemsize: int, nbytes: int) -> tuple[int, ...]:
        """The chunk shape that divides a contiguous array into equal runs of about `nbytes` bytes.

        Leading dimensions are cut to one element, one dimension is cut by a divisor of its length, and the dimensions
        behind it stay whole; so every chunk is one run of contiguous bytes, and none reaches beyond the array.

        Parameters
        ----------
        shape
            Elements along each dimension, all positive.
        itemsize
            Bytes of an element.
        nbytes
            Bytes that a chunk should have. An array of no more stays whole.

        Examples
        --------
        >>> RegularGrid.divide((365, 720, 1440), 4, 16 << 20)
        (5, 720, 1440)
        >>> RegularGrid.divide((2, 50_000_000), 8, 16 << 20)
        (1, 2000000)
        >>> RegularGrid.divide((10, 10), 8, 16 << 20)
        (10, 10)
        """
        run = itemsize * math.prod(shape)
        if run <= nbytes:
            return shape
        for axis, length in enumerate(shape):
            run //= length
            if run <= nbytes:
                return (1,) * axis + (_best_divisor(length, nbytes / run),) + shape[axis + 1 :]
        return (1,) * len(shape)


@dataclass(frozen=True, slots=True)
class RectilinearGrid:
    """Chunk lengths along each dimension, listed. Readers with default settings refuse it: only on request."""

    edges: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not all(n > 0 for edges in self.edges for n in edges):
            raise ManifestError("rectilinear chunk grid: chunk lengths must be positive")

    def grid_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Number of chunks along each dimension; only the last may reach beyond `shape`."""
        if len(shape) != len(self.edges) or not all(
            sum(edges[:-1]) < n <= sum(edges) or (n == 0 and not edges)
            for n, edges in zip(shape, self.edges, strict=True)
        ):
            raise ManifestError(f"chunk lengths {self.edges} do not add up to the shape {tuple(shape)}")
        return tuple(map(len, self.edges))


type ChunkGrid = RegularGrid | RectilinearGrid


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayMetadata:
    """What an array is: cheap to make, so that thousands of arrays cost little.

    Attributes
    ----------
    shape
        Elements along each dimension.
    dtype
        numpy dtype in native byte order (see `manifestry.model.datatypes`); stored byte order is the ``bytes`` codec's.
    chunk_grid
        How the array is divided.
    codecs
        The codec pipeline in the order of encoding: array-to-array, one array-to-bytes, bytes-to-bytes.
    fill_value
        What a missing chunk reads as, a scalar of `dtype` (other numbers and texts are converted where that changes
        nothing but the precision of a float). CF's ``_FillValue`` is an attribute and another thing.
    dims
        Dimension names, or None where the source has none; a scalar has ``()``.
    attributes
        Typed attributes (see `manifestry.model.attributes`).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_grid: ChunkGrid
    codecs: tuple[Codec, ...]
    fill_value: Any
    dims: tuple[str | None, ...] | None = None
    attributes: Attributes = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dims is None and not self.shape:
            object.__setattr__(self, "dims", ())  # there is no name that it lacks
        if self.dims is not None and len(self.dims) != len(self.shape):
            raise ManifestError(
                f"dimension names {self.dims} do not match the shape {self.shape}: expected {len(self.shape)}"
            )
        if native(self.dtype) != self.dtype:
            object.__setattr__(self, "dtype", self.dtype.newbyteorder("="))
        if self.shape and min(self.shape) < 0:
            raise ManifestError(f"shape {self.shape}: lengths must not be negative")
        object.__setattr__(self, "fill_value", as_element(self.dtype, self.fill_value))

    @cached_property
    def grid_shape(self) -> tuple[int, ...]:
        """Number of chunks along each dimension."""
        return self.chunk_grid.grid_shape(self.shape)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """The shape of every chunk.

        Raises
        ------
        ManifestError
            The grid is rectilinear: chunks have different shapes.
        """
        if isinstance(self.chunk_grid, RectilinearGrid):
            raise ManifestError("the chunks of a rectilinear grid have no common shape")
        return self.chunk_grid.chunk_shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements when decoded; variable-length elements count as one pointer."""
        return self.size * self.dtype.itemsize

    def with_(self, **changes: Any) -> ArrayMetadata:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArrayMetadata):
            return NotImplemented
        return (
            (self.shape, self.dtype, self.chunk_grid, self.codecs, self.dims)
            == (other.shape, other.dtype, other.chunk_grid, other.codecs, other.dims)
            and same_bits(self.fill_value, other.fill_value)
            and attributes_equal(self.attributes, other.attributes)
        )

    def __hash__(self) -> int:
        return hash((self.shape, str(self.dtype), self.chunk_grid, self.codecs, self.dims))


@lru_cache(maxsize=4096)
def _best_divisor(number: int, wanted: float) -> int:
    """The divisor of `number` nearest to `wanted` by ratio; too large counts twice as bad as too small."""
    candidates = np.arange(1, min(math.isqrt(number), _MAX_ROOT) + 1)
    small = candidates[number % candidates == 0]
    divisors = np.concatenate([small, number // small])
    ratio = np.log(divisors / wanted)
    return int(divisors[np.argmin(np.where(ratio > 0, 2 * ratio, -ratio))])
