"""The external types of the format: ``nc_type`` and the default fill values.

Source: NetCDF Classic Format Specification, "nc_type" and "Note on fill values"; the CDF-5 additions of PnetCDF.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from manifestry.plugin import Codec, serializer

__all__ = ["EXTERNAL_TYPES", "NC_CHAR", "ExternalType"]

NC_CHAR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalType:
    """One ``nc_type``.

    Attributes
    ----------
    name
        Its name in the specification.
    stored
        The dtype of the bytes in the file, big-endian.
    native
        The same in native byte order.
    codec
        The codec that reads it.
    fill
        The default fill value, a scalar of `native`.
    """

    name: str
    stored: np.dtype[Any]
    native: np.dtype[Any]
    codec: Codec
    fill: Any


def _external(name: str, code: str, fill: float | bytes) -> ExternalType:
    native = np.dtype(code)
    return ExternalType(
        name=name,
        stored=native.newbyteorder(">"),
        native=native,
        codec=serializer(native, "big"),
        fill=np.array(fill, native)[()],
    )


EXTERNAL_TYPES: Final = {
    1: _external("NC_BYTE", "i1", -127),
    NC_CHAR: _external("NC_CHAR", "S1", b""),
    3: _external("NC_SHORT", "i2", -32767),
    4: _external("NC_INT", "i4", -2147483647),
    5: _external("NC_FLOAT", "f4", 9.9692099683868690e36),
    6: _external("NC_DOUBLE", "f8", 9.9692099683868690e36),
    7: _external("NC_UBYTE", "u1", 255),
    8: _external("NC_USHORT", "u2", 65535),
    9: _external("NC_UINT", "u4", 4294967295),
    10: _external("NC_INT64", "i8", -9223372036854775806),
    11: _external("NC_UINT64", "u8", 18446744073709551614),
}
"""By the number in the header."""
