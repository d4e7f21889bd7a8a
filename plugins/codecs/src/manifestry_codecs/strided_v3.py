"""Pieces at equal distances in Zarr v3 pipelines."""

from __future__ import annotations

from manifestry_codecs import strided
from manifestry_codecs.zarr_v3 import BytesToBytes

__all__ = ["Strided"]


class Strided(BytesToBytes, numcodec=strided.Strided):
    """See `strided.Strided`."""
