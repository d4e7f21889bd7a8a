"""How a codec of `base` becomes one of zarr-python's Zarr v3 pipeline: the same name, the same configuration."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from manifestry_codecs import base

__all__ = ["ArrayToArray", "BytesToBytes", "ToArray"]


@dataclass(frozen=True)
class _Wrapped[D, E]:
    """What all have in common; `D` is what a decoded chunk is in, `E` an encoded one."""

    numcodec: ClassVar[type[Any]]
    is_fixed_size = False
    codec: Any

    def __init_subclass__(cls, numcodec: type[Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if numcodec is not None:
            cls.numcodec = numcodec

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The codec of a Zarr v3 metadata document."""
        return cls(cls.numcodec(**(data.get("configuration") or {})))

    def to_dict(self) -> dict[str, Any]:
        """The codec as Zarr v3 metadata."""
        configuration = dict(self.codec.get_config())
        return {"name": configuration.pop("id"), "configuration": configuration}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:  # noqa: ARG002 zarr's
        """Unknown before encoding: the number of bytes depends on the data."""
        raise TypeError(f"{self.codec.codec_id}: the encoded size of {input_byte_length} bytes depends on the data")

    @abstractmethod
    def _decode_sync(self, chunk_data: E, chunk_spec: ArraySpec) -> D:
        """The decoded chunk."""

    @abstractmethod
    def _encode_sync(self, chunk_data: D, chunk_spec: ArraySpec) -> E | None:
        """The encoded chunk."""

    async def _decode_single(self, chunk_data: E, chunk_spec: ArraySpec) -> D:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: D, chunk_spec: ArraySpec) -> E | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)


@dataclass(frozen=True)
class BytesToBytes(_Wrapped[Buffer, Buffer], BytesBytesCodec):
    """A `base.BytesCodec` in a Zarr v3 pipeline: ``class Name(BytesToBytes, numcodec=module.Name)``."""

    codec: base.BytesCodec

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        decoded = self.codec.decode_bytes(_octets(chunk_data))
        return chunk_spec.prototype.buffer.from_array_like(np.ascontiguousarray(decoded).view("u1").reshape(-1))

    def _encode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        encoded = self.codec.encode(chunk_data.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(bytes(encoded))


@dataclass(frozen=True)
class ToArray(_Wrapped[NDBuffer, Buffer], ArrayBytesCodec):
    """A `base.ArrayCodec` in a Zarr v3 pipeline: ``class Name(ToArray, numcodec=module.Name)``."""

    codec: base.ArrayCodec

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        decoded = self.codec.decode_array(_octets(chunk_data))
        wanted = chunk_spec.dtype.to_native_dtype()
        if decoded.dtype.newbyteorder("=") != wanted.newbyteorder("="):
            raise base.DecodeError(
                f"{self.codec.codec_id}: the elements have the type {decoded.dtype}, expected {wanted}"
            )
        if decoded.ndim > 1 and _lengths(decoded.shape) != _lengths(chunk_spec.shape):
            shapes = f"{decoded.shape}, expected {chunk_spec.shape}"
            raise base.DecodeError(f"{self.codec.codec_id}: the elements have the shape {shapes}")
        elements = decoded.astype(wanted, copy=False).reshape(chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(elements)

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        encoded = self.codec.encode(np.ascontiguousarray(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.buffer.from_bytes(bytes(encoded))


@dataclass(frozen=True)
class ArrayToArray(_Wrapped[NDBuffer, NDBuffer], ArrayArrayCodec):
    """A `base.ObjectsCodec` in a Zarr v3 pipeline: ``class Name(ArrayToArray, numcodec=module.Name)``."""

    codec: base.ObjectsCodec

    def _decode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        decoded = self.codec.decode_objects(np.asarray(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(decoded)

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer | None:
        encoded = self.codec.encode(np.asarray(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(encoded)


def _lengths(shape: tuple[int, ...]) -> list[int]:
    """Lengths of the dimensions that have more than one element: formats differ in which others there are."""
    return [length for length in shape if length != 1]


def _octets(chunk_data: Buffer) -> NDArray[np.uint8]:
    return np.asarray(chunk_data.as_numpy_array()).view("u1")
