"""HDF5 files that h5py and netCDF-C make, with other fields in their structures."""

import random
from functools import lru_cache
from pathlib import Path

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


@lru_cache(2)
def _structures(data: bytes) -> list:
    return structures(data)
