"""VirtualDuckArray: a virtual array that xarray takes for an array.

What rearranges whole chunks works (concatenate, stack, new dimensions, transpose, selections of whole chunks);
comparing reads small arrays; all else says that the data are not there.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from manifestry.combine.chunking import join_along
from manifestry.combine.compatibility.differences import MEANING, differences
from manifestry.combine.dimensions import expand_array
from manifestry.combine.manifests import transpose_manifest
from manifestry.combine.options import CombineOptions
from manifestry.combine.values import read_values
from manifestry.errors import IncompatibleArraysError, UnsupportedFeatureError
from manifestry.model.attributes import Attributes
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import is_bool
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import RectilinearGrid, RegularGrid
from manifestry.model.tree import VirtualArray
from manifestry.storage.registry import StoreRegistry
from manifestry.xarray_bridge.indexing import select

__all__ = ["VirtualDuckArray"]

_READ_LIMIT: Final = 64 << 20
_HANDLED: dict[Callable[..., Any], Callable[..., Any]] = {}
_COMPARING: Final = {np.equal, np.not_equal, np.isnan, np.isnat}


class VirtualDuckArray(NDArrayOperatorsMixin):
    """A virtual array without names and attributes, which xarray keeps itself.

    Parameters
    ----------
    array
        The array. Of its attributes those stay that say what the numbers mean, so that arrays which differ in them are
        not joined.
    stores
        Where its bytes are.
    inherited
        Attributes that mean the same without standing there: bounds have the units of the variable that they bound.
    unnamed
        The dimension names of an array that has none: None, or a tuple of nothing else. xarray cannot tell them apart,
        and the way back must.
    """

    __slots__ = ("array", "stores", "unnamed")

    def __init__(
        self,
        array: VirtualArray,
        stores: StoreRegistry | None = None,
        inherited: Attributes | None = None,
        unnamed: tuple[None, ...] | EllipsisType | None = ...,
    ) -> None:
        self.unnamed = unnamed
        attributes = {k: v for k, v in {**(inherited or {}), **array.attributes}.items() if k in MEANING}
        self.array = VirtualArray(array.metadata.with_(dims=None, attributes=attributes), array.manifest)
        self.stores = StoreRegistry.of(stores)

    def _like(self, array: VirtualArray) -> VirtualDuckArray:
        return VirtualDuckArray(array, self.stores)

    def __reduce__(self) -> tuple[Any, ...]:
        return VirtualDuckArray, (self.array, self.stores, None, self.unnamed)

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each dimension."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.array.metadata.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.array.metadata.size

    @property
    def nbytes(self) -> int:
        """Bytes of all elements when decoded, as of any array; `VirtualArray.nbytes` says what the references take."""
        return self.array.metadata.nbytes

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array without dimensions has no len()")
        return self.shape[0]

    def __getitem__(self, key: Any) -> VirtualDuckArray:
        return self._like(select(self.array, key))

    def transpose(self, *axes: Any) -> VirtualDuckArray:
        """The same chunks with dimensions in another order: a ``transpose`` codec says how they are stored."""
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], Sequence) else axes or range(self.ndim)[::-1]
        wanted = tuple(int(axis) % self.ndim for axis in order)
        return self if wanted == tuple(range(self.ndim)) else self._like(_transpose(self.array, wanted))

    @property
    def T(self) -> VirtualDuckArray:  # noqa: N802 numpy's name
        """The dimensions reversed."""
        return self.transpose()

    def astype(self, dtype: Any, *, copy: bool = True, **_: Any) -> VirtualDuckArray:
        """The array itself.

        Raises
        ------
        UnsupportedFeatureError
            `dtype` is another type: stored numbers are not converted.
        """
        if np.dtype(dtype) != self.dtype:
            raise _no_data_error(f"converting {self.dtype} to {np.dtype(dtype)}")
        return self._like(self.array) if copy else self

    def copy(self) -> VirtualDuckArray:
        """The array itself: it cannot be changed."""
        return self

    def __deepcopy__(self, _: Any) -> VirtualDuckArray:
        return self

    def read(self) -> NDArray[Any]:
        """The stored elements, read now.

        Raises
        ------
        UnsupportedFeatureError
            They are more than 64 MiB.
        """
        if self.nbytes > _READ_LIMIT:
            raise _no_data_error(f"comparing {self.nbytes} bytes")
        return read_values(self.array, self.stores)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        raise _no_data_error("the values of a virtual array")

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if function not in _COMPARING or method != "__call__":
            raise _no_data_error(f"numpy.{function.__name__}")
        read = [value.read() if isinstance(value, VirtualDuckArray) else value for value in inputs]
        return function(*read, **options)

    def __array_function__(
        self, function: Any, types: Sequence[type], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        if function not in _HANDLED:
            raise _no_data_error(f"numpy.{function.__name__}")
        return _HANDLED[function](*args, **kwargs)

    def __repr__(self) -> str:
        return f"<VirtualDuckArray {self._describe()}>"

    def _repr_inline_(self, max_width: int) -> str:
        """One line, for the table of variables of a dataset."""
        return repr(self)[:max_width]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in self._rows()
        )
        return f"<table>{rows}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        manifest, grid = self.array.manifest, self.array.metadata.chunk_grid
        chunks = grid.chunk_shape if isinstance(grid, RegularGrid) else grid.edges
        return [
            ("shape", str(self.shape)),
            ("data type", str(self.dtype)),
            ("chunks", str(chunks)),
            ("codecs", " → ".join(codec.name for codec in self.array.metadata.codecs)),
            ("chunks stored", f"{manifest.stored_count} of {manifest.size}"),
            ("bytes stored", str(manifest.stored_bytes)),
            ("files", str(len(manifest.files))),
        ]

    def _describe(self) -> str:
        manifest = self.array.manifest
        return f"{self.shape} {self.dtype}, {manifest.stored_count} chunks in {len(manifest.files)} files"


def _no_data_error(feature: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        feature, "", "the data are in the archive: write the dataset and open it, or use engine='manifestry'"
    )


def _transpose(array: VirtualArray, order: tuple[int, ...]) -> VirtualArray:
    """Codecs: stored chunks have the old order, so a chunk is transposed back when it is encoded."""
    metadata = array.metadata
    back = [order.index(i) for i in range(len(order))]
    grid = metadata.chunk_grid
    if isinstance(grid, RegularGrid):
        turned: RegularGrid | RectilinearGrid = RegularGrid(tuple(grid.chunk_shape[i] for i in order))
    else:
        turned = RectilinearGrid(tuple(grid.edges[i] for i in order))
    codecs = metadata.codecs
    if codecs[0].name == "transpose":
        back = [back[i] for i in codecs[0].configuration["order"]]
        codecs = codecs[1:]
    if back != list(range(len(order))):
        codecs = (Codec("transpose", {"order": back}), *codecs)
    changed = metadata.with_(shape=tuple(metadata.shape[i] for i in order), chunk_grid=turned, codecs=codecs)
    return VirtualArray(changed, transpose_manifest(array.manifest, order))


def _implements(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        _HANDLED[function] = handler
        return handler

    return register


def _virtual(values: Sequence[Any]) -> list[VirtualDuckArray]:
    for value in values:
        if not isinstance(value, VirtualDuckArray):
            raise _no_data_error("joining virtual arrays and values in memory")
    return list(values)


@_implements(np.concatenate)
def _concatenate(arrays: Sequence[Any], axis: int | None = 0, **_: Any) -> VirtualDuckArray:
    ducks = _virtual(arrays)
    if axis is None:
        raise _no_data_error("flattening")
    first, along = ducks[0], axis % max(1, ducks[0].ndim)
    for duck in ducks[1:]:
        found = differences(first.array, duck.array, along)
        if found:
            url = next(iter(duck.array.manifest.files.urls), "inline data")
            raise IncompatibleArraysError(f"arrays cannot be joined: {'; '.join(map(str, found))} in {url}")
    options = CombineOptions()
    return first._like(join_along([d.array for d in ducks], along, "array", options=options, stores=first.stores))  # noqa: SLF001 same module


@_implements(np.stack)
def _stack(arrays: Sequence[Any], axis: int = 0, **_: Any) -> VirtualDuckArray:
    ducks = _virtual(arrays)
    along = axis % (ducks[0].ndim + 1)
    return _concatenate([_expand(duck, along) for duck in ducks], along)  # type: ignore[no-any-return]


@_implements(np.expand_dims)
def _expand(array: VirtualDuckArray, axis: int) -> VirtualDuckArray:
    return array._like(expand_array(array.array, None, axis=axis % (array.ndim + 1)))  # noqa: SLF001 same module


@_implements(np.broadcast_to)
def _broadcast_to(array: VirtualDuckArray, shape: Any, **_: Any) -> VirtualDuckArray:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    for _axis in range(len(wanted) - array.ndim):
        array = _expand(array, 0)
    for axis, (have, want) in enumerate(zip(array.shape, wanted, strict=True)):
        if have != want:
            if have != 1 or array.array.metadata.chunk_grid != _chunk_of_one(array, axis):
                raise _no_data_error(f"broadcasting {array.shape} to {wanted}")
            array = _concatenate([array] * want, axis) if want else array[(slice(None),) * axis + (slice(0, 0),)]
    return array


def _chunk_of_one(array: VirtualDuckArray, axis: int) -> RegularGrid:
    shape = array.array.metadata.chunk_shape
    return RegularGrid((*shape[:axis], 1, *shape[axis + 1 :]))


@_implements(np.transpose)
def _np_transpose(array: VirtualDuckArray, axes: Any = None) -> VirtualDuckArray:
    return array.transpose() if axes is None else array.transpose(tuple(axes))


@_implements(np.result_type)
def _result_type(*values: Any) -> np.dtype[Any]:
    return np.result_type(*(v.dtype if isinstance(v, VirtualDuckArray) else v for v in values))


@_implements(np.full_like)
def _full_like(
    array: VirtualDuckArray, fill_value: Any, dtype: Any = None, **_: Any
) -> VirtualDuckArray | NDArray[Any]:
    """What xarray puts where a dataset lacks a variable: an array of which nothing is stored.

    Of another type, and of truth values (xarray asks so whether integers are missing), it is a constant in memory that
    takes none, whatever the shape.
    """
    wanted = array.dtype if dtype is None else np.dtype(dtype)
    if wanted != array.dtype or is_bool(wanted):
        return np.broadcast_to(np.array(fill_value, wanted), array.shape)
    metadata = array.array.metadata.with_(fill_value=fill_value)
    return array._like(VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape)))  # noqa: SLF001 same module


@_implements(np.shape)
def _shape(array: VirtualDuckArray) -> tuple[int, ...]:
    return array.shape


@_implements(np.ndim)
def _ndim(array: VirtualDuckArray) -> int:
    return array.ndim
