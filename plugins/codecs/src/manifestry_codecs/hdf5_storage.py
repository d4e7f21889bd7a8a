"""How HDF5 stores elements where that is not how arrays hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifestry_codecs.base import BytesCodec, DecodeError, ObjectsCodec, inner_codec, positive_integer

__all__ = ["Bits", "FixedString", "Optional", "Record", "Sequences"]


class Optional(BytesCodec):
    """A codec that was skipped for chunks it would not have made smaller.

    Parameters
    ----------
    size
        Bytes of a chunk before the codec. A chunk of exactly this many bytes was skipped, any other was encoded.
    codec
        The codec as numcodecs has it, for example ``{"id": "imagecodecs_lzf", "header": false}``.
    """

    codec_id = "manifestry.optional"

    def __init__(self, size: int, codec: Mapping[str, Any]) -> None:
        self.size = positive_integer("size", size)
        self.codec = dict(codec)
        self._codec = inner_codec(codec)

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The chunk itself where it has its full size, else what the codec makes of it."""
        if len(data) == self.size:
            return data
        decoded = np.frombuffer(np.ascontiguousarray(self._codec.decode(data.tobytes())), "u1")
        if len(decoded) != self.size:
            raise DecodeError(f"{self.codec_id}: a chunk decodes to {len(decoded)} bytes, expected {self.size}")
        return decoded


class Bits(BytesCodec):
    """Integers of which only some bits count, as HDF5's fixed-point types with a precision and an offset.

    Parameters
    ----------
    itemsize
        Bytes of an element: 1, 2, 4 or 8.
    precision
        Number of bits that count.
    offset
        Position of the lowest of them.
    signed
        Whether the highest of them is a sign.
    order
        Byte order of the elements, before and after: ``"little"`` or ``"big"``.
    """

    codec_id = "manifestry.bits"

    def __init__(self, itemsize: int, precision: int, offset: int, signed: bool, order: str) -> None:  # noqa: FBT001 its form in stores
        if itemsize not in (1, 2, 4, 8) or not 0 < precision <= 8 * itemsize or not 0 <= offset <= 8 * itemsize:
            raise ValueError(
                f"{precision} bits from bit {offset} on do not fit into {itemsize} bytes: elements must have"
                " 1, 2, 4 or 8"
            )
        if precision + offset > 8 * itemsize or order not in ("little", "big"):
            raise ValueError(
                f"{precision} bits from bit {offset} on in {itemsize} bytes, byte order {order!r}: the bits must"
                " fit, and the byte order must be 'little' or 'big'"
            )
        self.itemsize, self.precision, self.offset = int(itemsize), int(precision), int(offset)
        self.signed, self.order = bool(signed), order

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The integers, sign-extended or with zero bits above."""
        stored = np.dtype(f"{'>' if self.order == 'big' else '<'}{'i' if self.signed else 'u'}{self.itemsize}")
        numbers = data.view(stored).astype(stored.newbyteorder("="))
        above = 8 * self.itemsize - self.precision - self.offset
        numbers <<= numbers.dtype.type(above)
        numbers >>= numbers.dtype.type(above + self.offset)
        return numbers.astype(stored, copy=False).view("u1")


class FixedString(BytesCodec):
    """Strings of fixed length whose padding is not part of the text; decoded they are padded with zero bytes.

    Parameters
    ----------
    length
        Bytes of a string.
    padding
        ``"space"``: blanks at the end are padding. ``"null-terminated"``: the text ends at the first zero byte.
    """

    codec_id = "manifestry.fixed_string"

    def __init__(self, length: int, padding: str) -> None:
        self.length = positive_integer("length", length)
        if padding not in ("space", "null-terminated"):
            raise ValueError(f"padding is {padding!r}: must be 'space' or 'null-terminated'")
        self.padding = padding

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The strings with zero bytes for padding."""
        text = data.reshape(-1, self.length)
        if self.padding == "space":
            kept = np.logical_or.accumulate((text != ord(" "))[:, ::-1], axis=1)[:, ::-1]
        else:
            kept = np.logical_and.accumulate(text != 0, axis=1)
        return np.where(kept, text, np.uint8(0)).reshape(-1)


class Record(BytesCodec):
    """Records with gaps, or with fields of both byte orders; decoded they are packed and little-endian.

    Parameters
    ----------
    itemsize
        Bytes of a stored record.
    fields
        For each number or text in it ``[position, size, swap]``: bytes from the start, bytes that it has, and whether
        their order is to be reversed. In the order of the decoded record.
    """

    codec_id = "manifestry.record"

    def __init__(self, itemsize: int, fields: Sequence[Sequence[int]]) -> None:
        self.itemsize = positive_integer("itemsize", itemsize)
        self.fields = [[int(position), int(size), int(bool(swap))] for position, size, swap in fields]
        if any(position < 0 or size < 1 or position + size > itemsize for position, size, _ in self.fields):
            raise ValueError(f"a field lies outside the record of {itemsize} bytes")
        parts = [np.arange(p, p + n)[:: -1 if swap else 1] for p, n, swap in self.fields]
        self._gather = np.concatenate(parts) if parts else np.empty(0, "i8")

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The fields of each record one after the other."""
        if len(data) % self.itemsize:
            raise DecodeError(
                f"{self.codec_id}: {len(data)} bytes are not a whole number of records of {self.itemsize} bytes"
            )
        return np.ascontiguousarray(data.reshape(-1, self.itemsize)[:, self._gather]).reshape(-1)


class Sequences(ObjectsCodec):
    """Sequences of several lengths: an array of each, from the bytes that ``vlen-bytes`` keeps of it.

    Parameters
    ----------
    dtype
        Type of the members as numpy writes it, byte order included: ``"<f8"``, or for records a list of
        ``[name, type]`` and ``[name, type, shape]``.
    """

    codec_id = "manifestry.sequences"

    def __init__(self, dtype: str | Sequence[Any]) -> None:
        self.dtype = dtype
        self._dtype = _numpy_dtype(dtype)
        if self._dtype.hasobject or not self._dtype.itemsize:
            raise ValueError(f"members of type {dtype!r} have no bytes: must be of fixed size")

    def decode_objects(self, data: NDArray[Any]) -> NDArray[Any]:
        """An array of one dimension, in native byte order, for each element; an empty one for no bytes."""
        decoded = np.empty(data.size, object)
        native = self._dtype.newbyteorder("=")
        for i, octets in enumerate(data.reshape(-1).tolist()):
            if len(octets) % self._dtype.itemsize:
                raise DecodeError(f"{self.codec_id}: {len(octets)} bytes are not a whole number of {self.dtype}")
            decoded[i] = np.frombuffer(octets, self._dtype).astype(native)
        return decoded.reshape(data.shape)

    def encode(self, buf: Any) -> Any:
        """The bytes of each element."""
        data = np.asarray(buf, object)
        encoded = np.empty(data.size, object)
        for i, members in enumerate(data.reshape(-1)):
            encoded[i] = np.asarray(members).astype(self._dtype).tobytes()
        return encoded.reshape(data.shape)


def _numpy_dtype(described: Any) -> np.dtype[Any]:
    """A dtype from JSON: what is a list there has to be tuples for numpy."""
    if isinstance(described, str):
        return np.dtype(described)
    fields = [
        (str(name), _numpy_dtype(member), tuple(map(int, shape[0])) if shape else ())
        for name, member, *shape in described
    ]
    return np.dtype(fields)
