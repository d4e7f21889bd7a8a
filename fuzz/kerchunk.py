"""Kerchunk JSON and Parquet that our writers make of the sample trees, with other values."""

import random
from pathlib import Path

import fsspec
import manifestry as mf
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from manifestry.testing.trees import SAMPLES, make_sample

from fuzz.json_documents import mutate_json
from fuzz.values import damage_bytes, other_number, values_below

NAMES = sorted(SAMPLES)


def original_json(seed: int, folder: Path) -> Path:
    """A document of references in either version of Zarr."""
    version = (2, 3, "both")[seed // len(NAMES) % 3]
    tree = make_sample(NAMES[seed % len(NAMES)], folder / "data").tree
    mf.write(tree, folder / "file.json", on_unsupported="skip", zarr_format=version)
    return folder / "file.json"


def mutate_document(path: Path, rng: random.Random, number: int) -> None:
    """Change values of a document of references."""
    path.write_bytes(mutate_json(path.read_bytes(), rng))


def native_values(path: Path) -> dict[str, np.ndarray]:
    """What fsspec and zarr-python read of the version of Zarr that stands in the document."""
    system = fsspec.filesystem(
        "reference", fo=str(path), remote_protocol="file", asynchronous=True, skip_instance_cache=True
    )
    root = zarr.open_group(zarr.storage.FsspecStore(system, read_only=True, path=""), mode="r", use_consolidated=False)
    return values_below(root)


def original_parquet(seed: int, folder: Path) -> Path:
    """A directory of references."""
    tree = make_sample(NAMES[seed % len(NAMES)], folder / "data").tree
    mf.write(tree, folder / "file.parq", on_unsupported="skip")
    return folder / "file.parq"


def mutate_directory(path: Path, rng: random.Random, number: int) -> None:
    """Change the metadata, a table, or the bytes of one."""
    tables = sorted(path.rglob("*.parq"))
    kind = rng.randrange(4)
    if kind < 2 or not tables:
        mutate_document(path / ".zmetadata", rng, number)
        return
    table = rng.choice(tables)
    if kind == 2:
        data = bytearray(table.read_bytes())
        damage_bytes(data, rng)
        table.write_bytes(data)
    else:
        _change_table(table, rng)


def _change_table(path: Path, rng: random.Random) -> None:
    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    values = table[name].to_pylist()
    kind = rng.randrange(5)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.slice(rng.randrange(len(table) + 1))
    elif kind == 2:
        table = table.rename_columns([rng.choice(("path", "offset", "size", "raw", "x")) for _ in table.column_names])
    elif kind == 3:
        column = pa.array([None if v is None else str(v) for v in values])
        table = table.set_column(table.column_names.index(name), name, column)
    else:
        at = rng.randrange(len(values)) if values else 0
        old = values[at] if values else None
        if isinstance(old, int):
            values[at] = other_number(old, 62, rng) * rng.choice((1, 1, -1))
        elif values:
            values[at] = rng.choice((None, b"x" if name == "raw" else "x", b"" if name == "raw" else ""))
        table = table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))
    pq.write_table(table, path)
