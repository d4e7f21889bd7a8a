"""The codecs of `hdf5_filters`, `zfp` and `hdf5_storage` in Zarr v3 pipelines."""

from __future__ import annotations

from manifestry_codecs import hdf5_filters, hdf5_storage, zfp
from manifestry_codecs.zarr_v3 import ArrayToArray, BytesToBytes

__all__ = [
    "Bits",
    "Bitshuffle",
    "Blosc2",
    "FixedString",
    "Lzf",
    "NBit",
    "Optional",
    "Record",
    "ScaleOffset",
    "Sequences",
    "Shuffle",
    "Zfp",
]


class ScaleOffset(BytesToBytes, numcodec=hdf5_filters.ScaleOffset):
    """See `hdf5_filters.ScaleOffset`."""


class NBit(BytesToBytes, numcodec=hdf5_filters.NBit):
    """See `hdf5_filters.NBit`."""


class Bitshuffle(BytesToBytes, numcodec=hdf5_filters.Bitshuffle):
    """See `hdf5_filters.Bitshuffle`."""


class Blosc2(BytesToBytes, numcodec=hdf5_filters.Blosc2):
    """See `hdf5_filters.Blosc2`."""


class Lzf(BytesToBytes, numcodec=hdf5_filters.Lzf):
    """See `hdf5_filters.Lzf`."""


class Zfp(BytesToBytes, numcodec=zfp.Zfp):
    """See `zfp.Zfp`."""


class Shuffle(BytesToBytes, numcodec=hdf5_filters.Shuffle):
    """See `hdf5_filters.Shuffle`."""


class Optional(BytesToBytes, numcodec=hdf5_storage.Optional):
    """See `hdf5_storage.Optional`."""


class Bits(BytesToBytes, numcodec=hdf5_storage.Bits):
    """See `hdf5_storage.Bits`."""


class FixedString(BytesToBytes, numcodec=hdf5_storage.FixedString):
    """See `hdf5_storage.FixedString`."""


class Record(BytesToBytes, numcodec=hdf5_storage.Record):
    """See `hdf5_storage.Record`."""


class Sequences(ArrayToArray, numcodec=hdf5_storage.Sequences):
    """See `hdf5_storage.Sequences`."""
