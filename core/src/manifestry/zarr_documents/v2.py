"""``.zarray``, ``.zattrs`` and ``.zgroup`` made from the model, and read back into it.

xarray takes a Zarr v2 ``fill_value`` for CF's ``_FillValue`` and masks with it. So the document has the value of the
``_FillValue`` attribute there, and null where there is none; what missing chunks read as is another thing, and
`fill_is_stored` says whether the document happens to hold it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from manifestry.errors import ManifestError, UnsupportedFeatureError
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes, array_attributes_to_json, attributes_to_json
from manifestry.model.datatypes import datatype_of, dtype_from_v2, fill_from_v2
from manifestry.model.metadata import ArrayMetadata, RectilinearGrid, RegularGrid
from manifestry.zarr_documents.masking import FILL_ATTRIBUTE, masks_to_v2, without_masks
from manifestry.zarr_documents.nczarr import netcdf_attributes, netcdf_dims, netcdf_document, of_netcdf
from manifestry.zarr_documents.packing import packing_issues
from manifestry.zarr_documents.v2_codecs import pipeline_from_v2, pipeline_to_v2
from manifestry.zarr_documents.v3 import lengths_from_json, names_from_json, object_from_json

__all__ = ["ArrayDocuments", "array_documents", "group_documents", "metadata_from_v2_documents"]

DIMENSIONS: Final = "_ARRAY_DIMENSIONS"


@dataclass(frozen=True, slots=True)
class ArrayDocuments:
    """An array in Zarr v2.

    Attributes
    ----------
    zarray, zattrs
        The two documents, as JSON values.
    fill_is_stored
        Whether ``zarray["fill_value"]`` is what missing chunks of the model read as.
    issues
        Attributes that have no place in the documents.
    """

    zarray: dict[str, Any]
    zattrs: dict[str, Any]
    fill_is_stored: bool
    issues: tuple[Issue, ...]


def array_documents(metadata: ArrayMetadata, where: str = "") -> ArrayDocuments:
    """The documents of an array.

    Parameters
    ----------
    where
        Path of the array, for errors and issues.

    Raises
    ------
    UnsupportedFeatureError
        A codec, the grid or the data type has no exact form; names it.
    """
    if isinstance(metadata.chunk_grid, RectilinearGrid):
        raise UnsupportedFeatureError("rectilinear chunk grid in Zarr v2", where, "rewrite the array with equal chunks")
    pipeline = pipeline_to_v2(metadata, where)
    try:
        dtype = datatype_of(metadata.dtype).to_v2(pipeline.byteorder)
    except ManifestError as error:
        raise UnsupportedFeatureError(f"data type {metadata.dtype} in Zarr v2", where, str(error)) from error
    masks = masks_to_v2(metadata.dtype, metadata.attributes, where, pipeline.byteorder)
    fill = None if masks.element is None else datatype_of(metadata.dtype).fill_to_v2(masks.element)
    stored = fill is not None and datatype_of(metadata.dtype).same(
        fill_from_v2(metadata.dtype, fill), metadata.fill_value
    )
    attributes = {k: v for k, v in without_masks(metadata.attributes).items() if k != DIMENSIONS}
    zattrs, issues = array_attributes_to_json(attributes, where)
    zattrs |= masks.attributes
    if metadata.dims is not None:  # of a scalar an empty list: xarray opens nothing that has none
        zattrs = {DIMENSIONS: list(metadata.dims), **zattrs}
    zarray = {
        "zarr_format": 2,
        "shape": list(metadata.shape),
        "chunks": list(metadata.chunk_shape),
        "dtype": dtype,
        "compressor": pipeline.compressor,
        "fill_value": fill,
        "order": pipeline.order,
        "filters": list(pipeline.filters) or None,
        "dimension_separator": ".",
    }
    return ArrayDocuments(zarray, zattrs, stored, (*issues, *masks.issues, *packing_issues(metadata, where)))


def _codecs(zarray: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    """The filters and the compressor of a ``.zarray``.

    Raises
    ------
    ManifestError
        One of them is not what the specification says ("Filters", "compressor").
    """
    filters, compressor = zarray.get("filters"), zarray.get("compressor")
    if not isinstance(filters, list | tuple | None):
        raise ManifestError(f"{where}: filters are {filters!r:.100}, and must be a list of objects, or null")
    steps = [*(filters or ()), *([] if compressor is None else [compressor])]
    for step in steps:
        if not isinstance(step, Mapping) or not isinstance(step.get("id"), str):
            what = "compressor" if step is compressor else "filter"
            raise ManifestError(f"{where}: the {what} is {step!r:.100}, and must be an object with the text 'id'")
    return steps


def _element_or_as_given(dtype: np.dtype[Any], given: Any) -> Any:
    try:
        return fill_from_v2(dtype, given)
    except ManifestError:
        return given


def group_documents(attributes: Attributes, where: str = "") -> tuple[dict[str, Any], dict[str, Any], list[Issue]]:
    """``.zgroup`` and ``.zattrs`` of a group, and the attributes that have no place in them."""
    zattrs, issues = attributes_to_json(attributes, where)
    return {"zarr_format": 2}, zattrs, issues


def metadata_from_v2_documents(
    zarray: Mapping[str, Any], zattrs: Mapping[str, Any] | None = None, where: str = ""
) -> ArrayMetadata:
    """The model of an array from its documents.

    A ``fill_value`` becomes the ``_FillValue`` attribute as well, since that is how xarray reads version 2; netCDF-C
    writes it whether or not there is that attribute, and keeps the attribute too.

    Raises
    ------
    UnsupportedFeatureError
        A codec has no form in the model.
    ManifestError
        The document is no ``.zarray``.
    """
    try:
        if zarray.get("zarr_format") != 2:
            raise ManifestError(f"{where}: zarr_format is {zarray.get('zarr_format')!r}, and must be 2 in a .zarray")
        steps = _codecs(zarray, where)
        objects = next((step["id"] for step in steps if step["id"].startswith("vlen-")), "")
        dtype, byteorder = dtype_from_v2(zarray["dtype"], objects)
        given = object_from_json(zattrs)
        zarray, attributes = netcdf_document(zarray, given), netcdf_attributes(given)
        if zarray.get("order", "C") not in ("C", "F"):
            raise ManifestError(f"{where}: order is {zarray['order']!r}, and must be 'C' or 'F' in a .zarray")
        shape = lengths_from_json(zarray["shape"], 0)
        chunks = tuple(max(1, n) for n in lengths_from_json(zarray["chunks"], 0))  # 0: empty dimensions, zarr-python 2
        named = attributes.pop(DIMENSIONS, None)
        dims = names_from_json(netcdf_dims(zarray, given) if named is None or not shape else named)
        fill = fill_from_v2(dtype, zarray["fill_value"])
        if zarray["fill_value"] is not None and (FILL_ATTRIBUTE in given or not of_netcdf(given)):
            attributes[FILL_ATTRIBUTE] = fill
        elif FILL_ATTRIBUTE in attributes:
            attributes[FILL_ATTRIBUTE] = _element_or_as_given(dtype, attributes[FILL_ATTRIBUTE])
        codecs = pipeline_from_v2(zarray, dtype, byteorder, where)
        return ArrayMetadata(
            shape=shape,
            dtype=dtype,
            chunk_grid=RegularGrid(chunks),
            codecs=codecs,
            fill_value=fill,
            dims=dims,
            attributes=attributes,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{where}: the documents are not those of a Zarr v2 array: {error!r}") from error
