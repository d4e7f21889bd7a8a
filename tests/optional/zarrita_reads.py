"""Kerchunk JSON as zarrita reads it, the reader of browsers: values and types against h5py.

Needs Node 20 or later and `npm install --prefix tests/optional`; no part of the test suite.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import manifestry as mf
import numpy as np

SCRIPT = Path(__file__).with_name("zarrita_reads.mjs")


def make_source(place: Path) -> None:
    """Numbers of every size, both byte orders, compressed, with missing chunks, a scalar, in groups."""
    numbers = np.arange(35).reshape(5, 7)
    with h5py.File(place, "w") as file:
        for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"):
            file.create_dataset(f"{kind}", data=(numbers - 3 * (kind[0] != "u")).astype(f"<{kind}"), chunks=(3, 4))
            file.create_dataset(f"{kind}_big", data=numbers.astype(f">{kind}"), chunks=(3, 4))
        file.create_dataset("zlib", data=numbers * 1.5, chunks=(2, 7), compression="gzip")
        file.create_dataset("shuffled", data=numbers, chunks=(2, 7), compression="gzip", shuffle=True)
        sparse = file.create_dataset("sparse", (6, 6), "i4", chunks=(2, 3), fillvalue=-7)
        sparse[:2] = 5
        file.create_dataset("missing", (4,), "f4", chunks=(2,), fillvalue=np.nan)
        file["scalar"] = 42
        file["group/inner/values"] = np.array([0.0, np.nan, np.inf, -np.inf])


def same(right: np.ndarray[Any, Any], found: dict[str, Any]) -> bool:
    """Whether shape, type and every element are those of the source."""
    values = [np.asarray(value, right.dtype.newbyteorder("=")) for value in map(_number, found["data"])]
    return (
        tuple(found["shape"]) == right.shape
        and found["dtype"] == right.dtype.name
        and np.array_equal(np.array(values).reshape(right.shape), right, equal_nan=right.dtype.kind == "f")
    )


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else int(value)


def main() -> int:
    """Write the source as Zarr v2 and v3, and compare; 1 when an array differs."""
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch).resolve()
        make_source(place / "a.h5")
        tree = mf.parse(place / "a.h5")
        names = [path for path, _ in tree.walk_arrays()]
        for version in (2, 3):
            document = place / f"v{version}.json"
            mf.write(tree, document, zarr_format=version)
            command = ["node", SCRIPT, document, f"v{version}", *names]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            found = json.loads(done.stdout)
            with h5py.File(place / "a.h5") as file:
                different = [name for name in names if not same(file[name][...], found[name])]
            equal = len(names) - len(different)
            sys.stdout.write(f"Zarr v{version}: {equal} of {len(names)} arrays equal {' '.join(different)}\n")
            wrong += len(different)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
