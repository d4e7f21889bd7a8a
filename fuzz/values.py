"""Numbers and texts that parsers tend to get wrong, where they are put, and what is read afterwards."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import zarr

TEXTS = (
    "",
    "/",
    "a/b",
    "..",
    ".",
    "\x1b[2J",
    "\ud800",
    "\u0000",
    "x" * 300,
    "ä",
    "zarr.json",
    "NaN",
    "1e400",
    "-1",
    "0x10",
)


def other_number(old: int, bits: int, rng: random.Random, others: tuple[int, ...] = ()) -> int:
    """A number of so many bits that is not the old one; `others` are some that mean something in the file."""
    limit = 1 << bits
    chosen = rng.choice((
        0, 1, 2, limit - 1, limit - 2, limit >> 1, (limit >> 1) - 1, old + 1, old - 1, old * 2, old // 2,
        old ^ 1 << rng.randrange(bits), rng.randrange(limit), rng.randrange(64), *others,
    ))  # fmt: skip
    new = chosen % limit
    return new if new != old else old ^ 1


def put_number(
    data: bytearray, place: int, width: int, order: str, rng: random.Random, others: tuple[int, ...] = ()
) -> None:
    """Put another number in the place of one of so many bytes; `order` is ``little`` or ``big``."""
    old = int.from_bytes(data[place : place + width], order)
    data[place : place + width] = other_number(old, 8 * width, rng, others).to_bytes(width, order)


def damage_bytes(data: bytearray, rng: random.Random) -> None:
    """What knows no format: other bytes, bytes that are missing, the end cut off."""
    if not data:
        return
    at = rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        del data[at : at + rng.choice((1, 4, 16))]
    else:
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)


def some_fields(fields: Sequence[tuple[str, int, int]], rng: random.Random) -> Iterator[tuple[str, int, int]]:
    """One to three of the fields of a file (kind, place, width); rare kinds come as often as others."""
    kinds = sorted({kind for kind, _, _ in fields})
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.choice(kinds)
        yield rng.choice([one for one in fields if one[0] == kind])


def values_below(root: zarr.Group) -> dict[str, np.ndarray[Any, Any]]:
    """The values of all arrays below a group, by path."""
    members = dict(root.members(max_depth=None))
    return {name: np.asarray(one[...]) for name, one in members.items() if isinstance(one, zarr.Array)}
