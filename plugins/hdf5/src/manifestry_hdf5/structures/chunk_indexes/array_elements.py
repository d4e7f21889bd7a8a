"""What fixed and extensible arrays hold for a chunk (specification, sections VII.C and VII.D, "Element")."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.fields import integers

__all__ = ["Entries", "decode_entries"]


class Entries(NamedTuple):
    """Columns of array elements: which are defined, and for those the address, stored bytes and filter mask."""

    places: NDArray[np.int64]
    addresses: NDArray[np.uint64]
    sizes: NDArray[np.uint64]
    masks: NDArray[np.uint32]


def decode_entries(
    octets: NDArray[np.uint8],
    filtered: int,
    offset_size: int,
    chunk_bytes: int,
    places: NDArray[np.int64] | None = None,
) -> Entries:
    """Array elements from their bytes, ``(n, size)``.

    Parameters
    ----------
    filtered
        Client identifier of the array: 1 when elements hold size and mask besides the address.
    chunk_bytes
        What an unfiltered chunk takes.
    places
        Numbers of the elements, when they are not all from 0 on.
    """
    count, size = octets.shape
    if size < offset_size + 5 if filtered else size != offset_size:
        raise MalformedFileError(f"chunk array: elements of {size} bytes do not fit its kind")
    defined = np.flatnonzero(~(octets[:, :offset_size] == 255).all(axis=1))
    if len(defined) != count:
        octets = octets[defined]
    addresses = integers(octets[:, :offset_size])
    places = defined if places is None else places[defined]
    if not filtered:
        return Entries(places, addresses, np.full(len(addresses), chunk_bytes, "u8"), np.zeros(len(addresses), "u4"))
    sizes = integers(octets[:, offset_size : size - 4])
    masks = integers(octets[:, size - 4 :]).astype("u4")
    return Entries(places, addresses, sizes, masks)
