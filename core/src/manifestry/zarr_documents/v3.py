"""The Zarr v3 documents of arrays and groups: made from the model on demand, and read back into it.

Source: Zarr v3 core specification, "Array metadata" and "Group metadata". ``_FillValue`` is the one attribute whose form
depends on the array: see `manifestry.zarr_documents.masking`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manifestry.errors import ManifestError
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes, array_attributes_to_json, attributes_to_json
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import datatype_of, dtype_from_v3, fill_from_v3
from manifestry.model.metadata import ArrayMetadata, ChunkGrid, RectilinearGrid, RegularGrid
from manifestry.zarr_documents.masking import FILL_ATTRIBUTE, fill_mask_from_v3, masks_to_v3, without_masks
from manifestry.zarr_documents.nczarr import netcdf_attributes
from manifestry.zarr_documents.packing import packing_issues

__all__ = [
    "array_document",
    "group_document",
    "lengths_from_json",
    "metadata_from_document",
    "names_from_json",
    "object_from_json",
    "zarr_v3_attributes",
]

_MEMBERS = frozenset(
    {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"}
    | {"attributes", "dimension_names", "storage_transformers"}
)
_MAX_EDGES = 1 << 24


def array_document(metadata: ArrayMetadata, path: str = "") -> tuple[dict[str, Any], list[Issue]]:
    """The ``zarr.json`` of an array, and the attributes that have no place in it."""
    attributes, issues = zarr_v3_attributes(metadata, path)
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(metadata.shape),
        "data_type": datatype_of(metadata.dtype).to_v3(),
        "chunk_grid": _grid_to_zarr(metadata.chunk_grid),
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": datatype_of(metadata.dtype).fill_to_v3(metadata.fill_value),
        "codecs": [codec.to_zarr() for codec in metadata.codecs],
        "attributes": attributes,
    }
    if metadata.dims is not None:
        document["dimension_names"] = list(metadata.dims)
    return document, issues


def group_document(attributes: Attributes, path: str = "") -> tuple[dict[str, Any], list[Issue]]:
    """The ``zarr.json`` of a group, and the attributes that have no place in it."""
    values, issues = attributes_to_json(attributes, path)
    return {"zarr_format": 3, "node_type": "group", "attributes": values}, issues


def zarr_v3_attributes(metadata: ArrayMetadata, path: str) -> tuple[dict[str, Any], list[Issue]]:
    """The attributes of an array as Zarr v3 holds them, ``_FillValue`` in xarray's form."""
    masks = masks_to_v3(metadata.dtype, metadata.attributes, path)
    values, issues = array_attributes_to_json(without_masks(metadata.attributes), path)
    return values | masks.attributes, [*issues, *masks.issues, *packing_issues(metadata, path)]


def _grid_to_zarr(grid: ChunkGrid) -> dict[str, Any]:
    if isinstance(grid, RegularGrid):
        return {"name": "regular", "configuration": {"chunk_shape": list(grid.chunk_shape)}}
    lengths = [_run_lengths(edges) for edges in grid.edges]
    return {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": lengths}}


def _run_lengths(edges: tuple[int, ...]) -> list[Any]:
    """Chunk lengths of one dimension, runs of equal ones as ``[length, count]``."""
    runs: list[list[int]] = []
    for length in edges:
        if runs and runs[-1][0] == length:
            runs[-1][1] += 1
        else:
            runs.append([length, 1])
    return [length if count == 1 else [length, count] for length, count in runs]


def metadata_from_document(document: Mapping[str, Any]) -> ArrayMetadata:
    """The model of a ``zarr.json`` of an array.

    Raises
    ------
    ManifestError
        The document is not one, or uses something that the model does not have.
    """
    try:
        _check_header(document)
        dtype = dtype_from_v3(document["data_type"])
        shape = lengths_from_json(document["shape"], 0)
        attributes = netcdf_attributes(object_from_json(document.get("attributes")))
        if FILL_ATTRIBUTE in attributes:
            attributes[FILL_ATTRIBUTE] = fill_mask_from_v3(dtype, attributes)
        return ArrayMetadata(
            shape=shape,
            dtype=dtype,
            chunk_grid=_grid_from_zarr(document["chunk_grid"], shape),
            codecs=tuple(_codec_from_zarr(codec) for codec in document["codecs"]),
            fill_value=fill_from_v3(dtype, document["fill_value"]),
            dims=names_from_json(document.get("dimension_names")),
            attributes=attributes,
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ManifestError(f"the document is not that of a Zarr v3 array: {type(error).__name__}: {error}") from error


def _check_header(document: Mapping[str, Any]) -> None:
    if document["zarr_format"] != 3 or document["node_type"] != "array":
        raise ValueError("zarr_format must be 3, and node_type 'array'")
    if document.get("storage_transformers"):
        raise ValueError("storage transformers are not supported")
    for name, extension in document.items():
        optional = isinstance(extension, Mapping) and extension.get("must_understand") is False
        if name not in _MEMBERS and not optional:
            raise ValueError(f"the extension {name!r} is not supported")


def _codec_from_zarr(codec: Any) -> Codec:
    named = {"name": codec} if isinstance(codec, str) else codec
    if not isinstance(named["name"], str):
        raise TypeError(f"{named['name']!r:.80} is not the name of a codec")
    return Codec(named["name"], object_from_json(named.get("configuration")))


def object_from_json(value: Any) -> dict[str, Any]:
    """An object that may be left out, or null; JSON has texts for names, and a list of pairs is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r:.80} is not an object")
    return dict(value)


def names_from_json(names: Any) -> tuple[str | None, ...] | None:
    """Names of dimensions, each of which may be missing, or all of them."""
    if names is None:
        return None
    if not isinstance(names, list | tuple) or not all(name is None or isinstance(name, str) for name in names):
        raise TypeError(f"dimension names {names!r}: must be a list of texts and nulls")
    return tuple(names)


def lengths_from_json(values: Any, least: int) -> tuple[int, ...]:
    """Whole numbers of at least `least`; JSON's ``true`` and ``1.0`` are none."""
    if not isinstance(values, list | tuple) or not all(type(n) is int and n >= least for n in values):
        raise ValueError(f"{values!r} is not a list of whole numbers of at least {least}")
    return tuple(values)


def _grid_from_zarr(grid: Mapping[str, Any], shape: tuple[int, ...]) -> ChunkGrid:
    options = grid["configuration"]
    if grid["name"] == "regular":
        return RegularGrid(lengths_from_json(options["chunk_shape"], 1))
    if grid["name"] == "rectilinear" and options["kind"] == "inline":
        return RectilinearGrid(
            tuple(_expand_runs(runs, size) for runs, size in zip(options["chunk_shapes"], shape, strict=True))
        )
    raise ManifestError(f"unknown chunk grid {grid['name']!r}")


def _expand_runs(runs: Any, size: int) -> tuple[int, ...]:
    """Chunk lengths along a dimension of `size`; what reaches beyond it is not expanded, however often it repeats."""
    if isinstance(runs, int):
        runs = [[runs, -(-size // lengths_from_json([runs], 1)[0])]] if size else []
    edges: list[int] = []
    left = size
    for run in runs:
        length, count = lengths_from_json([run, 1] if isinstance(run, int) else run, 1)
        if count > -(-left // length):
            raise ValueError(f"chunks reach beyond the length {size} of a dimension")
        if len(edges) + count > _MAX_EDGES:
            raise ValueError(
                f"there are more than {_MAX_EDGES} chunks along a dimension, each with a length of its own"
            )
        edges += [length] * count
        left -= length * count
    return tuple(edges)
