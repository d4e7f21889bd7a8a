"""Object header: the messages of an object (specification, sections IV.A.1 and IV.A.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError, ManifestryError, UnsupportedFeatureError

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["HeaderBlocks", "KnownMessages", "Message", "find_message", "read_messages", "read_next_blocks"]

_CONTINUATION: Final = 0x10
_BOGUS: Final = 0x09
_LAST_KIND: Final = 0x18
"""Types of the message that stands for those that nobody knows, and of the last one that the specification has."""
_SHARED: Final = 0x02
_NEVER_SHARED: Final = 0x04
_MUST_BE_KNOWN: Final = 0x80
_USUAL_BYTES: Final = 512
"""What is read of an object header at first; most are shorter."""
_CHECKSUM: Final = 4
_VERSION_1: Final = struct.Struct("<HHB3x")
_VERSION_1_PREFIX: Final = 16
"""Bytes of a version 1 header before its messages."""
_VERSION_2: Final = struct.Struct("<BHB")
_MAX_BLOCKS: Final = 4096
"""Continuation blocks of one header; more means that they form a cycle."""
_BYTES_AT_ONCE: Final = 64 << 20
"""What is fetched of many headers in one step, as long as none of them takes more."""
_SHORT, _MANY = 64, 4096
"""Bytes of messages of which equal ones are one object, and how many of those are remembered."""
_TIMES, _PHASES, _ORDER, _KNOWN = 0x20, 0x10, 0x04, 0x3F
"""Flags of version 2: times are stored; numbers of attributes from which they are stored elsewhere; creation order of messages."""


class Message(NamedTuple):
    """One message: its type, flags and data."""

    kind: int
    flags: int
    data: bytes

    @classmethod
    def to_shared(cls, kind: int, data: bytes) -> Message:
        """A message that only says where the message really is."""
        return cls(kind, _SHARED, data)

    @property
    def shared(self) -> bool:
        """Whether the data only says where the message really is."""
        return bool(self.flags & _SHARED)


def find_message(header: Iterable[Message], kind: int) -> Message | None:
    """The first message of a type, None where there is none."""
    for message in header:
        if message[0] == kind:
            return message
    return None


type KnownMessages = dict[int, dict[bytes, Message]]
"""Short messages by the bytes before the data of each, then by their bytes and those: most objects have the same ones."""


class HeaderBlocks:
    """An object header while it is read, block by block.

    Parameters
    ----------
    address
        Where it is.
    known
        Messages of other headers, to which those of this one are added.
    messages
        All that it has, where they have been read already.

    Attributes
    ----------
    address
        As above.
    messages
        Those of the blocks that have been read.
    error
        What ended reading it.
    """

    __slots__ = ("_blocks", "_known", "_places", "_step", "_taken", "address", "error", "messages")

    def __init__(self, address: int, known: KnownMessages, messages: Sequence[Message] = ()) -> None:
        self.address = address
        self.messages = list(messages)
        self.error: ManifestryError | None = None
        self._known = known
        # Those of the blocks that come next:
        self._places: tuple[tuple[int, int], ...] = () if messages else ((address, _USUAL_BYTES),)
        self._step = 0  # bytes before the data of a message, once the first block is there
        self._blocks = self._taken = 0

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left to read."""
        return self.error is not None or not self._places

    @property
    def _where(self) -> str:
        return f"object header at {self.address:#x}"

    def next_blocks(self, superblock: Superblock) -> list[tuple[int, int]]:
        """Absolute positions and lengths of the blocks that come next; `take` takes each.

        Raises
        ------
        MalformedFileError
            One lies beyond the end of the file, or they form a cycle.
        """
        places, self._places = self._places, ()
        if not self._step:
            return [(superblock.place(self.address, self._where, _VERSION_1_PREFIX), length) for _, length in places]
        self._blocks, self._taken = self._blocks + len(places), self._taken + sum(length for _, length in places)
        if self._blocks > _MAX_BLOCKS or self._taken > superblock.size:
            raise MalformedFileError(f"{self._where}: its continuation blocks form a cycle")
        where = f"{self._where}: continuation block"
        return [(superblock.place(at, where, length), length) for at, length in places]

    def take(self, octets: bytes, at: int, length: int, superblock: Superblock) -> None:
        """Add the messages of the next block: `length` bytes of some.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError
            As `read_messages`.
        """
        if self._step:
            self._continue(octets, at, at + length, superblock)
            return
        new = octets.startswith(b"OHDR", at)
        if new:
            before, size, step = self._version_2(octets[at : at + 32])
        elif octets[at] == 1:
            before, step = _VERSION_1_PREFIX, _VERSION_1.size
            size = int.from_bytes(octets[at + 8 : at + 12], "little")
        else:
            raise MalformedFileError(f"{self._where}: its version is neither 1 nor 2")
        first, end = at + before, at + before + size
        whole = before + size + (_CHECKSUM if new else 0)
        if superblock.base + self.address + whole > superblock.size:
            superblock.place(self.address, self._where, whole)  # which refuses it
        if whole > length:
            self._places = ((self.address, whole),)
            return
        if new:
            _check(octets, at, end, self._where)
        self._step, self._taken = step, whole
        self._split(octets, first, end, superblock)

    def _version_2(self, head: bytes) -> tuple[int, int, int]:
        """Of a version 2 header: bytes before the messages, bytes of these, and bytes before the data of each."""
        flags = head[5]
        if head[4] != 2 or flags & ~_KNOWN:
            problem = f"version {head[4]} with flags {flags:#x} where version 2 is expected"
            raise MalformedFileError(f"{self._where}: {problem}")
        at = 6 + (16 if flags & _TIMES else 0) + (4 if flags & _PHASES else 0)
        width = 1 << (flags & 3)
        return at + width, int.from_bytes(head[at : at + width], "little"), 6 if flags & _ORDER else 4

    def _continue(self, octets: bytes, at: int, end: int, superblock: Superblock) -> None:
        """Add the messages of a continuation block; one of version 2 has a signature and a checksum."""
        if self._step != _VERSION_1.size:
            if not octets.startswith(b"OCHK", at):
                raise MalformedFileError(f"{self._where}: a continuation block without its signature")
            end -= _CHECKSUM
            _check(octets, at, end, f"{self._where}: continuation block")
            at += 4
        self._split(octets, at, end, superblock)

    def _split(self, octets: bytes, at: int, end: int, superblock: Superblock) -> None:
        """Add the messages between two places, and where the blocks are that they lead to."""
        step, messages = self._step, self.messages
        known = self._known.setdefault(step, {})
        unpack = (_VERSION_1 if step == _VERSION_1.size else _VERSION_2).unpack_from
        while at + step <= end:
            kind, size, flags = unpack(octets, at)
            start, stop = at + step, at + step + size
            if stop > end:
                raise MalformedFileError(f"{self._where}: a message of {size} bytes where {end - start} are left")
            whole = octets[at:stop] if size <= _SHORT else b""
            message = known.get(whole)
            if message is None:
                message = self._message(kind, flags, octets[start:stop])
                if whole and len(known) < _MANY:
                    known[whole] = message
            if kind == _CONTINUATION:
                self._places = (*self._places, _continuation(message.data, superblock, self._where))
            elif kind:
                messages.append(message)
            at = stop

    def _message(self, kind: int, flags: int, data: bytes) -> Message:
        """A message, unless it must be known and is not, or is shared and must not be."""
        if flags & _MUST_BE_KNOWN and (kind > _LAST_KIND or kind == _BOGUS):
            raise UnsupportedFeatureError(f"object header message of type {kind:#x}", self._where)
        if flags & _SHARED and flags & _NEVER_SHARED:
            raise MalformedFileError(f"{self._where}: a message of type {kind:#x} is shared and must not be")
        return Message(kind, flags, data)


def read_messages(
    superblock: Superblock, address: int, known: KnownMessages | None = None
) -> IndexReader[Sequence[Message]]:
    """The messages of the object header at an address, those of continuation blocks after those of the header itself.

    Parameters
    ----------
    known
        As for `HeaderBlocks`.

    Raises
    ------
    MalformedFileError
        There is no object header, a block of it reaches over the end of the file, or its checksum differs.
    UnsupportedFeatureError
        It has a message that this package does not know, and that has to be known.
    """
    header = HeaderBlocks(address, {} if known is None else known)
    while not header.ended:
        yield from read_next_blocks(superblock, [header])
    if header.error is not None:
        raise header.error
    return header.messages


def read_next_blocks(superblock: Superblock, headers: Sequence[HeaderBlocks]) -> IndexReader[Sequence[HeaderBlocks]]:
    """Read the blocks that come next of some headers, and return these; what is wrong with one ends only that."""
    done = 0
    while done < len(headers):
        done += yield from _read_some(superblock, headers[done:])
    return headers


def _read_some(superblock: Superblock, headers: Sequence[HeaderBlocks]) -> IndexReader[int]:
    """As `read_next_blocks`, for the first few headers that take no more bytes than may be there at once; how many."""
    positions: dict[int, list[int]] = {}  # of the blocks of each length
    parts: list[tuple[HeaderBlocks, int, int]] = []
    count = total = 0
    while count < len(headers) and total < _BYTES_AT_ONCE:
        header, count = headers[count], count + 1
        try:
            for start, length in header.next_blocks(superblock):
                starts = positions.setdefault(length, [])
                parts.append((header, length, length * len(starts)))
                starts.append(start)
                total += length
        except ManifestryError as error:
            header.error = error
    if not parts:
        return count
    found = yield [Blocks(np.array(starts, "i8"), length) for length, starts in positions.items()]
    octets = {length: blocks.tobytes() for length, blocks in zip(positions, found, strict=True)}
    for header, length, at in parts:
        if header.error is None:
            try:
                header.take(octets[length], at, length, superblock)
            except ManifestryError as error:
                header.error = error
    return count


def _check(octets: bytes, at: int, end: int, where: str) -> None:
    """Compare the checksum of some bytes with the one behind them."""
    if lookup3_of(octets[at:end]) != int.from_bytes(octets[end : end + _CHECKSUM], "little"):
        raise MalformedFileError(f"{where}: its checksum does not match its bytes")


def _continuation(message: bytes, superblock: Superblock, where: str) -> tuple[int, int]:
    """Address and length of a continuation block."""
    o, n = superblock.offset_size, superblock.length_size
    address, length = int.from_bytes(message[:o], "little"), int.from_bytes(message[o : o + n], "little")
    if len(message) < o + n or length <= 8:
        raise MalformedFileError(f"{where}: a continuation block of {length} bytes")
    return address, length
