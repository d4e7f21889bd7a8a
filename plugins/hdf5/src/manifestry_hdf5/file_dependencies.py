"""The other files that values depend on when libhdf5 reads them itself: raw files and sources of virtual datasets.

libhdf5 opens them by rules of its own and does not ask whether a file may point there. From a remote file it finds no
other: it takes the names of raw files for local ones, and opens the same file once more in place of any other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from manifestry.plugin import SourceError, UnsupportedFeatureError

from manifestry_hdf5.libhdf5.files import Identity
from manifestry_hdf5.libhdf5.opening import OpenFiles
from manifestry_hdf5.linked_files import PointsBy
from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.storage.contiguous import raw_files, raw_sources
from manifestry_hdf5.storage.virtual import endless_names, source_names
from manifestry_hdf5.structures.layout import LayoutClass

__all__ = ["check_dependencies", "check_extent"]

type Sources = Callable[[Dataset], list[Dataset | None]]

_FEATURE: Final = "values that have to be copied from other files"


def check_dependencies(dataset: Dataset, files: OpenFiles, sources: Sources) -> None:
    """Make sure that libhdf5 reads the values of a dataset from the files that they are in, and that it may.

    Parameters
    ----------
    sources
        The sources of a virtual dataset; None for those whose names are patterns.

    Raises
    ------
    UnsupportedFeatureError
        It does not, or may not.
    """
    _check(dataset, files, sources, set())


def check_extent(dataset: Dataset, files: OpenFiles) -> None:
    """Make sure that libhdf5 has found the sources that a virtual dataset is as long as.

    Raises
    ------
    UnsupportedFeatureError
        It has not, or may not.
    """
    for name in endless_names(dataset):
        if name != "." and (dataset.file.remote or "://" in name):
            try:
                place = files.link_target(dataset.file, name, PointsBy.VIRTUAL_SOURCE, dataset.path).url
            except SourceError as error:
                place = str(error)
            hint = f"libhdf5 does not see how long {place} is; copy the files to this machine"
            raise UnsupportedFeatureError("virtual dataset without an end in remote files", dataset.path, hint)


def _check(dataset: Dataset, files: OpenFiles, sources: Sources, above: set[Identity]) -> None:
    if dataset.layout == LayoutClass.VIRTUAL:
        _check_sources(dataset, files, sources, above)
    elif raw_files(dataset) is not None:
        names = [name for name, _, _ in raw_files(dataset) or ()]
        for name, source in zip(names, raw_sources(dataset, files), strict=True):
            if source.local_path is None or source.local_path != Path(name).absolute():
                hint = f"libhdf5 would not look for the raw file {name} at {source.url}"
                raise UnsupportedFeatureError(_FEATURE, dataset.path, hint)


def _check_sources(dataset: Dataset, files: OpenFiles, sources: Sources, above: set[Identity]) -> None:
    if dataset.identity in above:
        raise UnsupportedFeatureError("virtual dataset that is its own source", dataset.path)
    if not dataset.file.remote and not files.restricted:
        urls = [name for name, _ in source_names(dataset) if "://" in name]
        if urls:  # libhdf5 takes it for a file that is missing, and gives fill values
            raise UnsupportedFeatureError(_FEATURE, dataset.path, f"libhdf5 does not read {urls[0]}")
        return
    for source in sources(dataset):
        elsewhere = source is not None and source.file is not dataset.file
        if source is None or (elsewhere and (source.file.remote or dataset.file.remote)):
            raise UnsupportedFeatureError(_FEATURE, dataset.path, "copy the files to this machine")
        _check(source, files, sources, above | {dataset.identity})
