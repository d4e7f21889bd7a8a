"""Variables that some sources lack, as missing chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manifestry.combine.hints import ConflictError, remedy
from manifestry.errors import ManifestError
from manifestry.model.attributes import values_equal
from manifestry.model.datatypes import as_element, is_inexact, is_time
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.tree import VirtualArray

__all__ = ["fill_value_for_missing", "filled_before", "missing_part"]


def missing_part(like: VirtualArray, axis: int, length: int) -> VirtualArray:
    """An array of which nothing is stored, as long as `length` along `axis` and otherwise as `like`."""
    shape = like.shape
    metadata = like.metadata.with_(shape=(*shape[:axis], length, *shape[axis + 1 :]))
    return VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape))


def fill_value_for_missing(path: str, first: VirtualArray, parts: Sequence[VirtualArray], gone: str) -> Any:
    """What missing chunks have to read as, so that readers see missing values where a source lacks the variable.

    That is ``_FillValue`` or ``missing_value``, or NaN or NaT without one. Chunks that are missing in a source read as
    that source's fill value, which then must be the same. `gone` names a source that lacks the variable.

    Raises
    ------
    IncompatibleArraysError
        No value means missing, or chunks that are missing already read as something else.
    """
    wanted = _missing_value(first.metadata)
    if wanted is None:
        raise ConflictError(
            f"{path}: is not in {gone}, and no value of {first.dtype} means missing: it has no _FillValue",
            [remedy("missing", "drop")],
        )
    for part in parts:
        sparse = part.manifest.stored_count < part.manifest.size
        if sparse and not values_equal(part.metadata.fill_value, wanted):
            raise ConflictError(
                f"{path}: chunks that are missing read as {part.metadata.fill_value}, and those of {gone}, which lacks the "
                f"variable, would have to read as {wanted}",
                [remedy("missing", "drop")],
            )
    return wanted


def filled_before(first: VirtualArray, parts: Sequence[VirtualArray]) -> bool:
    """Whether missing chunks were made to read as missing values when parts of `parts` were combined."""
    wanted = _missing_value(first.metadata)
    if wanted is None or values_equal(first.metadata.fill_value, wanted):
        return False
    return any(values_equal(part.metadata.fill_value, wanted) for part in parts)


def _missing_value(metadata: ArrayMetadata) -> Any:
    """What readers take for a missing value, None where there is nothing that they do."""
    given = next((metadata.attributes[n] for n in ("_FillValue", "missing_value") if n in metadata.attributes), None)
    if given is None:
        if is_time(metadata.dtype):
            return np.array("NaT", metadata.dtype)[()]
        return metadata.dtype.type(np.nan) if is_inexact(metadata.dtype) else None
    try:
        return as_element(metadata.dtype, np.asarray(given).reshape(-1)[0])
    except (IndexError, ManifestError):  # an empty attribute, or a number that no element can be
        return None
