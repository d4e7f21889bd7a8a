"""Codecs of numcodecs that Zarr v3 has no names for, in the chain that Zarr v2 has them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numcodecs.compat import ensure_ndarray_like
from numpy.typing import NDArray

from manifestry_codecs.base import ArrayCodec, DecodeError, inner_codec

__all__ = ["Numcodecs"]

_PACKAGES: Final = {"grib": "kerchunk and eccodes"}
"""Where codecs come from that are met most; kerchunk has those of FITS and HDF5 too."""


class Numcodecs(ArrayCodec):
    """A chunk as Zarr v2 stores it: any codecs that are registered with numcodecs.

    The codecs are looked up when a chunk is decoded, so that an array whose codecs are not installed hides no other.

    Parameters
    ----------
    filters, compressor, dtype
        As in the ``.zarray`` document of the array: the configurations of the codecs in the order of encoding, and
        numpy's text for the data type (for records, a list of names and texts) with the byte order of the elements.
    """

    codec_id = "manifestry.numcodecs"

    def __init__(
        self, filters: Sequence[Mapping[str, Any]], compressor: Mapping[str, Any] | None, dtype: str | list[Any]
    ) -> None:
        self.filters = [dict(step) for step in filters]
        self.compressor = None if compressor is None else dict(compressor)
        self.dtype = dtype

    def decode_array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The elements in the order of memory, as zarr-python takes them from codecs of Zarr v2.

        Raises
        ------
        DecodeError
            A codec is not installed, or what it makes is not a whole number of elements of this type.
        """
        decoded: Any = data
        for step in reversed(self._steps()):
            decoded = _codec(step).decode(decoded)
        elements: NDArray[Any] = ensure_ndarray_like(decoded).reshape(-1, order="A")
        try:
            return elements.view(_data_type(self.dtype))
        except (ValueError, TypeError) as error:
            raise DecodeError(
                f"{self.codec_id}: the decoded bytes are not elements of {self.dtype}: {error}"
            ) from error

    def encode(self, buf: Any) -> Any:
        """The chunk as the codecs make it."""
        encoded: Any = np.asarray(buf).astype(_data_type(self.dtype), copy=False)
        for step in self._steps():
            encoded = _codec(step).encode(encoded)
        return np.ascontiguousarray(ensure_ndarray_like(encoded)).reshape(-1).view("u1")

    def _steps(self) -> list[dict[str, Any]]:
        return [*self.filters, *([] if self.compressor is None else [self.compressor])]


def _data_type(text: str | list[Any]) -> np.dtype[Any]:
    return np.dtype(text if isinstance(text, str) else [(name, _data_type(field)) for name, field in text])


def _codec(step: Mapping[str, Any]) -> Any:
    name = step.get("id")
    try:
        return inner_codec(step)
    except (ValueError, TypeError, ImportError) as error:
        package = _PACKAGES.get(str(name), "kerchunk, or the package that has it")
        raise DecodeError(f"numcodecs has no codec {name!r} here ({error}): install {package}") from error
