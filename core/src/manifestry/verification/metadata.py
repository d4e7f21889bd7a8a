"""Whether an output says of its arrays and groups what their sources say: attributes, dimensions, data types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import Any, Final

from manifestry.model.attributes import attributes_to_json
from manifestry.model.datatypes import native
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.verification.report import Difference
from manifestry.verification.values import DECODING
from manifestry.zarr_documents.v3 import zarr_v3_attributes

__all__ = ["array_differences", "group_differences"]

_ABSENT: Final = "nothing"
_SHOWN: Final = 60  # characters of a value in a message


def array_differences(path: str, output: VirtualArray, source: VirtualArray, *, copied: bool) -> Iterator[Difference]:
    """What an array of the output says otherwise than the array of the source that its first chunk comes from.

    Parameters
    ----------
    path
        Of the array in the output.
    copied
        Whether its chunks are copies, which may be encoded differently: then what decodes them may differ, and values were
        compared by what they mean.
    """
    for name, found, expected in _different(*(_attributes(array, path) for array in (output, source))):
        yield Difference(
            path=path, what=f"attribute {name}", found=found, expected=expected, alters=name in DECODING and not copied
        )
    names, expected_names = (tuple(map(str, array.dims or ())) for array in (output, source))
    if names[len(names) - len(expected_names) :] != expected_names:  # a stack has one more in front
        yield Difference(path=path, what="dimensions", found=", ".join(names), expected=", ".join(expected_names))
    if native(output.dtype) != native(source.dtype):
        yield Difference(
            path=path, what="data type", found=str(output.dtype), expected=str(source.dtype), alters=not copied
        )


def group_differences(output: VirtualGroup, source: VirtualGroup) -> Iterator[Difference]:
    """What the groups of the output say otherwise than those of its first source, and the arrays they have not.

    Groups that only other sources have are passed.
    """
    own_paths = {path for path, _ in output.walk_arrays()}
    for path, _ in source.walk_arrays():
        if path not in own_paths:
            yield Difference(path=path, what="array", found="missing", expected="there")
    source_groups = dict(source.walk())
    for path, group in output.walk():
        if path in source_groups:
            both = (attributes_to_json(g.attributes)[0] for g in (group, source_groups[path]))
            for name, found, expected in _different(*both):
                yield Difference(path=path, what=f"attribute {name}", found=found, expected=expected)


def _attributes(array: VirtualArray, path: str) -> dict[str, Any]:
    return zarr_v3_attributes(array.metadata, path)[0]


def _different(output: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Names and both values, as text, of what is not the same as JSON."""
    for name in sorted({*output, *source}):
        found, expected = (
            json.dumps(side[name], sort_keys=True) if name in side else _ABSENT for side in (output, source)
        )
        if found != expected:
            yield name, shorten(found, _SHOWN), shorten(expected, _SHOWN)
