"""The codecs of `tiff` and `libtiff` in Zarr v3 pipelines."""

from __future__ import annotations

from manifestry_codecs import libtiff, tiff
from manifestry_codecs.zarr_v3 import BytesToBytes, ToArray

__all__ = ["BitOrder", "ComplexInteger", "HorizontalDifference", "Inflate", "Lerc", "Libtiff", "LogLuv", "Trim"]


class BitOrder(BytesToBytes, numcodec=tiff.BitOrder):
    """See `tiff.BitOrder`."""


class Trim(BytesToBytes, numcodec=tiff.Trim):
    """See `tiff.Trim`."""


class HorizontalDifference(BytesToBytes, numcodec=tiff.HorizontalDifference):
    """See `tiff.HorizontalDifference`."""


class Lerc(ToArray, numcodec=tiff.Lerc):
    """See `tiff.Lerc`."""


class ComplexInteger(ToArray, numcodec=tiff.ComplexInteger):
    """See `tiff.ComplexInteger`."""


class Inflate(BytesToBytes, numcodec=tiff.Inflate):
    """See `tiff.Inflate`."""


class Libtiff(ToArray, numcodec=libtiff.Libtiff):
    """See `libtiff.Libtiff`."""


class LogLuv(ToArray, numcodec=libtiff.LogLuv):
    """See `libtiff.LogLuv`."""
