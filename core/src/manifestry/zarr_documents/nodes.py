"""The documents of one array or group, in the version of Zarr that is asked for, and the array that documents describe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from manifestry.issues import Issue
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.tree import VirtualGroup
from manifestry.zarr_documents.requirements import packages_of_v2, packages_of_v3
from manifestry.zarr_documents.v2 import array_documents, group_documents, metadata_from_v2_documents
from manifestry.zarr_documents.v3 import array_document, group_document, metadata_from_document

_DOCUMENTS_V2: Final = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata"})
"""Zarr storage specification version 2, "Arrays", "Groups", "Attributes"; and consolidated metadata."""

__all__ = ["Documents", "documents_of", "metadata_from_documents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What Zarr stores of an array or group.

    Attributes
    ----------
    json
        JSON values by the last part of their keys: ``zarr.json``, or ``.zarray``, ``.zgroup`` and ``.zattrs``.
    issues
        Attributes that have no place in the documents; of a group, children that have the names of documents.
    fill_is_stored
        Whether missing chunks read as the fill value of the model. Zarr v2 has one place for that value and for the one
        that is masked, and xarray takes it for the latter.
    packages
        Distributions that a reader needs beyond zarr.
    """

    json: Mapping[str, Any]
    issues: tuple[Issue, ...] = ()
    fill_is_stored: bool = True
    packages: frozenset[str] = frozenset()


def documents_of(node: ArrayMetadata | VirtualGroup, path: str = "", *, zarr_format: Literal[2, 3] = 3) -> Documents:
    """The documents of an array or group.

    Sources: Zarr storage specification version 2; Zarr core specification version 3, "Array metadata" and "Group
    metadata".

    Parameters
    ----------
    path
        Path of the node, for errors and issues.

    Raises
    ------
    UnsupportedFeatureError
        A codec, the grid or the data type has no exact form in Zarr v2.
    """
    if isinstance(node, VirtualGroup):
        return _group(node, path, zarr_format)
    if zarr_format == 3:
        document, issues = array_document(node, path)
        return Documents(json={"zarr.json": document}, issues=tuple(issues), packages=packages_of_v3(node))
    two = array_documents(node, path)
    return Documents(
        json={".zarray": two.zarray, ".zattrs": two.zattrs},
        issues=two.issues,
        fill_is_stored=two.fill_is_stored,
        packages=packages_of_v2(two.zarray, node),
    )


def _group(group: VirtualGroup, path: str, zarr_format: Literal[2, 3]) -> Documents:
    if zarr_format == 3:
        document, issues = group_document(group.attributes, path)
        return Documents(json={"zarr.json": document}, issues=tuple(issues))
    zgroup, zattrs, issues = group_documents(group.attributes, path)
    return Documents(json={".zgroup": zgroup, ".zattrs": zattrs}, issues=(*issues, *_reserved_names(group, path)))


def _reserved_names(group: VirtualGroup, path: str) -> Iterator[Issue]:
    """A refusal for each child that has the name of a document; of Zarr v3 no tree has one (`is_node_name`)."""
    for name in (*group.arrays, *group.groups):
        if name in _DOCUMENTS_V2:
            yield Issue(
                path=f"{path}/{name}".strip("/"),
                feature="reserved name",
                message=f"{name!r} is the name of a document of Zarr v2",
                hint="give it another name with tree.rename, or write Zarr v3",
            )


def metadata_from_documents(documents: Mapping[str, Mapping[str, Any]], path: str = "") -> ArrayMetadata:
    """The metadata of an array from its documents by name; where there are those of both versions, Zarr v3 counts.

    Raises
    ------
    ManifestError
        They do not describe an array.
    UnsupportedFeatureError
        They describe one that the model cannot express.
    """
    if "zarr.json" in documents:
        return metadata_from_document(documents["zarr.json"])
    return metadata_from_v2_documents(documents[".zarray"], documents.get(".zattrs"), path)
