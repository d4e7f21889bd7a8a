"""The formats that are tried."""

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))  # as pytest has it

from fuzz import dmrpp, hdf5, icechunk_stores, kerchunk, netcdf3, tiff, zarr_stores

__all__ = ["PER_ORIGINAL", "TARGETS", "Target"]

PER_ORIGINAL: Final = 50
"""Mutants of one file: number n is one of the file of seed ``n // 50``."""


@dataclass(frozen=True)
class Target:
    """How files of a format are tried.

    Attributes
    ----------
    original
        Makes the sound file, or directory, of a seed in an empty directory, and returns its path.
    mutate
        Changes a copy of it, given a source of random numbers and the number of the mutant.
    native
        The values of arrays by path as the format's own library reads them; None where nothing is compared.
    fragile
        The library dies or hangs of some mutants: it is asked where there is time for that.
    """

    original: Callable[[int, Path], Path]
    mutate: Callable[[Path, random.Random, int], None]
    native: Callable[[Path], Mapping[str, np.ndarray[Any, Any]]] | None = None
    fragile: bool = False


TARGETS: Final[Mapping[str, Target]] = {
    "hdf5": Target(hdf5.original, hdf5.mutate, hdf5.native_values, fragile=True),
    "netcdf3": Target(netcdf3.original, netcdf3.mutate, netcdf3.native_values),
    "tiff": Target(tiff.original, tiff.mutate, tiff.native_values),
    "dmrpp": Target(dmrpp.original, dmrpp.mutate),
    "kerchunk-json": Target(kerchunk.original_json, kerchunk.mutate_document, kerchunk.native_values),
    "kerchunk-parquet": Target(kerchunk.original_parquet, kerchunk.mutate_directory),
    "zarr": Target(zarr_stores.original, zarr_stores.mutate, zarr_stores.native_values),
    "icechunk": Target(icechunk_stores.original, icechunk_stores.mutate),
}
"""By the names of the formats."""
