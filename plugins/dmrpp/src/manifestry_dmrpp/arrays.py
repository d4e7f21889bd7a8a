"""From a variable of the document to a virtual array."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from manifestry.plugin import (
    ArrayMetadata,
    ChunkManifest,
    Codec,
    MalformedFileError,
    ParseContext,
    RegularGrid,
    UnsupportedFeatureError,
    VirtualArray,
    is_variable_length,
)

from manifestry_dmrpp.attributes import variable_attributes
from manifestry_dmrpp.chunk_list import ChunkList
from manifestry_dmrpp.document import Variable
from manifestry_dmrpp.elements import TEXT_TYPES, ElementType, element_type
from manifestry_dmrpp.fill import fill_value
from manifestry_dmrpp.payloads import payload
from manifestry_dmrpp.storage import Storage, StorageBuilder

__all__ = ["build_array"]


def build_array(
    variable: Variable,
    shape: tuple[int, ...],
    dims: tuple[str, ...],
    storage: StorageBuilder,
    context: ParseContext,
) -> VirtualArray:
    """The virtual array of one variable.

    Parameters
    ----------
    shape, dims
        Lengths and names of its dimensions.

    Raises
    ------
    UnsupportedFeatureError
        It cannot be expressed exactly, or the document does not say where its values are.
    MalformedFileError
        The document contradicts itself.
    """
    if variable.chunks is not None and variable.chunks.fault:
        raise MalformedFileError(f"{variable.path}: {variable.chunks.fault}")
    if not math.prod(shape):
        return _without_elements(variable, shape, dims, storage)
    values = payload(variable, shape, context.limits)
    if values is not None:
        manifest = ChunkManifest.from_inline((1,) * len(shape), [values.data])
        whole = Storage(tuple(max(1, n) for n in shape), values.codecs, manifest)
        return _array(variable, shape, dims, values.element, whole)
    if variable.chunks is None:
        raise UnsupportedFeatureError(
            "a variable whose values the document does not have", variable.path, "read it from the data file"
        )
    element = element_type(variable)
    if is_variable_length(element.dtype):
        return _filled_strings(variable, shape, dims)
    stored = storage.build(variable.chunks, shape, element)
    if math.prod(shape) * element.dtype.itemsize < (context.inline_below or 0):
        stored = replace(stored, manifest=storage.copy_inline(stored.manifest))
    return _array(variable, shape, dims, element, stored)


def _array(
    variable: Variable, shape: tuple[int, ...], dims: tuple[str, ...], element: ElementType, stored: Storage
) -> VirtualArray:
    attributes = dict(element.attributes) | variable_attributes(variable, element.dtype, dims)
    manifest = stored.manifest
    fill = _fill(variable, element.dtype, attributes, incomplete=manifest.stored_count < manifest.size)
    metadata = ArrayMetadata(
        shape=shape,
        dtype=element.dtype,
        chunk_grid=RegularGrid(stored.chunk_shape),
        codecs=stored.codecs,
        fill_value=fill,
        dims=dims,
        attributes=attributes,
    )
    return VirtualArray(metadata, manifest)


def _fill(variable: Variable, dtype: np.dtype[Any], attributes: dict[str, Any], *, incomplete: bool) -> Any:
    """The fill value; refused when elements read as it and the document does not have it exactly."""
    text = variable.chunks.properties.get("fillValue") if variable.chunks is not None else None
    fill, sure = fill_value(text, dtype, attributes)
    if incomplete and not sure:
        raise UnsupportedFeatureError(
            f"missing chunks with the fill value {text!r}", variable.path, "the document does not have it exactly"
        )
    return fill


def _without_elements(
    variable: Variable, shape: tuple[int, ...], dims: tuple[str, ...], storage: StorageBuilder
) -> VirtualArray:
    """An array with a dimension of length 0: the chunks and filters are those that it would have."""
    chunks = ChunkList({}) if variable.chunks is None else variable.chunks
    if variable.type == "Opaque" or (variable.type in TEXT_TYPES and variable.string_length is None):
        return _strings_without_values(variable, shape, dims, chunks.shape(shape))
    element = element_type(variable)
    return _array(variable, shape, dims, element, storage.build(chunks, shape, element))


def _filled_strings(variable: Variable, shape: tuple[int, ...], dims: tuple[str, ...]) -> VirtualArray:
    """Strings of which nothing is stored: all of them are the fill value."""
    if math.prod(shape) * 4 > 1 << 62:
        raise MalformedFileError(f"shape {shape}: must not have more than 2**60 strings")
    return _strings_without_values(variable, shape, dims, tuple(max(1, n) for n in shape))


def _strings_without_values(
    variable: Variable, shape: tuple[int, ...], dims: tuple[str, ...], chunk_shape: tuple[int, ...]
) -> VirtualArray:
    manifest = ChunkManifest.missing(RegularGrid(chunk_shape).grid_shape(shape))
    stored = Storage(chunk_shape, (Codec("vlen-utf8"),), manifest)
    return _array(variable, shape, dims, ElementType(dtype=np.dtypes.StringDType()), stored)
