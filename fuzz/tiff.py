"""Directories and tags of TIFF and BigTIFF files (TIFF 6.0, section 2)."""

import random
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
import tifffile
from random_geotiff import write_random_geotiff

from fuzz.values import damage_bytes, put_number, some_fields

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = (
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347,
    530, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844,
)  # fmt: skip
_MEANT = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 32773, 32946, 50000, 34712, 65535, 32767)


def original(seed: int, folder: Path) -> Path:
    """A file of GDAL, or of tifffile."""
    path = folder / "file.tif"
    if seed % 2:
        write_random_geotiff(path, seed)
    else:
        _write_with_tifffile(path, random.Random(seed))
    return path


def _write_with_tifffile(path: Path, rng: random.Random) -> None:
    options = {"byteorder": rng.choice("<>"), "bigtiff": rng.random() < 0.3}
    with tifffile.TiffWriter(path, **options) as file:
        for page in range(rng.choice((1, 1, 2, 4))):
            samples = rng.choice((1, 1, 3, 4))
            shape = (rng.randint(16, 40), rng.randint(16, 40), *((samples,) if samples > 1 else ()))
            dtype = rng.choice(("u1", "u1", "i2", "u2", "f4") if samples == 1 else ("u1", "u2"))
            values = np.random.default_rng(page).integers(0, 100, shape).astype(dtype)
            compression = rng.choice((None, "zlib", "lzw", "packbits", "zstd", "lzma", "jpeg"))
            if compression == "jpeg" and (dtype != "u1" or samples == 4):
                compression = None
            layout = {"tile": (16, 16)} if rng.random() < 0.5 else {"rowsperstrip": rng.choice((1, 7, 64))}
            predictor = compression in ("zlib", "lzw", "zstd") and rng.random() < 0.5
            photometric = "rgb" if samples > 1 else "minisblack"
            file.write(
                values, photometric=photometric, compression=compression, predictor=predictor, metadata=None, **layout
            )


def mutate(path: Path, rng: random.Random, number: int) -> None:
    """Change the header, entries of directories, and numbers that entries point to."""
    data = bytearray(path.read_bytes())
    order, fields = _fields(bytes(data))
    if rng.random() < 0.05:
        damage_bytes(data, rng)
    for kind, place, width in some_fields(fields, rng):
        if place + width <= len(data):
            others = _CODES if kind == "tag" else (*_MEANT, len(data), rng.choice(fields)[1])
            put_number(data, place, width, order, rng, others)
    path.write_bytes(data)


def native_values(path: Path) -> dict[str, np.ndarray]:
    """What tifffile reads of the first image where GDAL reads the same; bands stand in front in our arrays.

    Where the two differ nobody can say what is right: of tiles without bytes, for one, tifffile takes those of others.
    """
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        values = page.asarray()
        if page.planarconfig == 1 and values.ndim == 3 and values.shape[-1] == page.samplesperpixel:
            values = np.moveaxis(values, -1, 0)
        if page.samplesperpixel == 1:
            values = values.reshape(values.shape[-2:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            other = file.read()
    if other.dtype != values.dtype.newbyteorder("=") or other.tobytes() != values.astype(other.dtype).tobytes():
        return {}
    return dict.fromkeys(("0", "data", "0/data"), values)


@lru_cache(4)
def _fields(data: bytes) -> tuple[str, list[tuple[str, int, int]]]:
    """The byte order; kind, place and width of each field."""
    order = "little" if data[:2] == b"II" else "big"
    return order, list(_walk(data, order))


def _walk(data: bytes, order: str) -> Iterator[tuple[str, int, int]]:
    def number(place: int, width: int) -> int:
        return int.from_bytes(data[place : place + width], order)

    big = number(2, 2) == 43
    size, front, entry = (8, 8, 20) if big else (4, 2, 12)
    yield "version", 2, 2
    yield "first directory", 8 if big else 4, size
    waiting = [number(8 if big else 4, size)]
    while waiting:
        at = waiting.pop()
        yield "count of entries", at, front
        count = number(at, front)
        for i in range(count):
            place = at + front + entry * i
            yield "tag", place, 2
            yield "type", place + 2, 2
            yield "count", place + 4, size
            width, amount = _SIZES.get(number(place + 2, 2), 1), number(place + 4, size)
            inside = width * amount <= size
            start = place + 4 + size if inside else number(place + 4 + size, size)
            if not inside:
                yield "offset", place + 4 + size, size
            for n in range(min(amount, 64)):
                yield "value", start + n * width, width
            if number(place, 2) == 330:
                waiting += [number(start + n * width, width) for n in range(amount)]
        yield "next directory", at + front + entry * count, size
        following = number(at + front + entry * count, size)
        if following:
            waiting.append(following)
