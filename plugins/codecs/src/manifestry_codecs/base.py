"""What the codecs share: the numcodecs interface, reduced to one method to write."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numcodecs
import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ensure_ndarray_like, ndarray_copy
from numpy.typing import NDArray

__all__ = [
    "ArrayCodec",
    "BytesCodec",
    "ClientDataCodec",
    "DecodeError",
    "ObjectsCodec",
    "inner_codec",
    "plain_integers",
    "positive_integer",
]


class DecodeError(ValueError):
    """A chunk is not what the codec would have encoded."""


class _ReadingCodec(Codec):  # type: ignore[misc]
    """A codec of archives that exist: it decodes; few encode."""

    def encode(self, buf: Any) -> Any:  # noqa: ARG002 the interface of numcodecs
        """Refused: virtual stores are read, and new data has better codecs.

        Raises
        ------
        TypeError
            Always, where a codec does not override it.
        """
        raise TypeError(f"{self.codec_id} decodes only")


class BytesCodec(_ReadingCodec):
    """A codec from bytes to bytes.

    Subclasses set `codec_id`, keep their configuration as public attributes of the same names, and write
    `decode_bytes`.
    """

    @abstractmethod
    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The decoded bytes of an encoded chunk, both of shape ``(n,)``."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The numcodecs interface; see `decode_bytes`."""
        decoded = self.decode_bytes(ensure_contiguous_ndarray(buf).view("u1").reshape(-1))
        return decoded if out is None else ndarray_copy(decoded, out)


class ClientDataCodec(BytesCodec):
    """A filter whose client data says what chunks are.

    Parameters
    ----------
    client_data
        The client data of the filter.
    """

    def __init__(self, client_data: Sequence[int]) -> None:
        self.client_data = plain_integers(client_data)

    def decoded_size(self) -> int | None:
        """Bytes of a decoded chunk, or None where the client data does not say.

        Raises
        ------
        DecodeError
            The filter cannot decode anything with this client data.
        """
        return None


class ArrayCodec(_ReadingCodec):
    """A codec from an array to bytes: decoding gives elements in native byte order. Subclasses write `decode_array`."""

    @abstractmethod
    def decode_array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The elements of an encoded chunk; the caller gives them their shape."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The numcodecs interface; see `decode_array`.

        Raises
        ------
        DecodeError
            `out` is for elements of another type or byte order; it may be for bytes.
        """
        decoded = self.decode_array(ensure_contiguous_ndarray(buf).view("u1").reshape(-1))
        if out is None:
            return decoded
        wanted = ensure_ndarray_like(out).dtype
        if wanted.itemsize > 1 and wanted != decoded.dtype:
            raise DecodeError(f"{self.codec_id}: the elements have the type {decoded.dtype}, expected {wanted}")
        return ndarray_copy(decoded, out)


class ObjectsCodec(_ReadingCodec):
    """A codec from an array of objects to another of the same shape. Subclasses write `decode_objects`."""

    @abstractmethod
    def decode_objects(self, data: NDArray[Any]) -> NDArray[Any]:
        """The decoded elements of a chunk."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The numcodecs interface; see `decode_objects`.

        Raises
        ------
        DecodeError
            `out` has another shape.
        """
        decoded = self.decode_objects(np.asarray(buf, object))
        if out is None:
            return decoded
        if np.shape(out) != decoded.shape:
            raise DecodeError(f"{self.codec_id}: the elements have the shape {decoded.shape}, expected {np.shape(out)}")
        out[...] = decoded
        return out


def inner_codec(configuration: Mapping[str, Any]) -> Codec:
    """A codec that another one has in its configuration.

    Raises
    ------
    ValueError
        It is ``pickle``: decoding would run what a chunk says, and chunks come from anywhere.
    """
    if configuration.get("id") == "pickle":
        raise ValueError("the codec 'pickle' runs what a chunk says: it is refused")
    return numcodecs.get_codec(dict(configuration))


def plain_integers(values: Sequence[int]) -> list[int]:
    """A configuration entry that is a list of integers, as plain ``int`` so that it is JSON."""
    return [int(value) for value in values]


def positive_integer(name: str, value: int) -> int:
    """A configuration entry that counts something.

    Raises
    ------
    ValueError
        It is less than one.
    """
    if int(value) < 1:
        raise ValueError(f"{name} is {value}: must be at least 1")
    return int(value)
