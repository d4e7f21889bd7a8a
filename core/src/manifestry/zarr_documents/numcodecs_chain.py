"""Codecs of Zarr v2 that have no name in Zarr v3, carried there as they are.

Any package may register codecs with numcodecs, and Zarr v2 knows them by their ids: the kerchunk package does so for
GRIB messages and the tables of FITS. In Zarr v3 the codec ``manifestry.numcodecs`` (PyPI ``manifestry-codecs``) has the
whole chain of such an array, word for word, and decodes it as readers of version 2 do. Back in version 2 the chain is
what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from typing import Any

import numpy as np

from manifestry.errors import ManifestError, UnsupportedFeatureError
from manifestry.model.codecs import CHAIN, CHAIN_PACKAGES, Codec, codec_of_v2
from manifestry.model.datatypes import dtype_from_v2, stored_dtype

__all__ = ["chain_from_v2", "chain_steps", "distributions", "elements_fit", "stored_order"]


def chain_from_v2(document: Mapping[str, Any], where: str = "") -> Codec:
    """The codecs of a ``.zarray`` as one codec of Zarr v3.

    Raises
    ------
    UnsupportedFeatureError
        A codec is not known here, is not to be trusted, or gives elements of another type than the array has.
    """
    filters = [dict(step) for step in document.get("filters") or ()]
    compressor = dict(document["compressor"]) if document.get("compressor") else None
    stored = document["dtype"]
    if stored == "|O":
        raise UnsupportedFeatureError(f"objects encoded by {[step.get('id') for step in filters]}", where)
    steps = _steps(filters, compressor)
    for step in steps:
        _codec(step, where)
    gives = _decoded_type(steps[0])
    if gives is not None and gives != stored_dtype(stored):
        raise UnsupportedFeatureError(
            f"filter {steps[0]['id']} that decodes to {gives.str!r} in an array of {stored!r}", where
        )
    return Codec(CHAIN, {"filters": filters, "compressor": compressor, "dtype": stored})


def elements_fit(steps: Sequence[Mapping[str, Any]], stored: np.dtype[Any]) -> bool:
    """Whether each filter of numbers gives elements of the type of the step before it, the first of the array's.

    Zarr v2 takes the bytes that a filter gives for elements of the next type, whatever they are; Zarr v3 converts them.

    Parameters
    ----------
    stored
        The data type of the array, in its stored byte order.
    """
    current = stored
    for step in steps:
        gives = _decoded_type(step)
        if gives is None:
            continue
        entry = codec_of_v2(str(step["id"]))
        takes = gives if entry is None else np.dtype(step.get(entry.encoded_option) or gives)
        if gives != current or (takes != gives and entry is not None and entry.converts_unseen):
            return False
        current = takes
    return True


def _decoded_type(step: Mapping[str, Any]) -> np.dtype[Any] | None:
    """The data type that a filter gives back, None where that is what it takes."""
    entry = codec_of_v2(str(step.get("id")))
    if entry is None or not (entry.decoded_option or entry.decoded_type):
        return None
    return np.dtype(entry.decoded_type or str(step[entry.decoded_option]))


def chain_steps(codec: Codec) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """``filters`` and ``compressor`` of the ``.zarray`` that a chain comes from.

    Raises
    ------
    ManifestError
        The configuration is none of a chain.
    """
    filters, compressor = codec.configuration.get("filters"), codec.configuration.get("compressor")
    if not isinstance(filters, Sequence) or not isinstance(compressor, Mapping | None):
        raise ManifestError(
            f"{CHAIN}: the configuration {dict(codec.configuration)!r:.200} must have a list of filters and a compressor"
        )
    return [dict(step) for step in filters], None if compressor is None else dict(compressor)


def stored_order(codec: Codec) -> str:
    """``"<"`` or ``">"``: the byte order of the elements of a chain."""
    return dtype_from_v2(codec.configuration.get("dtype"))[1]


def distributions(chain: Codec) -> Iterator[str]:
    """The distributions beyond numcodecs that have the codecs of a chain, as they are installed here."""
    for step in _steps(*chain_steps(chain)):
        package = type(_codec(step, "")).__module__.partition(".")[0]
        if package != "numcodecs":
            yield from _owners().get(package, ())
        yield from CHAIN_PACKAGES.get(str(step["id"]), ())


@cache
def _owners() -> Mapping[str, Sequence[str]]:
    """The distributions of every package that is installed; looks at all of them."""
    return packages_distributions()


def _steps(filters: Sequence[dict[str, Any]], compressor: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [*filters, *([] if compressor is None else [compressor])]


def _codec(step: Mapping[str, Any], where: str) -> Any:
    """The codec of a step: only those that can be had are understood, others could mean anything."""
    import numcodecs  # noqa: PLC0415 only for codecs without a name in Zarr v3
    import numcodecs.registry  # noqa: PLC0415 as above

    name = step.get("id")
    if name == "pickle":
        raise UnsupportedFeatureError("filter 'pickle'", where, "decoding it would run what the chunk says")
    try:
        return numcodecs.registry.get_codec(dict(step))
    except (ValueError, TypeError, ImportError) as error:
        hint = "install the package that registers it with numcodecs (kerchunk has those of GRIB and FITS)"
        raise UnsupportedFeatureError(f"filter {name!r}", where, f"{error}; {hint}") from error
