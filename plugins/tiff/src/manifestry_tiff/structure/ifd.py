"""Image file header and image file directories (TIFF 6.0 section 2, BigTIFF, NDPI beyond 4 GiB).

Hamamatsu's NDPI is a little-endian TIFF whose directories have an offset of eight bytes to the next one, and behind it four
bytes for each entry: the high words of values and of offsets. In files up to 4 GiB those are zero, and the file is read as
any other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_tiff.structure.beside import Beside
from manifestry_tiff.structure.file import TiffFile
from manifestry_tiff.structure.tags import FieldType, Tag

__all__ = ["Directory", "Header", "read_chain", "read_directory", "read_header"]

_VALUE_TYPES: Final = {
    FieldType.BYTE: "u1", FieldType.ASCII: "u1", FieldType.SHORT: "u2", FieldType.LONG: "u4",
    FieldType.SBYTE: "i1", FieldType.UNDEFINED: "u1", FieldType.SSHORT: "i2", FieldType.SLONG: "i4",
    FieldType.FLOAT: "f4", FieldType.DOUBLE: "f8", FieldType.IFD: "u4",
    FieldType.LONG8: "u8", FieldType.SLONG8: "i8", FieldType.IFD8: "u8",
}  # fmt: skip
_SIZES: Final[dict[int, int]] = {int(kind): np.dtype(code).itemsize for kind, code in _VALUE_TYPES.items()} | {
    FieldType.RATIONAL: 8,
    FieldType.SRATIONAL: 8,
}
_WIDE_TYPES: Final = frozenset({FieldType.LONG, FieldType.IFD})
"""Types of values that high words of NDPI belong to."""

_MAX_ENTRIES: Final = 4096  # real directories have some dozens; a corrupt count must not make us read the file

_MAX_VALUES: Final = 1 << 16  # of a tag that has few

_STRUCTURAL: Final = frozenset(Tag)

_INHERITED: Final = frozenset({Tag.GDAL_NODATA, Tag.COLOR_MAP})
"""Tags that hold for all levels of a pyramid where a level has none of its own."""

_WORD: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Header:
    """The image file header.

    Attributes
    ----------
    order
        ``"<"`` or ``">"``: the byte order of everything in the file.
    big
        Whether the file is a BigTIFF, with offsets of eight bytes.
    first
        Offset of the first directory.
    ndpi
        Whether the file is an NDPI beyond 4 GiB, whose directories have high words.
    """

    order: str
    big: bool
    first: int
    ndpi: bool = False

    @property
    def entry_bytes(self) -> int:
        """Bytes of a directory entry."""
        return 20 if self.big else 12

    @property
    def offset_bytes(self) -> int:
        """Bytes of an offset; values up to this size are in the entry itself."""
        return 8 if self.big else 4

    @property
    def count_bytes(self) -> int:
        """Bytes of the number of entries in front of a directory."""
        return 8 if self.big else 2

    @property
    def link_bytes(self) -> int:
        """Bytes of the offset of the next directory."""
        return 8 if self.big or self.ndpi else 4


def read_header(file: TiffFile) -> Header:
    """The first 8 (BigTIFF: 16) bytes.

    Raises
    ------
    MalformedFileError
        The file does not begin with a TIFF header.
    """
    head = file.read(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise MalformedFileError(
            f"{file.source.url}: the first {len(head)} bytes are not a TIFF header: byte order mark {head[:2]!r},"
            " expected b'II' or b'MM'"
        )
    magic, first = struct.unpack(order + "HI", head[2:8])
    if magic == 42:
        far = struct.unpack("<Q", head[4:12])[0] if order == "<" and file.size > _WORD and len(head) >= 12 else 0
        if far and _is_ndpi(file, far):
            return Header(order, big=False, first=far, ndpi=True)
        return Header(order, big=False, first=first)
    if magic != 43 or len(head) < 16 or struct.unpack(order + "HH", head[4:8]) != (8, 0):
        raise MalformedFileError(f"{file.source.url}: the first bytes are not a TIFF header: {head!r}")
    return Header(order, big=True, first=struct.unpack(order + "Q", head[8:16])[0])


def _is_ndpi(file: TiffFile, offset: int) -> bool:
    """Whether the directory at an offset has the tag that all directories of NDPI have."""
    count = int.from_bytes(file.read(offset, 2), "little") if offset < file.size else 0
    if not 0 < count <= _MAX_ENTRIES:
        return False
    data = file.read(offset + 2, 12 * count)
    return any(data[at : at + 2] == Tag.NDPI_FORMAT.to_bytes(2, "little") for at in range(0, len(data), 12))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory: the type and number of values of a tag, and where they are.

    Attributes
    ----------
    high
        What is to be added to the one value because it has more than 32 bits.
    """

    type: int
    count: int
    offset: int
    high: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the values; none where their type is unknown."""
        return self.count * _SIZES.get(self.type, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One image file directory. Values are read when asked for.

    Attributes
    ----------
    label
        ``"IFD 3"`` or ``"IFD 3 SubIFD 0"``, for messages.
    offset, next
        Where the directory is, and the next of its chain (0: none).
    entries
        By number of the tag.
    full
        Of a level of a pyramid: the directory of the full image.
    beside
        What files beside the TIFF say of the image; None where none is read.
    """

    file: TiffFile
    header: Header
    label: str
    offset: int
    entries: dict[int, Entry]
    next: int
    full: Directory | None = None
    beside: Beside | None = None
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries or self._inherited_from(tag) is not None

    def _inherited_from(self, tag: int) -> Directory | None:
        """The directory of the full image, perhaps in another file, where the value of a tag is taken from there."""
        inherits = self.full is not None and tag in _INHERITED and tag not in self.entries and tag in self.full
        return self.full if inherits else None

    def raw(self, tag: int) -> bytes | None:
        """The bytes of a value, None where the tag is absent.

        Raises
        ------
        MalformedFileError
            They lie outside the file, or their type is unknown.
        """
        full = self._inherited_from(tag)
        if full is not None:
            return full.raw(tag)
        data = self._view(tag)
        return None if data is None else bytes(data)

    def _view(self, tag: int) -> memoryview | None:
        entry = self.entries.get(tag)
        if entry is None:
            return None
        if entry.type not in _SIZES:
            raise self.tag_error(tag, f"values of the type {entry.type}: there is no such type, so they cannot be read")
        if not self.file.holds(entry.offset, entry.offset + entry.nbytes):
            raise self.tag_error(
                tag, f"{entry.count} values at offset {entry.offset} reach beyond the file of {self.file.size} bytes"
            )
        return self.file.view(entry.offset, entry.nbytes)

    def numbers(self, tag: int) -> NDArray[Any] | None:
        """The values of a numeric tag in the file's byte order, read-only; None where the tag is absent or empty."""
        full = self._inherited_from(tag)
        if full is not None:
            return full.numbers(tag)
        if tag not in self._cache:
            data = self._view(tag)
            if not data:
                return None
            field_type = FieldType(self.entries[tag].type)
            if field_type in (FieldType.RATIONAL, FieldType.SRATIONAL):
                pairs = np.frombuffer(data, self.header.order + ("u4" if field_type == FieldType.RATIONAL else "i4"))
                with np.errstate(divide="ignore", invalid="ignore"):
                    self._cache[tag] = pairs[::2] / pairs[1::2]
            else:
                values = np.frombuffer(data, self.header.order + _VALUE_TYPES[field_type])
                high = self.entries[tag].high
                self._cache[tag] = values.astype("u8") + np.uint64(high) if high else values
        found: NDArray[Any] = self._cache[tag]
        return found

    def integers(self, tag: int) -> tuple[int, ...]:
        """The values of a tag that has few, ``()`` where it is absent.

        Raises
        ------
        MalformedFileError
            They are not integers, or too many.
        """
        full = self._inherited_from(tag)
        if full is not None:
            return full.integers(tag)
        values = self.numbers(tag)
        if values is None:
            return ()
        integers = issubclass(values.dtype.type, np.integer) and self.entries[tag].type != FieldType.ASCII
        if not integers or values.size > _MAX_VALUES:
            raise self.tag_error(
                tag,
                f"{values.size} values of type {self.entries[tag].type}: must be integers, {_MAX_VALUES} at most",
            )
        return tuple(values.tolist())

    def integer(self, tag: int, default: int) -> int:
        """The first value of a tag, or what the specification takes where it is absent.

        Raises
        ------
        MalformedFileError
            The values are not integers, or there is none.
        """
        values = self.integers(tag)
        if not values and tag in self:
            raise self.tag_error(tag, "no values: must be one at least")
        return next(iter(values), default)

    def text(self, tag: int) -> str:
        """Text up to the first NUL, UTF-8 or else Latin-1, ``""`` where the tag is absent."""
        data = (self.raw(tag) or b"").split(b"\0", 1)[0]
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def parsed[T](self, tag: int, parse: Callable[[str], T]) -> T:
        """What is made of the text of a tag, made once."""
        key = (tag, parse)
        if key not in self._cache:
            self._cache[key] = parse(self.text(tag))
        found: T = self._cache[key]
        return found

    def as_level_of(self, full: Directory) -> Directory:
        """The same as the directory of a level of a pyramid, which has the nodata and the colours of the full image."""
        return replace(self, full=full)

    def tag_error(self, tag: int, problem: str) -> MalformedFileError:
        """The error for a tag with an impossible value: what the value is, and what it must be."""
        name = Tag(tag).name if tag in Tag else "private"
        return MalformedFileError(f"{self.label} at offset {self.offset}, tag {int(tag)} ({name}): {problem}")

    def prefetch(self, *more: tuple[int, int]) -> None:
        """Bring the values of all tags that matter, and `more` byte ranges, in one round trip."""
        ranges = [(e.offset, e.offset + e.nbytes) for tag, e in self.entries.items() if tag in _STRUCTURAL]
        self.file.prefetch([r for r in ranges if self.file.holds(*r)] + list(more))


def read_directory(file: TiffFile, header: Header, offset: int, label: str) -> Directory:
    """The directory at an offset. Entries of unknown type cost nothing until they are asked for.

    Raises
    ------
    MalformedFileError
        The offset lies outside the file, or the entries there are impossible or cut off.
    """
    where = f"{label} at offset {offset}"
    count_data = file.read(offset, header.count_bytes) if 8 <= offset < file.size else b""
    if len(count_data) < header.count_bytes:
        raise MalformedFileError(f"{where}: must lie inside the file of {file.size} bytes, after its header")
    count = int.from_bytes(count_data, "little" if header.order == "<" else "big")
    if not 0 < count <= _MAX_ENTRIES:
        raise MalformedFileError(f"{where}: {count} entries: must be 1 to {_MAX_ENTRIES}")
    start = offset + header.count_bytes
    data = file.read(start, count * header.entry_bytes + header.link_bytes + (4 * count if header.ndpi else 0))
    complete = len(data) // header.entry_bytes
    if complete < count:
        raise MalformedFileError(f"{where}: the {count} entries are cut off after {complete}")
    following = data[count * header.entry_bytes :][: header.link_bytes]
    if header.ndpi and len(data) < count * (header.entry_bytes + 4) + header.link_bytes:
        raise MalformedFileError(f"{where}: the high words of an NDPI file are cut off")
    after = int.from_bytes(following, "little" if header.order == "<" else "big")
    # A file may end right after its last entry; then there is no next directory.
    next_offset = after if len(following) == header.link_bytes else 0
    entries = dict(_entries(header, data, start, count))
    return Directory(file=file, header=header, label=label, offset=offset, entries=entries, next=next_offset)


def _entries(header: Header, data: bytes, start: int, count: int) -> Iterator[tuple[int, Entry]]:
    layout = header.order + ("HHQ" if header.big else "HHI")
    pointer = header.order + ("Q" if header.big else "I")
    high_words = [0] * count
    if header.ndpi:
        high_words = list(struct.unpack_from(f"<{count}I", data, count * header.entry_bytes + header.link_bytes))
    seen = set()
    for i in range(count):
        base = i * header.entry_bytes
        tag, field_type, number = struct.unpack_from(layout, data, base)
        if tag in seen:  # of a tag that is there twice the first counts
            continue
        seen.add(tag)
        at = base + header.entry_bytes - header.offset_bytes
        high = high_words[i] * _WORD
        inside = number * _SIZES.get(field_type, 0) <= header.offset_bytes
        if inside and not (header.ndpi and field_type == FieldType.ASCII):  # text of NDPI is never in the entry
            yield tag, Entry(field_type, number, start + at, high if field_type in _WIDE_TYPES and number == 1 else 0)
        else:
            yield tag, Entry(field_type, number, struct.unpack_from(pointer, data, at)[0] + high)


def read_chain(
    file: TiffFile, header: Header, first: int, label: str = "IFD", limit: int = 1 << 20
) -> Iterator[Directory]:
    """The directories of a chain, each as it is reached.

    Raises
    ------
    MalformedFileError
        The chain comes back to a directory, or has more than `limit`.
    """
    seen: set[int] = set()
    offset = first
    while offset:
        if offset in seen:
            raise MalformedFileError(f"{label} {len(seen)} at offset {offset}: the chain of directories is a loop")
        if len(seen) >= limit:
            raise MalformedFileError(f"{label} {len(seen)} at offset {offset}: more than {limit} directories")
        directory = read_directory(file, header, offset, f"{label} {len(seen)}")
        seen.add(offset)
        yield directory
        offset = directory.next
