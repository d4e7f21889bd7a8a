"""Filters of HDF5 that no other codec decodes as HDF5 stores them.

``client_data`` is what HDF5 calls the client data values of a filter: the unsigned 32-bit integers that the dataset's
filter pipeline message holds for it (HDF5 File Format Specification, section IV.A.2.l).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numcodecs.shuffle import Shuffle as _WholeShuffle
from numpy.typing import NDArray

from manifestry_codecs.base import BytesCodec, ClientDataCodec, DecodeError, positive_integer

__all__ = ["Bitshuffle", "Blosc2", "Lzf", "NBit", "ScaleOffset", "Shuffle"]


class Shuffle(BytesCodec):
    """HDF5 filter 2 on buffers that are not a multiple of the element size: the tail passes unchanged.

    Parameters
    ----------
    elementsize
        Bytes of an element.
    """

    codec_id = "manifestry.shuffle"

    def __init__(self, elementsize: int) -> None:
        self.elementsize = positive_integer("elementsize", elementsize)

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put the bytes of each element together again."""
        whole = len(data) - len(data) % self.elementsize
        decoded = np.array(data)
        if whole:
            decoded[:whole] = np.frombuffer(_WholeShuffle(self.elementsize).decode(data[:whole].copy()), "u1")
        return decoded

    def encode(self, buf: Any) -> Any:
        """Bring bytes of the same significance together."""
        data = np.frombuffer(buf, "u1")
        whole = len(data) - len(data) % self.elementsize
        head = data[:whole].reshape(-1, self.elementsize).T
        return np.concatenate([np.ascontiguousarray(head).reshape(-1), data[whole:]])


class ScaleOffset(ClientDataCodec):
    """HDF5 filter 6: integers minus their minimum, or decimally scaled floats, in as few bits as they need.

    Parameters
    ----------
    client_data
        20 values: scale type, scale factor, elements, class (0 integer, 1 float), element size, sign, byte order
        (0 little), fill value defined, and the fill value in 12 words.
    """

    codec_id = "manifestry.scaleoffset"
    _HEADER = 21  # minimum bits (4), size of the minimum (1), the minimum (8), 8 bytes unused

    def __init__(self, client_data: Sequence[int]) -> None:
        super().__init__(client_data)
        if len(self.client_data) < 8:
            raise ValueError(f"client_data has {len(self.client_data)} values: must have at least 8")
        self._float = self.client_data[3] == 1
        self._size = self.client_data[4]
        if self._size not in ((4, 8) if self._float else (1, 2, 4, 8)):
            sizes = "4 or 8" if self._float else "1, 2, 4 or 8"
            raise ValueError(f"an element has {self._size} bytes: must have {sizes}")

    def decoded_size(self) -> int:
        """Bytes of a decoded chunk."""
        scaling, factor, count, of_floats, size = self.client_data[:5]
        if scaling != (0 if of_floats else 2) or of_floats not in (0, 1) or len(self.client_data) != 20:
            raise DecodeError(
                f"{self.codec_id}: no scaling of the kind {scaling} with {len(self.client_data)} values: must be 0"
                " (floats) or 2 (integers), with 20 values"
            )
        if not of_floats and size * 8 < factor < 1 << 31:  # negative ones mean: as many bits as it takes
            raise DecodeError(f"{self.codec_id}: {factor} bits are more than the {size * 8} of an element")
        return count * size

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The elements in the byte order of the dataset.

        Raises
        ------
        DecodeError
            The chunk ends before its last element.
        """
        self.decoded_size()
        _, factor, count, _, size, _, order, _ = self.client_data[:8]
        if not self._float and factor == size * 8:
            return data  # asked for full width: the filter leaves the chunk as it is
        if len(data) < self._HEADER:
            raise DecodeError(f"{self.codec_id}: a chunk of {len(data)} bytes is shorter than its header")
        bits = int.from_bytes(data[:4].tobytes(), "little")
        if bits > size * 8 or len(data) < self._HEADER + (count * bits + 7) // 8:
            raise DecodeError(
                f"{self.codec_id}: a chunk of {len(data)} bytes cannot hold {count} elements of {bits} bits"
            )
        if bits == size * 8:
            elements: NDArray[Any] = data[self._HEADER : self._HEADER + count * size].copy().view(f"<u{size}")
        else:
            low = data[5 : 5 + min(8, int(data[4]))].tobytes().ljust(8, b"\0")
            packed = _unpack(data[self._HEADER :], count, bits, size)
            elements = self._restore(packed, bits, low).view(f"<u{size}")
        stored: NDArray[np.uint8] = elements.astype(f"{'>' if order else '<'}u{size}", copy=False).view("u1")
        return stored

    def _restore(self, packed: NDArray[Any], bits: int, low: bytes) -> NDArray[Any]:
        """Numbers from their distance to the minimum; the largest distance means the fill value."""
        _, factor, _, _, size, _, _, fill_defined = self.client_data[:8]
        if self._float:
            dtype = np.dtype(f"<f{size}")
            scale = dtype.type(10) ** dtype.type(np.int32(np.uint32(factor)))
            values: NDArray[Any] = packed.astype(dtype) / scale + np.frombuffer(low[:size], dtype)[0]
        else:
            dtype = np.dtype(f"<u{size}")
            values = packed + np.frombuffer(low[:size], dtype)[0]
        if fill_defined:
            words = struct.pack(f"<{len(self.client_data) - 8}I", *self.client_data[8:])
            values[packed == np.uint64((1 << bits) - 1)] = np.frombuffer(words[:size], dtype)[0]
        restored: NDArray[Any] = values.astype(dtype, copy=False)
        return restored


def _unpack(data: NDArray[np.uint8], count: int, bits: int, size: int) -> NDArray[Any]:
    """`count` numbers of `bits` bits each, the most significant bit first, as unsigned integers of `size` bytes."""
    if bits == 0:
        return np.zeros(count, f"<u{size}")
    matrix = np.unpackbits(data[: (count * bits + 7) // 8], count=count * bits).reshape(count, bits)
    return _numbers(matrix).astype(f"<u{size}")


def _numbers(matrix: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Rows of bits, the most significant first, as numbers."""
    wide = np.zeros((len(matrix), 64), "u1")
    wide[:, 64 - matrix.shape[1] :] = matrix
    return np.packbits(wide, axis=1).view(">u8")[:, 0].astype("<u8")


class _Atom(NamedTuple):
    """One number inside an element: where it is and which of its bits are stored."""

    position: int  # bytes from the start of the element
    size: int  # bytes
    big: bool
    precision: int  # bits
    shift: int  # bits below the lowest stored one


class NBit(ClientDataCodec):
    """HDF5 filter 5: only the significant bits of each number are stored.

    Parameters
    ----------
    client_data
        Number of values, whether nothing is to be done, elements, and the type in the filter's own code.
    """

    codec_id = "manifestry.nbit"
    _ATOMIC, _ARRAY, _COMPOUND, _NOOP = 1, 2, 3, 4

    def __init__(self, client_data: Sequence[int]) -> None:
        super().__init__(client_data)
        if len(self.client_data) < 5:
            raise ValueError(f"client_data has {len(self.client_data)} values: must have at least 5")
        self._size = self.client_data[4]
        self._atoms = list(self._type(3, 0)[0])
        if any(a.precision + a.shift > a.size * 8 or a.position + a.size > self._size for a in self._atoms):
            raise ValueError("client_data describes numbers that do not fit into the element")
        if any(a.size not in range(1, 9) or not a.precision for a in self._atoms):
            raise ValueError("client_data describes numbers of no bits, or of more than 64: must be 1 to 64")

    def decoded_size(self) -> int:
        """Bytes of a decoded chunk."""
        return self.client_data[2] * self._size

    def _type(self, at: int, position: int) -> tuple[Iterator[_Atom], int]:
        """The numbers of the type whose code begins at value `at`, and where the code ends."""
        code = self.client_data[at : at + 2]
        if len(code) < 2:
            raise ValueError("client_data ends inside a type")
        type_class, size = code
        if type_class == self._ATOMIC:
            order, precision, shift = self.client_data[at + 2 : at + 5]
            atom = _Atom(position=position, size=size, big=order == 1, precision=precision, shift=shift)
            return iter([atom]), at + 5
        if type_class == self._NOOP:
            octets = range(position, position + size)
            return (_Atom(position=i, size=1, big=False, precision=8, shift=0) for i in octets), at + 2
        if type_class == self._ARRAY:
            base = list(self._type(at + 2, 0)[0])
            end = self._type(at + 2, 0)[1]
            width = self.client_data[at + 3]
            steps = range(position, position + size, max(width, 1))
            return (a._replace(position=a.position + step) for step in steps for a in base), end
        if type_class == self._COMPOUND:
            atoms: list[_Atom] = []
            end = at + 3
            for _ in range(self.client_data[at + 2]):
                member, end = self._type(end + 1, position + self.client_data[end])
                atoms += member
            return iter(atoms), end
        raise ValueError(f"client_data has a type of the unknown class {type_class}: must be 1 to 4")

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The elements with every stored bit where the type has it, and zero bits elsewhere."""
        if self.client_data[1]:
            return data
        count, width = self.client_data[2], sum(a.precision for a in self._atoms)
        if len(data) * 8 < count * width:
            raise DecodeError(
                f"{self.codec_id}: a chunk of {len(data)} bytes cannot hold {count} elements of {width} bits"
            )
        matrix = np.unpackbits(data, count=count * width).reshape(count, width)
        elements = np.zeros((count, self._size), "u1")
        first = 0
        for atom in self._atoms:
            numbers = _numbers(matrix[:, first : first + atom.precision]) << np.uint64(atom.shift)
            octets = numbers.astype(">u8" if atom.big else "<u8").view("u1").reshape(count, 8)
            part = octets[:, 8 - atom.size :] if atom.big else octets[:, : atom.size]
            elements[:, atom.position : atom.position + atom.size] = part
            first += atom.precision
        return elements.reshape(-1)


class Bitshuffle(ClientDataCodec):
    """HDF5 filter 32008: bits of the same significance together, then blocks of LZ4 or Zstandard, or nothing.

    Parameters
    ----------
    client_data
        Version (2 values), element size, elements in a block (0: the default), compression (0 none, 2 LZ4, 3
        Zstandard) and its level; trailing values may be absent.
    """

    codec_id = "manifestry.bitshuffle"

    def __init__(self, client_data: Sequence[int]) -> None:
        super().__init__(client_data)
        padded = [*self.client_data, *[0] * 6]
        self._element, self._block, self._compression = padded[2], padded[3], padded[4]
        if not 0 < self._element <= 1 << 16 or self._block % 8 or self._compression not in (0, 2, 3):
            raise ValueError(
                f"client_data {self.client_data}: elements must have 1 to 65536 bytes, blocks a multiple of 8"
                " elements, and the compression must be 0, 2 or 3"
            )

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Undo the compression block by block, then the shuffling."""
        if self._compression == 0:
            return self._unshuffle(data.tobytes(), self._block)
        return np.frombuffer(b"".join(self._blocks(data.tobytes())), "u1")

    def _blocks(self, data: bytes) -> Iterator[bytes]:
        """Decoded blocks: full ones, a shorter one of a multiple of 8 elements, and what is left uncompressed."""
        if len(data) < 12:
            raise DecodeError(f"{self.codec_id}: a chunk of {len(data)} bytes is shorter than its header")
        total, block = struct.unpack(">QI", data[:12])
        eight = 8 * self._element
        if not block or block % eight:
            raise DecodeError(
                f"{self.codec_id}: blocks of {block} bytes: must be a multiple of 8 elements of {self._element}"
            )
        at, left = 12, total
        while left >= eight:
            size = min(block, left - left % eight)
            (packed,) = struct.unpack(">I", data[at : at + 4].rjust(4, b"\0"))
            part = data[at + 4 : at + 4 + packed]
            if len(part) != packed:
                raise DecodeError(f"{self.codec_id}: the chunk ends inside a block")
            plain = imagecodecs.lz4_decode(part, out=size) if self._compression == 2 else imagecodecs.zstd_decode(part)
            if len(plain) != size:
                raise DecodeError(f"{self.codec_id}: a block decodes to {len(plain)} bytes, expected {size}")
            yield self._unshuffle(bytes(plain), size // self._element).tobytes()
            at, left = at + 4 + packed, left - size
        if len(data) < at + left:
            raise DecodeError(f"{self.codec_id}: the chunk ends before its last {left} bytes")
        yield data[at : at + left]

    def _unshuffle(self, data: bytes, block: int) -> NDArray[np.uint8]:
        whole = len(data) - len(data) % self._element
        plain = imagecodecs.bitshuffle_decode(data[:whole], itemsize=self._element, blocksize=block) if whole else b""
        return np.frombuffer(bytes(plain) + data[whole:], "u1")


class Blosc2(BytesCodec):
    """HDF5 filter 32026: a contiguous Blosc2 frame, with or without the metadata of an n-dimensional array."""

    codec_id = "manifestry.blosc2"
    _HEADER = 87  # bytes of a frame header without its metadata

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The elements of the frame as bytes."""
        frame = data.tobytes()
        if frame[2:10] != b"b2frame\0" or len(frame) < self._HEADER:
            raise DecodeError(f"{self.codec_id}: the {len(frame)} bytes of the chunk are not a frame of Blosc2")
        start, size = struct.unpack(">ixQ", frame[11:24])
        if size != len(frame):
            raise DecodeError(f"{self.codec_id}: the chunk has {len(frame)} bytes, its frame declares {size}")
        if b"b2nd" in frame[:start]:
            return np.ascontiguousarray(imagecodecs.b2nd_decode(frame)).reshape(-1).view("u1")
        return np.frombuffer(b"".join(self._chunks(frame, start)), "u1")

    def _chunks(self, frame: bytes, start: int) -> Iterator[bytes]:
        """The decoded chunks of a frame: a chunk with their offsets follows its header and the chunks."""
        total, stored, element, chunk = (
            int.from_bytes(frame[at : at + size], "big") for at, size in ((30, 8), (39, 8), (48, 4), (58, 4))
        )
        if not total:
            return
        offsets = np.frombuffer(self._chunk(frame, start + stored), "<i8")
        for offset in offsets.tolist():
            size = min(chunk, total)
            plain = self._chunk(frame, start + offset) if offset >= 0 else self._special(offset, size, element)
            if len(plain) != size:
                raise DecodeError(
                    f"{self.codec_id}: a chunk of the frame decodes to {len(plain)} bytes, expected {size}"
                )
            yield plain
            total -= size
        if total:
            raise DecodeError(f"{self.codec_id}: the frame has {total} bytes less than it declares")

    def _chunk(self, frame: bytes, at: int) -> bytes:
        stored = int.from_bytes(frame[at + 12 : at + 16], "little")
        if stored <= 0 or at + stored > len(frame):
            raise DecodeError(f"{self.codec_id}: the frame ends inside a chunk")
        return bytes(imagecodecs.blosc2_decode(frame[at : at + stored]))

    def _special(self, offset: int, size: int, element: int) -> bytes:
        """A chunk of one value, which is not stored: the highest byte of its offset says which value."""
        value = offset >> 56 & 0x7F
        if value == 1:
            return bytes(size)
        if value == 2 and element in (4, 8):
            return np.full(size // element, np.nan, f"<f{element}").tobytes()
        raise DecodeError(f"{self.codec_id}: a special chunk of the unknown value {value}")


class Lzf(BytesCodec):
    """HDF5 filter 32000: LZF without a header, so that nothing in the chunk says how long it is decoded.

    Parameters
    ----------
    size
        Bytes of a chunk before the filter. The filter keeps a chunk only when it became smaller: one of exactly this
        many bytes was skipped.
    """

    codec_id = "manifestry.lzf"

    def __init__(self, size: int) -> None:
        self.size = positive_integer("size", size)

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The decoded chunk."""
        if len(data) == self.size:
            return data
        decoded = np.frombuffer(imagecodecs.lzf_decode(data.tobytes(), header=False, out=self.size), "u1")
        if len(decoded) != self.size:
            raise DecodeError(f"{self.codec_id}: a chunk decodes to {len(decoded)} bytes, expected {self.size}")
        return decoded
