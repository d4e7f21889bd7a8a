"""Whether the bytes of two arrays mean the same: decided by what decodes them, not by what once encoded them.

Compared are data types, dimensions, codecs without the parameters that only an encoder needs, what missing chunks read
as where there are any, and the attributes that change what values mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from manifestry.combine.compatibility.meaning import GRID_MAPPING, nearest
from manifestry.combine.compatibility.ranges import same_numbers
from manifestry.combine.compatibility.spellings import mean_the_same
from manifestry.model.attributes import Attributes, value_to_json, values_equal
from manifestry.model.codecs import Codec, codec_entry
from manifestry.model.datatypes import same_bits
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray

__all__ = [
    "MEANING",
    "Aspect",
    "Difference",
    "bounds_of",
    "decoding_codecs",
    "differences",
    "inherited_attributes",
    "places_values",
    "same_attribute",
    "units_of",
]

MEANING: Final = frozenset(
    {
        "_Encoding", "_FillValue", "_Unsigned", "add_offset", "calendar", "dtype", "flag_masks", "flag_meanings",
        "flag_values", "grid_mapping", "leap_month", "leap_year", "missing_value", "month_lengths", "positive",
        "scale_factor", "units", "units_metadata", "valid_max", "valid_min", "valid_range",
    }
)  # fmt: skip
"""Attributes that say what the stored values mean: the CF conventions, ``_Encoding`` and ``_Unsigned`` of the netCDF
users' guide, and ``dtype``, by which xarray marks booleans and time differences that are stored as integers."""

_GEOREFERENCE: Final = ("proj:", "spatial:")
"""Prefixes of attributes that say where on Earth values are (GeoZarr)."""


class Aspect(StrEnum):
    """What may differ between two arrays, as messages call it."""

    DATA_TYPE = "the data type"
    DIMENSIONS = "the list of dimensions"
    SHAPE = "the shape"
    CODECS = "the codec pipeline"
    CHUNKS = "the chunk shape"
    FILL_VALUE = "what missing chunks read as"
    ATTRIBUTE = "the attribute"


_STORAGE: Final = frozenset({Aspect.CODECS, Aspect.CHUNKS, Aspect.FILL_VALUE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One respect in which an array does not decode like the first one.

    Attributes
    ----------
    aspect
        What differs.
    attribute
        Name of the attribute that differs; ``""`` for other aspects.
    first, other
        What the first array has, and what this one has.
    """

    aspect: Aspect
    attribute: str = ""
    first: Any
    other: Any

    @property
    def subject(self) -> str:
        """What differs, in words."""
        return f"{self.aspect} {self.attribute}" if self.attribute else str(self.aspect)

    @property
    def only_storage(self) -> bool:
        """Whether it concerns how values are stored, not what they are."""
        return self.aspect in _STORAGE

    def __str__(self) -> str:
        return f"{self.subject} is {_shorten(self.other)} instead of {_shorten(self.first)}"


def _shorten(value: Any) -> str:
    text = "not set" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 200 else text[:200] + "…"


def decoding_codecs(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """The codecs without the parameters that do not matter for decoding."""
    return tuple(_decoding_codec(codec) for codec in codecs)


def _decoding_codec(codec: Codec) -> Codec:
    entry = codec_entry(codec.name)
    unimportant = frozenset() if entry is None else entry.encode_only
    kept = {key: value for key, value in codec.configuration.items() if key not in unimportant}
    if codec.name == "sharding_indexed":
        for part in ("codecs", "index_codecs"):
            inner = (Codec(c["name"], c.get("configuration") or {}) for c in kept.get(part, ()))
            kept[part] = [c.to_zarr() for c in decoding_codecs(tuple(inner))]
    return Codec(codec.name, kept)


def differences(
    first: VirtualArray,
    other: VirtualArray,
    axis: int | None,
    inherited: tuple[Attributes, Attributes] = ({}, {}),
    *,
    values_only: bool = False,
) -> list[Difference]:
    """In what `other` decodes differently from `first`.

    Parameters
    ----------
    axis
        The dimension along which they may have different lengths and chunk lengths, or None.
    inherited
        Attributes that each has from the variable it describes the bounds of (see `inherited_attributes`).
    values_only
        The values are read and encoded again: codecs, chunks and fill values do not matter.
    """
    a, b = first.metadata, other.metadata
    if a is b and inherited[0] == inherited[1]:
        return []
    found = []
    if a.dtype != b.dtype:
        found.append(Difference(aspect=Aspect.DATA_TYPE, first=a.dtype, other=b.dtype))
    if a.dims != b.dims:
        found.append(Difference(aspect=Aspect.DIMENSIONS, first=a.dims, other=b.dims))
    if len(a.shape) != len(b.shape) or any(
        m != n for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=False)) if i != axis
    ):
        found.append(Difference(aspect=Aspect.SHAPE, first=a.shape, other=b.shape))
    elif not values_only:
        found += _storage_differences(first, other, axis)
    attributes = (_all_attributes(a, inherited[0]), _all_attributes(b, inherited[1]))
    return found + _meaning_differences(*attributes, (a.dtype, b.dtype))


def _all_attributes(metadata: ArrayMetadata, inherited: Attributes) -> Attributes:
    return {**inherited, **metadata.attributes} if inherited else metadata.attributes


def _storage_differences(first: VirtualArray, other: VirtualArray, axis: int | None) -> list[Difference]:
    a, b = first.metadata, other.metadata
    found = []
    if a.codecs != b.codecs and decoding_codecs(a.codecs) != decoding_codecs(b.codecs):
        found.append(Difference(aspect=Aspect.CODECS, first=_pipeline(a), other=_pipeline(b)))
    if _chunks_across(a, axis) != _chunks_across(b, axis):
        found.append(Difference(aspect=Aspect.CHUNKS, first=_chunks(a), other=_chunks(b)))
    if not same_bits(a.fill_value, b.fill_value) and other.manifest.stored_count < other.manifest.size:
        found.append(Difference(aspect=Aspect.FILL_VALUE, first=a.fill_value, other=b.fill_value))
    return found


def _pipeline(metadata: ArrayMetadata) -> str:
    return " → ".join(f"{c.name}{dict(c.configuration) or ''}" for c in metadata.codecs)


def _chunks(metadata: ArrayMetadata) -> Any:
    grid = metadata.chunk_grid
    return grid.chunk_shape if isinstance(grid, RegularGrid) else grid.edges


def _chunks_across(metadata: ArrayMetadata, axis: int | None) -> list[Any]:
    """The chunk lengths along all dimensions but `axis`."""
    return [n for i, n in enumerate(_chunks(metadata)) if i != axis]


def _meaning_differences(a: Attributes, b: Attributes, dtypes: tuple[np.dtype[Any], np.dtype[Any]]) -> list[Difference]:
    if a is b:
        return []
    names = a.keys() | b.keys()
    if not names & GRID_MAPPING:  # of grid mapping variables every attribute matters
        names = {name for name in names if name in MEANING or name.startswith(_GEOREFERENCE)}
    return [
        Difference(aspect=Aspect.ATTRIBUTE, attribute=name, first=a.get(name), other=b.get(name))
        for name in sorted(names)
        if not (name in a and name in b and same_attribute(a[name], b[name]) and same_numbers(name, a, b))
        and not mean_the_same(name, a, b, dtypes)
    ]


def places_values(name: str) -> bool:
    """Whether an attribute of a group or array says where on Earth its values are."""
    return name.startswith(_GEOREFERENCE)


def same_attribute(a: Any, b: Any) -> bool:
    """Whether two attribute values are equal, also where one of them has been through JSON and has lost its type."""
    if a is b or (type(a) is type(b) is str and a == b) or values_equal(a, b):
        return True
    try:
        return bool(_scalar_to_json(a) == _scalar_to_json(b))
    except (TypeError, ValueError):
        return False


def _scalar_to_json(value: Any) -> Any:
    single = isinstance(value, np.ndarray | list | tuple) and np.size(np.asarray(value)) == 1
    return value_to_json(np.asarray(value).reshape(-1)[0] if single else value)


def inherited_attributes(arrays: Mapping[str, VirtualArray]) -> dict[str, Attributes]:
    """What bounds variables have from the variables they belong to: their units and calendar.

    Source: CF conventions 7.1, "Cell Boundaries": a boundary variable needs no units of its own.
    """
    inherited: dict[str, Attributes] = {}
    for bounds, path in bounds_of(arrays).items():
        inherited[bounds] = units_of(arrays[path].attributes)
    return inherited


def units_of(attributes: Mapping[str, Any]) -> Attributes:
    """What the bounds of a variable have from its attributes."""
    return {name: attributes[name] for name in ("units", "calendar") if name in attributes}


def bounds_of(arrays: Mapping[str, VirtualArray]) -> dict[str, str]:
    """Paths of bounds variables, each with that of the variable it belongs to."""
    found: dict[str, str] = {}
    for path, array in arrays.items():
        attributes = array.metadata.attributes
        for link in ("bounds", "climatology"):
            name = attributes.get(link) if link in attributes else None
            bounds = nearest(path.rpartition("/")[0], name, arrays.keys()) if isinstance(name, str) else None
            if bounds is not None:
                found[bounds] = path
    return found
