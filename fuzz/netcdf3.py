"""Headers of netCDF classic files (classic, 64-bit offset, 64-bit data), as the NetCDF Classic Format Specification has them."""

import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import netCDF4
import numpy as np
from random_netcdf import CLASSIC, write_random_netcdf

from fuzz.values import damage_bytes, put_number, some_fields

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


def original(seed: int, folder: Path) -> Path:
    """The next random file that netCDF-C writes in a classic format."""
    path = folder / "file.nc"
    for attempt in range(1000):
        if write_random_netcdf(path, 1000 * seed + attempt) in CLASSIC:
            return path
    raise AssertionError("no classic file in a thousand")


def mutate(path: Path, rng: random.Random, number: int) -> None:
    """Change fields of the header, or of a name in it."""
    data = bytearray(path.read_bytes())
    fields = _fields(bytes(data))
    if rng.random() < 0.05:
        damage_bytes(data, rng)
    for kind, place, width in some_fields(fields, rng):
        if kind == "name":
            data[place + rng.randrange(width)] = rng.choice(b"/\0ab \xff\xc3\x1b" + bytes([rng.randrange(256)]))
        elif place + width <= len(data):
            put_number(data, place, width, "big", rng, (10, 11, 12, len(data), len(data) - 4, *range(1, 13)))
    path.write_bytes(data)


def native_values(path: Path) -> dict[str, np.ndarray]:
    """What netCDF-C reads."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        file.set_auto_chartostring(False)
        return {name: np.ma.getdata(variable[...]) for name, variable in file.variables.items()}


@lru_cache(4)
def _fields(data: bytes) -> list[tuple[str, int, int]]:
    """Kind, place and width of each field of the header."""
    return list(_Header(data).fields())


class _Header:
    """Walks over the header of a sound file."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 4
        self._long = 8 if data[3] == 5 else 4
        self._offset = 8 if data[3] in (2, 5) else 4

    def fields(self) -> Iterator[tuple[str, int, int]]:
        yield "version", 3, 1
        yield self._number("records", self._long)
        yield from self._list(self._dimension)
        yield from self._list(self._attribute)
        yield from self._list(self._variable)

    def _number(self, kind: str, width: int) -> tuple[str, int, int]:
        self._at += width
        self.last = int.from_bytes(self._data[self._at - width : self._at], "big")
        return kind, self._at - width, width

    def _list(self, member) -> Iterator[tuple[str, int, int]]:
        yield self._number("tag", 4)
        yield self._number("count", self._long)
        for _ in range(self.last):
            yield from member()

    def _name(self) -> Iterator[tuple[str, int, int]]:
        yield self._number("length of a name", self._long)
        yield "name", self._at, self.last
        self._at += -(-self.last // 4) * 4

    def _dimension(self) -> Iterator[tuple[str, int, int]]:
        yield from self._name()
        yield self._number("length", self._long)

    def _attribute(self) -> Iterator[tuple[str, int, int]]:
        yield from self._name()
        yield self._number("type", 4)
        size = _SIZES[self.last]
        yield self._number("elements", self._long)
        if self.last:
            yield "value", self._at, min(size * self.last, 8)
        self._at += -(-size * self.last // 4) * 4

    def _variable(self) -> Iterator[tuple[str, int, int]]:
        yield from self._name()
        yield self._number("rank", self._long)
        for _ in range(self.last):
            yield self._number("dimension", self._long)
        yield from self._list(self._attribute)
        yield self._number("type", 4)
        yield self._number("size", self._long)
        yield self._number("begin", self._offset)
