"""Arrays, groups and datasets, both ways.

The Zarr v3 document of an array is the common language. What VirtualiZarr has no place for is said in the docstrings:
sizes, entity tags and times of source files, and the types of attributes that JSON does not have.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import manifestry as mf
import numpy as np
import xarray as xr
import zarr
from manifestry.plugin import (
    Issue,
    ParseContext,
    RectilinearGrid,
    SourceFile,
    UnsupportedFeatureError,
    VirtualArray,
    VirtualGroup,
    canonical_url,
    documents_of,
    metadata_from_documents,
)
from virtualizarr.manifests import ManifestArray, ManifestGroup
from zarr.storage import MemoryStore, StorePath

from manifestry_virtualizarr.manifests import from_peer_manifest, to_peer_manifest

__all__ = ["convert_group", "from_dataset", "from_manifest_group", "to_manifest_group"]


def unknown_file(path: str) -> SourceFile:
    """A file of which nothing is known but its name."""
    return SourceFile(canonical_url(path))


def to_manifest_group(tree: VirtualGroup) -> ManifestGroup:
    """A tree as a VirtualiZarr ManifestGroup: ``to_virtual_dataset()`` of that gives a virtual dataset.

    Attributes take the form that they have in Zarr JSON; a `UserWarning` names those that have none. Sizes, entity tags
    and times of the source files are lost, since VirtualiZarr keeps none.

    Raises
    ------
    UnsupportedFeatureError
        An array has a rectilinear chunk grid, or is in a file whose URL VirtualiZarr cannot express.
    """
    return _to_group(tree, "")


def _to_group(group: VirtualGroup, prefix: str) -> ManifestGroup:
    documents = documents_of(group, prefix.rstrip("/"))
    _warn(documents.issues)
    return ManifestGroup(
        arrays={name: _to_array(array, prefix + name) for name, array in group.arrays.items()},
        groups={name: _to_group(child, f"{prefix}{name}/") for name, child in group.groups.items()},
        attributes=documents.json["zarr.json"]["attributes"],
    )


def _to_array(array: VirtualArray, path: str) -> ManifestArray:
    if isinstance(array.metadata.chunk_grid, RectilinearGrid):
        raise UnsupportedFeatureError("a rectilinear chunk grid in VirtualiZarr", path, "use a regular chunk grid")
    documents = documents_of(array.metadata, path)
    _warn(documents.issues)
    metadata: Any = zarr.Array.from_dict(StorePath(MemoryStore()), dict(documents.json["zarr.json"])).metadata
    try:
        return ManifestArray(metadata, to_peer_manifest(array.manifest))
    except UnsupportedFeatureError as error:
        raise UnsupportedFeatureError(error.feature, path, error.hint) from error


def _warn(issues: Iterable[Issue]) -> None:
    for issue in issues:
        warnings.warn(f"{issue.path}: {issue.feature}: {issue.message}", UserWarning, stacklevel=2)


def from_manifest_group(group: ManifestGroup, describe: Callable[[str], SourceFile] = unknown_file) -> VirtualGroup:
    """The tree of a VirtualiZarr ManifestGroup.

    Parameters
    ----------
    describe
        What is known of the file at a path of the manifests; by default nothing but its URL.

    Raises
    ------
    ManifestError
        A manifest or its metadata contradict themselves, or use what the model does not have.
    """
    return VirtualGroup(
        {name: _from_array(array, describe) for name, array in group.arrays.items()},
        groups={name: from_manifest_group(child, describe) for name, child in group.groups.items()},
        attributes=dict(group.metadata.attributes),
    )


def convert_group(
    group: ManifestGroup, context: ParseContext, describe: Callable[[str], SourceFile], prefix: str = ""
) -> VirtualGroup:
    """As `from_manifest_group`, the arrays that are wanted only; one that cannot be converted costs itself."""
    arrays = {}
    for name, array in group.arrays.items():
        if context.wants(prefix + name):
            with context.isolate(prefix + name):
                arrays[name] = _from_array(array, describe)
    groups = {
        name: convert_group(child, context, describe, f"{prefix}{name}/")
        for name, child in group.groups.items()
        if context.wants_group(prefix + name)
    }
    return VirtualGroup(arrays, groups=groups, attributes=dict(group.metadata.attributes))


def _from_array(
    array: ManifestArray, describe: Callable[[str], SourceFile], overrides: Mapping[str, Any] | None = None
) -> VirtualArray:
    document: dict[str, Any] = {**array.metadata.to_dict(), **(overrides or {})}
    document["codecs"] = json.loads(json.dumps(document["codecs"]))  # zarr keeps lists of JSON as tuples
    metadata = metadata_from_documents({"zarr.json": document})
    if np.issubdtype(metadata.dtype, np.inexact):  # zarr writes every NaN alike; the scalar that it holds has its bits
        metadata = metadata.with_(fill_value=array.metadata.fill_value)
    return VirtualArray(metadata, from_peer_manifest(array.manifest, describe))


def from_dataset(dataset: xr.Dataset, describe: Callable[[str], SourceFile] = unknown_file) -> VirtualGroup:
    """The tree of a virtual dataset that VirtualiZarr opened, combined or changed.

    Variables that were loaded are encoded and copied into the tree, as ``dataset.vz.to_icechunk`` would write them.

    Parameters
    ----------
    describe
        See `from_manifest_group`.
    """
    virtual = {}
    for name, variable in dataset.variables.items():
        if isinstance(variable.data, ManifestArray):
            attributes = {str(key): value for key, value in variable.attrs.items()}
            overrides = {"dimension_names": [str(dim) for dim in variable.dims], "attributes": attributes}
            virtual[str(name)] = _from_array(variable.data, describe, overrides)
    ours = mf.to_xarray(VirtualGroup(virtual)).variables
    coordinates = {name: variable for name, variable in ours.items() if name in dataset.coords}
    data = {name: variable for name, variable in ours.items() if name not in coordinates}
    whole = dataset.drop_vars(virtual).assign_coords(xr.Coordinates(coordinates, indexes={})).assign(data)
    tree: VirtualGroup = whole.manifestry.to_tree()
    return tree.with_(arrays={str(name): tree.arrays[str(name)] for name in dataset.variables})
