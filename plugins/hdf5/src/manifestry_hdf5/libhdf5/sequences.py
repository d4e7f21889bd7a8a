"""Members of variable-length sequences as h5py gives them.

h5py (3.16 and before) reads the members of big-endian sequences as the file has them, and calls them native: 1.0 comes
out as 4.6e-41. Those of records are right. Whether the installed h5py does so is tried once, on a file in memory.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import h5py
import numpy as np

from manifestry_hdf5.objects.datatypes import Endian

__all__ = ["in_file_order"]


def in_file_order(members: np.ndarray[Any, Any], endian: Endian | None) -> np.ndarray[Any, Any]:
    """The members of one sequence, in the byte order that they really have.

    Parameters
    ----------
    endian
        Byte order that the datatype declares.
    """
    if endian is None or members.dtype.itemsize == 1 or members.dtype.names is not None or not _order_is_lost():
        return members
    return members.view(members.dtype.newbyteorder(endian))


@cache
def _order_is_lost() -> bool:
    with h5py.File("manifestry-probe", "w", driver="core", backing_store=False) as file:
        dtype = h5py.vlen_dtype(np.dtype(">i2"))
        file.create_dataset("probe", (1,), dtype)[0] = np.array([1], ">i2")
        return int(file["probe"][0][0]) != 1
