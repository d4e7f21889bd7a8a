"""The codecs of `tiff` in Zarr v3 pipelines."""

from __future__ import annotations

from manifestry_codecs import tiff
from manifestry_codecs.zarr_v3 import BytesToBytes, ToArray

__all__ = ["BitOrder", "ComplexInteger", "HorizontalDifference", "Lerc", "Trim"]


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
