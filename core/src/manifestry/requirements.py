"""What readers of an output have to install beyond zarr, by the data types and codecs in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from manifestry.model.datatypes import ARRAY_FIELD, has_array_fields
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.tree import VirtualGroup
from manifestry.zarr_v2.chains import CHAIN, distributions

__all__ = ["packages_of_v2", "reader_packages"]

_OF_V3: Final = {"imagecodecs_": "imagecodecs-zarr", "manifestry.": "manifestry-codecs"}
_OF_V2: Final = {"imagecodecs_": "imagecodecs-numcodecs", "manifestry.": "manifestry-codecs"}
"""Distributions by the beginning of the names of the codecs and data types that they have."""


def reader_packages(trees: Iterable[VirtualGroup]) -> tuple[str, ...]:
    """The distributions that readers of some trees as Zarr v3 need, sorted."""
    arrays = [array.metadata for tree in trees for _, array in tree.walk_arrays()]
    found = set(_owners((name for one in arrays for name in _names(one)), _OF_V3))
    return tuple(sorted(found.union(*map(_of_chains, arrays))))


def packages_of_v2(zarray: Mapping[str, Any], metadata: ArrayMetadata) -> set[str]:
    """The distributions that readers of an array need, whose ``.zarray`` is given, as Zarr v2."""
    steps = [*(zarray["filters"] or ()), *filter(None, [zarray["compressor"]])]
    return {*_owners((step["id"] for step in steps), _OF_V2), *_of_chains(metadata)}


def _owners(names: Iterable[str], known: Mapping[str, str]) -> Iterator[str]:
    return (package for name in names for prefix, package in known.items() if name.startswith(prefix))


def _of_chains(metadata: ArrayMetadata) -> Iterator[str]:
    for codec in metadata.codecs:
        if codec.name == CHAIN:
            yield from distributions(codec)


def _names(metadata: ArrayMetadata) -> Iterator[str]:
    if has_array_fields(metadata.dtype):
        yield ARRAY_FIELD
    for codec in metadata.codecs:
        yield codec.name
        for inner in codec.configuration.get("codecs", ()):  # sharding
            yield inner["name"]
