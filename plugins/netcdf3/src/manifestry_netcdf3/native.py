"""Arrays as netCDF-C reads them: the oracle of `verify`."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from manifestry.plugin import Source, SourceError, UnsupportedFeatureError

__all__ = ["NetCDFReader"]

_IN_MEMORY_BYTES: Final = 1 << 30


class NetCDFReader:
    """Raw elements through netCDF4-python: no masks, no scaling, characters as they are.

    Parameters
    ----------
    source
        The file. netCDF-C reads local files only; a remote one of up to 1 GiB is fetched whole.

    Raises
    ------
    UnsupportedFeatureError
        netCDF4-python is not installed, or the remote file is too large.
    SourceError
        netCDF-C cannot open the file.
    """

    def __init__(self, source: Source) -> None:
        try:
            import netCDF4  # noqa: PLC0415 an optional dependency
        except ImportError as error:
            raise UnsupportedFeatureError(
                "reading with netCDF-C", source.url, "pip install 'manifestry-netcdf3[native]'"
            ) from error
        if source.local_path is None and source.size > _IN_MEMORY_BYTES:
            raise UnsupportedFeatureError(
                "netCDF-C on a remote file of more than 1 GiB", source.url, "verify a local copy"
            )
        self._url = source.url
        try:
            if source.local_path is not None:
                self._dataset: Any = netCDF4.Dataset(source.local_path)
            else:
                self._dataset = netCDF4.Dataset("remote", memory=source.range(0, source.size))
        except (OSError, RuntimeError) as error:
            raise SourceError(f"{source.url}: netCDF-C cannot open it: {error}") from error
        self._dataset.set_auto_maskandscale(False)
        self._dataset.set_auto_chartostring(False)

    def read(self, path: str, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """The raw elements of a region of a variable.

        Raises
        ------
        SourceError
            netCDF-C has no such variable, or cannot read it.
        """
        try:
            return np.asarray(self._dataset.variables[path][selection])
        except (KeyError, IndexError, OSError, RuntimeError) as error:
            raise SourceError(f"{self._url}: netCDF-C cannot read {path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()
