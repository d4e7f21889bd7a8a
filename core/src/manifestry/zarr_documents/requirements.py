"""What readers of an output have to install beyond zarr, by the data types and codecs in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from manifestry.model.codecs import CHAIN, codec_entry, codec_of_v2
from manifestry.model.datatypes import datatype_of
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.tree import VirtualGroup
from manifestry.zarr_documents.numcodecs_chain import distributions

__all__ = ["packages_of_v2", "packages_of_v3", "reader_packages"]


def reader_packages(trees: Iterable[VirtualGroup]) -> tuple[str, ...]:
    """The distributions that readers of some trees as Zarr v3 need, sorted."""
    arrays = [array.metadata for tree in trees for _, array in tree.walk_arrays()]
    return tuple(sorted(frozenset().union(*map(packages_of_v3, arrays))))


def packages_of_v3(metadata: ArrayMetadata) -> frozenset[str]:
    """The distributions that readers of an array need as Zarr v3."""
    packages = {entry.package for name in _names(metadata) if (entry := codec_entry(name)) is not None}
    return frozenset({*packages, datatype_of(metadata.dtype).package, *_of_chains(metadata)} - {""})


def packages_of_v2(zarray: Mapping[str, Any], metadata: ArrayMetadata) -> frozenset[str]:
    """The distributions that readers of an array need, whose ``.zarray`` is given, as Zarr v2."""
    steps = [*(zarray["filters"] or ()), *filter(None, [zarray["compressor"]])]
    packages = {entry.package_v2 for step in steps if (entry := codec_of_v2(step["id"])) is not None}
    return frozenset({*packages, *_of_chains(metadata)} - {""})


def _of_chains(metadata: ArrayMetadata) -> Iterator[str]:
    for codec in metadata.codecs:
        if codec.name == CHAIN:
            yield from distributions(codec)


def _names(metadata: ArrayMetadata) -> Iterator[str]:
    for codec in metadata.codecs:
        yield codec.name
        for inner in codec.configuration.get("codecs", ()):  # sharding
            yield inner["name"]
