"""Driver information: whether a file is only one of several that are one (specification, sections II.B and IV.A.2.u)."""

from __future__ import annotations

from typing import Final

import numpy as np
from manifestry.plugin import UnsupportedFeatureError

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["DRIVER_INFORMATION_MESSAGE", "check_driver", "read_driver"]

DRIVER_INFORMATION_MESSAGE: Final = 0x14
_DRIVERS: Final = {b"NCSAfami": "family", b"NCSAmult": "multi"}
_HEAD: Final = 16
"""Bytes of a block up to the end of the name of its driver, which takes the last 8 of them."""


def read_driver(superblock: Superblock) -> IndexReader[bytes]:
    """The name of the driver in the driver information block, 8 bytes.

    Raises
    ------
    MalformedFileError
        The block lies beyond the end of the file.
    """
    start = superblock.place(superblock.driver or 0, "driver information block", _HEAD)
    [data] = yield [Blocks(np.array([start], "i8"), _HEAD)]
    return data[0, 8:].tobytes()


def check_driver(name: bytes, where: str) -> None:
    """Make sure that a file is all of its data.

    Raises
    ------
    UnsupportedFeatureError
        A driver has divided it among several files.
    """
    driver = _DRIVERS.get(name)
    if driver is not None:
        raise UnsupportedFeatureError(
            f"file that is one of several ({driver} driver)", where, "make one file of them with h5repart or h5repack"
        )
