"""Whether the elements of an output are those of its sources."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.times import NOT_COUNTED, Times, TimeUnit, is_time as is_time_unit
from manifestry.errors import UnsupportedFeatureError, translated
from manifestry.formats.plugin_errors import PluginCall
from manifestry.model.attributes import Attributes, attributes_to_json
from manifestry.model.datatypes import is_float, is_inexact, is_number, is_text, is_time
from manifestry.model.tree import VirtualArray
from manifestry.verification.correspondence import Counterpart, Part

__all__ = ["DECODING", "identical", "matches"]

type Values = NDArray[Any]

DECODING: Final = (
    "units", "calendar", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "_Encoding", "dtype",
)  # fmt: skip
"""Attributes by which xarray decodes elements (CF conventions, "Packed data" and "Time coordinate")."""

_ROUNDING: Final = 1e-12  # relative: of decoding what was packed with another scale


def matches(found: Values, attributes: Attributes, counterpart: Counterpart) -> bool:
    """Whether the elements of a chunk are those of its counterpart in the sources.

    They are compared bit by bit. Only where a chunk was copied, and the attributes that say what its elements mean are
    not those of the source, is their meaning compared instead.

    Raises
    ------
    SourceError, PluginError
        A source cannot be read.
    UnsupportedFeatureError
        Meanings are to be compared, and xarray is not installed.
    """
    read = [part.origin.read(part.path, part.region) for part in counterpart.parts]
    meanings = [_attributes_of(part) for part in counterpart.parts]
    encodings = {values.dtype for values in read} | {found.dtype}
    decoding = _decoding_attributes(attributes)
    if not counterpart.copied or (len(encodings) == 1 and all(_decoding_attributes(m) == decoding for m in meanings)):
        return identical(found, _join(read, counterpart.axis))
    if all(
        is_time_unit(meaning) and not any(name in meaning for name in NOT_COUNTED)
        for meaning in (attributes, *meanings)
    ):
        with translated(ValueError, UnsupportedFeatureError):
            return _same_times(found, attributes, list(zip(read, meanings, strict=True)), counterpart.axis)
    decoded = [_decode(values, meaning) for values, meaning in zip(read, meanings, strict=True)]
    return _equal(_decode(found, attributes), _join(decoded, counterpart.axis))


def _same_times(found: Values, attributes: Attributes, parts: list[tuple[Values, Attributes]], axis: int) -> bool:
    """Whether stored numbers are the times of the sources, to the nanosecond."""
    epoch = TimeUnit.of(attributes).epoch
    mine, theirs = Times.of(found, attributes, epoch), [Times.of(*part, epoch) for part in parts]
    ticks, missing = (_join([getattr(one, name) for one in theirs], axis) for name in ("ticks", "missing"))
    return mine.ticks.shape == ticks.shape and bool((mine.ticks == ticks).all() and (mine.missing == missing).all())


def _join(parts: list[Values], axis: int) -> Values:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def _attributes_of(part: Part) -> Attributes:
    node = part.origin.tree[part.path]
    assert isinstance(node, VirtualArray)
    return {**part.origin.inherited.get(part.path, {}), **node.attributes}


def _decoding_attributes(attributes: Attributes) -> dict[str, Any]:
    return attributes_to_json({name: attributes[name] for name in DECODING if name in attributes})[0]


def _decode(values: Values, attributes: Attributes) -> Values:
    """What elements mean, by xarray."""
    try:
        import xarray as xr  # noqa: PLC0415 an optional dependency
    except ImportError as error:
        raise UnsupportedFeatureError("comparing copies that were encoded again", "", "pip install xarray") from error
    plain = {name: attributes[name] for name in DECODING if name in attributes}
    with PluginCall("decoding by the CF conventions"):
        variable = xr.Variable([f"dim_{i}" for i in range(values.ndim)], values, plain)
        return np.asarray(xr.conventions.decode_cf_variable("values", variable, decode_timedelta=False))


def _equal(one: Values, other: Values) -> bool:
    if is_float(one.dtype) and is_float(other.dtype):
        return one.shape == other.shape and bool(np.allclose(one, other, rtol=_ROUNDING, atol=0, equal_nan=True))
    if is_time(one.dtype) and one.dtype.type is other.dtype.type:
        return one.shape == other.shape and bool(((one == other) | (np.isnat(one) & np.isnat(other))).all())
    return one.shape == other.shape and bool(np.array_equal(one, other))


def identical(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays hold the same bits; NaN equals NaN, and byte order and padding do not count."""
    if found.shape != expected.shape:
        return False
    if found.dtype.names is not None and expected.dtype.names is not None:
        return len(found.dtype.names) == len(expected.dtype.names) and all(
            identical(found[a], expected[b]) for a, b in zip(found.dtype.names, expected.dtype.names, strict=True)
        )
    if is_text(found.dtype) or is_text(expected.dtype):
        return [_as_bytes(v) for v in found.ravel().tolist()] == [_as_bytes(v) for v in expected.ravel().tolist()]
    one, other = (np.ascontiguousarray(a.astype(a.dtype.newbyteorder("="), copy=False)) for a in (found, expected))
    both_numbers = is_number(one.dtype) and is_number(other.dtype)
    if one.dtype.itemsize != other.dtype.itemsize or (both_numbers and one.dtype.type is not other.dtype.type):
        return False
    if one.tobytes() == other.tobytes():
        return True
    return one.dtype == other.dtype and is_inexact(one.dtype) and _same_but_nan(one, other)


def _same_but_nan(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    parts = one.real.dtype
    width = np.dtype(f"u{parts.itemsize}") if parts.itemsize <= 8 else None
    a, b = one.reshape(-1).view(parts), other.reshape(-1).view(parts)
    equal = a == b if width is None else a.view(width) == b.view(width)
    return bool((equal | (np.isnan(a) & np.isnan(b))).all())


def _as_bytes(value: Any) -> Any:
    if isinstance(value, np.ndarray):  # a sequence that is an element
        return value.dtype.newbyteorder("=").str, value.astype(value.dtype.newbyteorder("=")).tobytes()
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value
