"""HDF5 files that h5py and netCDF-C make, with other fields in their structures."""

import random
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from fuzz.hdf5_structures import mutant, structures
from plugins.hdf5.tests.random_files import write_random_file


def original(seed: int, folder: Path) -> Path:
    """A small random file."""
    write_random_file(folder / "file.h5", seed, small=True)
    return folder / "file.h5"


def mutate(path: Path, rng: random.Random, number: int) -> None:
    """Change one to three fields; checksums are right again."""
    data = path.read_bytes()
    path.write_bytes(mutant(data, _structures(data), number)[0])


def native_values(path: Path) -> dict[str, np.ndarray]:
    """What h5py reads of arrays of numbers; it dies or hangs of some mutants."""
    found = {}

    def read(name: str, item: h5py.HLObject) -> None:
        if (
            isinstance(item, h5py.Dataset)
            and item.dtype.kind in "iuf"
            and item.shape is not None
            and item.size < 1 << 20
        ):
            try:
                found[name] = item[...]
            except (OSError, ValueError, RuntimeError, TypeError):
                return

    with h5py.File(path) as file:
        file.visititems(read)
    return found


@lru_cache(2)
def _structures(data: bytes) -> list:
    return structures(data)
