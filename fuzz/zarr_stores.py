"""Zarr stores that zarr-python makes, with other documents, and with chunks that are missing, cut off or elsewhere."""

import random
from pathlib import Path

import numpy as np
import zarr

from fuzz.json_documents import mutate_json
from fuzz.values import damage_bytes, values_below


def original(seed: int, folder: Path) -> Path:
    """A store of a few arrays and groups, in version 2 or 3, consolidated or not."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    path = folder / "file.zarr"
    version = rng.choice((2, 3))
    root = zarr.create_group(path, zarr_format=version, attributes={"title": "t", "n": [1, 2.5]})
    for i in range(rng.randint(1, 3)):
        group = root if rng.random() < 0.6 else root.require_group(f"g{i}")
        shape = tuple(rng.randint(1, 12) for _ in range(rng.randint(0, 3)))
        chunks = tuple(rng.randint(1, n) for n in shape)
        dtype = rng.choice(("i1", "<i2", ">i4", "u8", "<f4", ">f8", "bool"))
        named = {"dimension_names": [f"d{n}" for n in shape]} if version == 3 and rng.random() < 0.7 else {}
        compressors = rng.choice(("auto", None))
        array = group.create_array(
            f"v{i}", shape=shape, chunks=chunks or "auto", dtype=dtype, compressors=compressors, fill_value=1, **named
        )
        array[...] = numbers.integers(0, 2, shape).astype(dtype)
        if version == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = [f"d{n}" for n in shape]
    if rng.random() < 0.3:
        zarr.consolidate_metadata(path)
    return path


def mutate(path: Path, rng: random.Random, number: int) -> None:
    """Change a document, or a file."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    documents = [file for file in files if file.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")]
    if rng.random() < 0.8:
        document = rng.choice(documents)
        document.write_bytes(mutate_json(document.read_bytes(), rng))
        return
    file, kind = rng.choice(files), rng.randrange(4)
    if kind == 0:
        file.unlink()
    elif kind == 1:
        file.write_bytes(rng.choice(files).read_bytes())
    elif kind == 2:
        file.unlink()
        file.mkdir()
    else:
        data = bytearray(file.read_bytes())
        damage_bytes(data, rng)
        file.write_bytes(data)


def native_values(path: Path) -> dict[str, np.ndarray]:
    """What zarr-python reads."""
    root = zarr.open_group(path, mode="r", use_consolidated=False)
    return values_below(root)
