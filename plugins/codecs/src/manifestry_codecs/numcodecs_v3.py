"""The codec of `numcodecs_chain` in Zarr v3 pipelines."""

from __future__ import annotations

from manifestry_codecs import numcodecs_chain
from manifestry_codecs.zarr_v3 import ToArray

__all__ = ["Numcodecs"]


class Numcodecs(ToArray, numcodec=numcodecs_chain.Numcodecs):
    """See `numcodecs_chain.Numcodecs`."""
