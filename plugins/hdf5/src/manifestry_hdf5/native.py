"""Arrays read by libhdf5 itself: what references are checked against."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import h5py
import numpy as np
from h5py import h5d
from manifestry.storage import Source

from manifestry_hdf5.datasets import element_of
from manifestry_hdf5.library import OpenFiles, library_errors
from manifestry_hdf5.values import model_values

with suppress(ImportError):  # where it is installed, libhdf5 finds the filters that it has not built in
    import hdf5plugin  # noqa: F401

__all__ = ["NativeHdf5"]


class NativeHdf5:
    """The datasets of a file through h5py, in the types of the parsed tree.

    Parameters
    ----------
    source
        The file. External links and virtual datasets lead to other files only where it is local.
    """

    def __init__(self, source: Source) -> None:
        self._files = OpenFiles()
        self._file = self._files.open(source)

    def read(self, path: str, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """The elements of a region of the dataset at `path`.

        Raises
        ------
        MalformedFileError
            libhdf5 cannot read them.
        """
        with library_errors(path):
            identifier = h5d.open(self._file.id, path.encode())
            element = element_of(identifier)
            dataset = h5py.Dataset(identifier)
            if dataset.shape is None:
                return np.empty(0, element.dtype)[selection]
            rank = len(dataset.shape)
            values = np.asarray(dataset[selection[:rank]])
        inside = (slice(None),) * rank + selection[rank:]
        return model_values(values, element)[inside]

    def close(self) -> None:
        """Close the file."""
        self._files.close()
