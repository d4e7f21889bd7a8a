"""How a codec of `base` becomes one of zarr-python's Zarr v3 pipeline: the same name, the same configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec, BytesBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from manifestry_codecs import base

__all__ = ["BytesToBytes", "ToArray"]


@dataclass(frozen=True)
class BytesToBytes(BytesBytesCodec):
    """A `base.BytesCodec` in a Zarr v3 pipeline: ``class Name(BytesToBytes, numcodec=module.Name)``."""

    numcodec: ClassVar[type[base.BytesCodec]]
    is_fixed_size = False
    codec: base.BytesCodec

    def __init_subclass__(cls, numcodec: type[base.BytesCodec], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.numcodec = numcodec

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The codec of a Zarr v3 metadata document."""
        return cls(cls.numcodec(**(data.get("configuration") or {})))

    def to_dict(self) -> dict[str, Any]:
        """The codec as Zarr v3 metadata."""
        return _to_dict(self.codec)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        decoded = self.codec.decode_bytes(np.asarray(chunk_data.as_numpy_array()).view("u1"))
        return chunk_spec.prototype.buffer.from_array_like(np.ascontiguousarray(decoded).view("u1").reshape(-1))

    def _encode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        encoded = self.codec.encode(chunk_data.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(bytes(encoded))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:  # noqa: ARG002 zarr's
        """Unknown before encoding: the number of bytes depends on the data."""
        raise TypeError(f"{self.codec.codec_id}: the encoded size of {input_byte_length} bytes depends on the data")


@dataclass(frozen=True)
class ToArray(ArrayBytesCodec):
    """A `base.ArrayCodec` in a Zarr v3 pipeline: ``class Name(ToArray, numcodec=module.Name)``."""

    numcodec: ClassVar[type[base.ArrayCodec]]
    is_fixed_size = False
    codec: base.ArrayCodec

    def __init_subclass__(cls, numcodec: type[base.ArrayCodec], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.numcodec = numcodec

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The codec of a Zarr v3 metadata document."""
        return cls(cls.numcodec(**(data.get("configuration") or {})))

    def to_dict(self) -> dict[str, Any]:
        """The codec as Zarr v3 metadata."""
        return _to_dict(self.codec)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        decoded = self.codec.decode_array(np.asarray(chunk_data.as_numpy_array()).view("u1"))
        elements = decoded.astype(chunk_spec.dtype.to_native_dtype(), copy=False).reshape(chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(elements)

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        encoded = self.codec.encode(np.ascontiguousarray(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.buffer.from_bytes(bytes(encoded))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:  # noqa: ARG002 zarr's
        """Unknown before encoding: the number of bytes depends on the data."""
        raise TypeError(f"{self.codec.codec_id}: the encoded size of {input_byte_length} bytes depends on the data")


def _to_dict(codec: Any) -> dict[str, Any]:
    configuration = dict(codec.get_config())
    return {"name": configuration.pop("id"), "configuration": configuration}
