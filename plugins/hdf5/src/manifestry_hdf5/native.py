"""Arrays read by libhdf5 itself: what references are checked against."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import h5py
import numpy as np
from h5py import h5d
from manifestry.plugin import ParseContext, Source, UnsupportedFeatureError

from manifestry_hdf5.libhdf5.files import library_errors
from manifestry_hdf5.libhdf5.opening import OpenFiles
from manifestry_hdf5.objects.datasets import element_of
from manifestry_hdf5.objects.values import model_values
from manifestry_hdf5.walk import Walker

with suppress(ImportError):  # where it is installed, libhdf5 finds the filters that it has not built in
    import hdf5plugin  # noqa: F401

__all__ = ["NativeHdf5"]


class NativeHdf5:
    """The datasets of a file through h5py, in the types of the parsed tree.

    Parameters
    ----------
    source
        The file.
    allow
        URL prefixes that it may point at; see `OpenFiles`.
    """

    def __init__(self, source: Source, allow: Sequence[str] | None = None) -> None:
        self._files = OpenFiles(allow)
        self._file = self._files.open(source)

    def read(self, path: str, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """The elements of a region of the dataset at `path`.

        Raises
        ------
        MalformedFileError
            libhdf5 cannot read them.
        UnsupportedFeatureError
            They are in other files, and libhdf5 would look for them elsewhere or may not look there.
        """
        if self._file.remote or self._files.restricted:
            self._require_own(path)
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

    def _require_own(self, path: str) -> None:
        """Make sure that libhdf5 opens no other file when it reads a dataset."""
        file, identifier = Walker(self._files, ParseContext(), follow_external=False).follow(
            self._file, path.encode(), path
        )
        with library_errors(path):
            properties = identifier.get_create_plist()
            if properties.get_layout() == h5d.VIRTUAL or properties.get_external_count():
                raise UnsupportedFeatureError("values in other files", path, f"{file.source.url} is read alone")

    def close(self) -> None:
        """Close the file."""
        self._files.close()
