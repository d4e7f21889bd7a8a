"""Mutants of HDF5 files that know the format: fields of metadata are changed, and checksums are right again.

``mutant(data, structures(data), seed)`` changes one to three fields of the structures of a file.
"""

import random
from dataclasses import dataclass, field

from numcodecs.jenkins import jenkins_lookup3

SIGNATURE = b"\x89HDF\r\n\x1a\n"
CHECKED = (
    b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"BTHD", b"BTIN", b"BTLF", b"FAHD", b"FADB", b"EAHD", b"EAIB", b"EASB",
    b"EADB", b"SMTB", b"SMLI", b"FSHD", b"FSSE",
)  # fmt: skip
"""Structures that end with a checksum; how long they are is where it matches."""

UNCHECKED = {b"TREE": 120, b"SNOD": 168, b"HEAP": 32, b"GCOL": 200}
"""Those without one, and how many bytes of each are changed."""

MAX_BYTES = 4200
MESSAGE_TYPES = (*range(25), 255)


@dataclass(frozen=True)
class Structure:
    """A structure of a file: what and where it is, where its checksum is, and where the headers of its messages are."""

    kind: str
    start: int
    length: int
    checksum: int | None = None
    messages: tuple = field(default=())


def structures(data):
    """All structures of a file that are found."""
    found = [_superblock(data)]
    for signature in CHECKED:
        for at in _places(data, signature):
            length = _checked_length(data, at)
            if length:
                messages = tuple(_messages_2(data, at, length)) if signature in (b"OHDR", b"OCHK") else ()
                found.append(Structure(signature.decode(), at, length, at + length - 4, messages))
    found += filter(None, (_direct_block(data, at) for at in _places(data, b"FHDB")))
    for signature, length in UNCHECKED.items():
        found += [Structure(signature.decode(), at, length) for at in _places(data, signature)]
    found += _old_headers(data, found)
    return found


def _places(data, signature):
    at = data.find(signature)
    while at >= 0:
        yield at
        at = data.find(signature, at + 4)


def _superblock(data):
    at = next(place for place in (0, *(512 << n for n in range(8))) if data[place : place + 8] == SIGNATURE)
    if data[at + 8] < 2:
        return Structure("superblock", at, 96)
    length = 12 + 4 * data[at + 9] + 4
    return Structure("superblock", at, length, at + length - 4)


def _checked_length(data, at):
    """How many bytes a structure has with its checksum, or 0 where none matches."""
    for end in range(at + 8, min(at + MAX_BYTES, len(data) - 3)):
        if jenkins_lookup3(data[at:end]) == int.from_bytes(data[end : end + 4], "little"):
            return end + 4 - at
    return 0


def _direct_block(data, at):
    """A direct block of a fractal heap with a checksum: its own field is zero in what it is of."""
    for length in (512, 1024, 2048, 4096, 8192, 64, 128, 256):
        for place in range(at + 10, at + 24):
            stored = data[place : place + 4]
            block = data[at:place] + bytes(4) + data[place + 4 : at + length]
            if jenkins_lookup3(block) == int.from_bytes(stored, "little"):
                return Structure("FHDB", at, length, place)
    return None


def _messages_2(data, at, length):
    """Where the messages of a header of version 2 begin; creation order is told by its flags."""
    flags = data[at + 5] if data[at : at + 4] == b"OHDR" else 0
    place = at + 4
    if data[at : at + 4] == b"OHDR":
        place = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0) + (1 << (flags & 3))
    front = 6 if flags & 4 else 4
    while place + front <= at + length - 4:
        yield place
        place += front + int.from_bytes(data[place + 1 : place + 3], "little")


def _old_headers(data, found):
    """Headers of version 1: those that the superblock and symbol table nodes point to."""
    base, sizes = found[0].start, data[found[0].start + 13] if data[found[0].start + 8] < 2 else 8
    addresses = [found[0].start + 24 + 4 * sizes + sizes] if data[found[0].start + 8] < 2 else []
    for node in found:
        if node.kind == "SNOD":
            addresses += [node.start + 8 + n * (24 + 2 * sizes) + sizes for n in range(data[node.start + 6])]
    seen = set()
    for place in addresses:
        at = base + int.from_bytes(data[place : place + sizes], "little")
        if at not in seen and data[at : at + 2] == b"\1\0":
            seen.add(at)
            length = 16 + int.from_bytes(data[at + 8 : at + 12], "little")
            yield Structure("header 1", at, min(length, MAX_BYTES), None, tuple(_messages_1(data, at, length)))


def _messages_1(data, at, length):
    place = at + 16
    while place + 8 <= min(at + length, len(data)):
        yield place
        place += 8 + int.from_bytes(data[place + 2 : place + 4], "little")


def mutant(data, found, seed):
    """A file with other fields, and what was changed."""
    rng, octets, changed, changes = random.Random(seed), bytearray(data), set(), []
    kinds = sorted({one.kind for one in found})
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.choice(kinds)  # so that rare structures are changed as often as others
        one = rng.choice([structure for structure in found if structure.kind == kind])
        place, width = _field(octets, one, rng)
        octets[place : place + width] = _value(octets, place, width, found, rng)
        changed.add(one)
        changes.append(f"{one.kind} at {one.start} + {place - one.start}: {width}")
    for one in changed:
        if one.checksum is not None and rng.random() < 0.98:
            _repair(octets, one)
    return bytes(octets[: len(data)]), changes


def _field(octets, one, rng):
    """Where a field is, and how many bytes it has."""
    width = rng.choice((1, 1, 2, 4, 8))
    if one.messages and rng.random() < 0.8:
        at = rng.choice(one.messages)
        if rng.random() < 0.3:
            return at + rng.choice((0, 1, 3)), rng.choice((1, 1, 2))
        return at + rng.randrange(4, 60), width
    return one.start + rng.randrange(min(one.length, rng.choice((12, 40, one.length)))), width


def _value(octets, place, width, found, rng):
    old = int.from_bytes(octets[place : place + width], "little")
    base = found[0].start
    limit = 1 << 8 * width
    chosen = rng.choice(
        (
            0, 1, limit - 1, limit - 2, limit >> 1, old + 1, old - 1, old ^ (1 << rng.randrange(8 * width)), old * 2,
            rng.randrange(limit), rng.choice(MESSAGE_TYPES), rng.choice(found).start - base, len(octets) - base,
        )
    )  # fmt: skip
    new = chosen % limit
    return (new if new != old else old ^ 1).to_bytes(width, "little")


def _repair(octets, one):
    block = bytearray(octets[one.start : one.start + one.length])
    at = one.checksum - one.start
    if one.kind == "FHDB":
        block[at : at + 4] = bytes(4)
        summed = jenkins_lookup3(bytes(block))
    else:
        summed = jenkins_lookup3(bytes(block[:at]))
    octets[one.checksum : one.checksum + 4] = summed.to_bytes(4, "little")
