"""The Zarr v3 documents of arrays and groups: made from the model on demand, and read back into it.

Source: Zarr v3 core specification, "Array metadata" and "Group metadata". ``_FillValue`` is the one attribute whose form
depends on the array: xarray 2026 reads it from Zarr v3 attributes in the encoding of its ``FillValueCoder``.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.attributes import Attributes, attributes_to_json
from manifestry.model.datatypes import dtype_from_zarr, dtype_to_zarr, fill_from_zarr, fill_to_zarr
from manifestry.model.issues import Issue
from manifestry.model.metadata import ArrayMetadata, ChunkGrid, Codec, RectilinearGrid, RegularGrid

__all__ = [
    "array_attributes_to_json",
    "array_document",
    "decode_fill_attribute",
    "encode_fill_attribute",
    "group_document",
    "metadata_from_document",
]

FILL_ATTRIBUTE = "_FillValue"


def array_document(metadata: ArrayMetadata, path: str = "") -> tuple[dict[str, Any], list[Issue]]:
    """The ``zarr.json`` of an array, and the attributes that have no place in it."""
    attributes, issues = array_attributes_to_json(metadata, path)
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(metadata.shape),
        "data_type": dtype_to_zarr(metadata.dtype),
        "chunk_grid": _grid_to_zarr(metadata.chunk_grid),
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_to_zarr(metadata.dtype, metadata.fill_value),
        "codecs": [codec.to_zarr() for codec in metadata.codecs],
        "attributes": attributes,
    }
    if metadata.dims is not None:
        document["dimension_names"] = list(metadata.dims)
    return document, issues


def group_document(attributes: Attributes, path: str = "") -> tuple[dict[str, Any], list[Issue]]:
    """The ``zarr.json`` of a group, and the attributes that have no place in it."""
    found, issues = attributes_to_json(attributes, path)
    return {"zarr_format": 3, "node_type": "group", "attributes": found}, issues


def array_attributes_to_json(metadata: ArrayMetadata, path: str) -> tuple[dict[str, Any], list[Issue]]:
    """The attributes of an array as Zarr v3 holds them, ``_FillValue`` in xarray's form."""
    plain = {name: value for name, value in metadata.attributes.items() if name != FILL_ATTRIBUTE}
    found, issues = attributes_to_json(plain, path)
    if FILL_ATTRIBUTE in metadata.attributes:
        try:
            found[FILL_ATTRIBUTE] = encode_fill_attribute(metadata.dtype, metadata.attributes[FILL_ATTRIBUTE])
        except (TypeError, ValueError, OverflowError) as error:
            issues.append(Issue(f"{path}@{FILL_ATTRIBUTE}", "_FillValue left out", str(error), severity="reported"))
    return found, issues


def encode_fill_attribute(dtype: np.dtype[Any], value: Any) -> Any:
    """``_FillValue`` as xarray writes it into Zarr v3 attributes.

    Raises
    ------
    TypeError, ValueError
        The value cannot be an element of the array, or xarray reads no ``_FillValue`` for this type.
    """
    scalar = np.asarray(value)
    if scalar.size != 1:
        raise ValueError(f"_FillValue has {scalar.size} values")
    item: Any = scalar.reshape(())[()]
    match dtype.kind:
        case "b" | "i" | "u":
            if not isinstance(item, np.number | np.bool_) or not np.isfinite(item) or dtype.type(item) != item:
                raise ValueError(f"_FillValue {item!r} is not a {dtype} number")
            return bool(item) if dtype.kind == "b" else int(item)
        case "f":
            return _float64_base64(float(item))
        case "c":
            return [_float64_base64(float(item.real)), _float64_base64(float(item.imag))]
        case "T":
            return str(value)
    raise TypeError(f"xarray reads no _FillValue for {dtype}")


def decode_fill_attribute(dtype: np.dtype[Any], value: Any) -> Any:
    """``_FillValue`` of Zarr v3 attributes as a scalar of the array's type; what is not in xarray's form stays."""
    try:
        match dtype.kind:
            case "f":
                return dtype.type(_float64_from_base64(value))
            case "c":
                return dtype.type(complex(_float64_from_base64(value[0]), _float64_from_base64(value[1])))
            case "b" | "i" | "u":
                return dtype.type(value)
    except (TypeError, ValueError, OverflowError, struct.error):
        return value
    return value


def _float64_base64(value: float) -> str:
    return base64.b64encode(struct.pack("<d", value)).decode()


def _float64_from_base64(value: Any) -> float:
    return float(value if isinstance(value, int | float) else struct.unpack("<d", base64.b64decode(value))[0])


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
        dtype = dtype_from_zarr(document["data_type"])
        names = document.get("dimension_names")
        attributes = dict(document.get("attributes") or {})
        if FILL_ATTRIBUTE in attributes:
            attributes[FILL_ATTRIBUTE] = decode_fill_attribute(dtype, attributes[FILL_ATTRIBUTE])
        return ArrayMetadata(
            shape=tuple(int(n) for n in document["shape"]),
            dtype=dtype,
            chunk_grid=_grid_from_zarr(document["chunk_grid"], document["shape"]),
            codecs=tuple(_codec_from_zarr(codec) for codec in document["codecs"]),
            fill_value=fill_from_zarr(dtype, document["fill_value"]),
            dims=None if names is None else tuple(names),
            attributes=attributes,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"this is no Zarr v3 array document: {error!r}") from error


def _codec_from_zarr(codec: Any) -> Codec:
    return Codec(codec) if isinstance(codec, str) else Codec(codec["name"], dict(codec.get("configuration") or {}))


def _grid_from_zarr(grid: Mapping[str, Any], shape: Any) -> ChunkGrid:
    options = grid["configuration"]
    if grid["name"] == "regular":
        return RegularGrid(tuple(int(n) for n in options["chunk_shape"]))
    if grid["name"] == "rectilinear":
        return RectilinearGrid(
            tuple(_expand_runs(runs, size) for runs, size in zip(options["chunk_shapes"], shape, strict=True))
        )
    raise ManifestError(f"unknown chunk grid {grid['name']!r}")


def _expand_runs(runs: Any, size: int) -> tuple[int, ...]:
    if isinstance(runs, int):
        return (runs,) * math.ceil(size / runs)
    return tuple(length for run in runs for length in ([run] if isinstance(run, int) else [run[0]] * run[1]))
