"""Snapshots, manifests and the other files of Icechunk repositories that our writer makes, with other bytes."""

import random
from pathlib import Path

import manifestry as mf
from backports import zstd
from manifestry.testing.trees import SAMPLES, make_sample

from fuzz.values import damage_bytes

NAMES = sorted(SAMPLES)
HEADER_BYTES = 39
"""Of every binary file: signature, implementation, version, kind and compression (Icechunk specification, "File format")."""


def original(seed: int, folder: Path) -> Path:
    """A repository of one commit."""
    tree = make_sample(NAMES[seed % len(NAMES)], folder / "data").tree
    mf.write(tree, folder / "file.icechunk", on_unsupported="skip")
    return folder / "file.icechunk"


def mutate(path: Path, rng: random.Random, number: int) -> None:
    """Change bytes of what is compressed in a file, of the file itself, or drop it."""
    file = rng.choice(sorted(file for file in path.rglob("*") if file.is_file()))
    data = bytearray(file.read_bytes())
    kind = rng.randrange(8)
    if kind == 0:
        file.unlink()
        return
    if kind == 1 or len(data) < HEADER_BYTES:
        damage_bytes(data, rng)
        file.write_bytes(data)
        return
    try:
        inner = bytearray(zstd.decompress(bytes(data[HEADER_BYTES:])))
    except zstd.ZstdError:
        inner = data
        damage_bytes(inner, rng)
        file.write_bytes(inner)
        return
    for _ in range(rng.choice((1, 1, 2, 4))):
        inner[rng.randrange(len(inner))] = rng.choice((0, 1, 255, rng.randrange(256)))
    file.write_bytes(bytes(data[:HEADER_BYTES]) + zstd.compress(bytes(inner)))
