"""The codec of `chains` in Zarr v3 pipelines."""

from __future__ import annotations

from manifestry_codecs import numcodecs_chain as chains
from manifestry_codecs.zarr_v3 import ToArray

__all__ = ["Numcodecs"]


class Numcodecs(ToArray, numcodec=chains.Numcodecs):
    """See `chains.Numcodecs`."""
