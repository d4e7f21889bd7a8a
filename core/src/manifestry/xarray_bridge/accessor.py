"""``ds.manifestry``: write a virtual dataset, or take it as a tree."""

from __future__ import annotations

from typing import Any

import xarray as xr

from manifestry.formats.report import WriteReport
from manifestry.model.tree import VirtualGroup
from manifestry.writing import write
from manifestry.xarray_bridge.datasets import from_virtual_dataset, from_virtual_datatree

__all__ = ["DataTreeAccessor", "DatasetAccessor"]


class _Accessor:
    """What datasets and data trees have in common."""

    def to_tree(self) -> VirtualGroup:
        """The virtual tree; variables in memory are encoded and copied into it."""
        raise AssertionError("made by the subclasses")

    def write(self, target: Any, *, format: str | None = None, **options: Any) -> WriteReport:  # noqa: A002 as in manifestry.write
        """Store it as a virtual Zarr store; the parameters are those of `manifestry.write`."""
        return write(self.to_tree(), target, format=format, **options)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the references take."""
        return self.to_tree().nbytes


@xr.register_dataset_accessor("manifestry")  # type: ignore[no-untyped-call]
class DatasetAccessor(_Accessor):
    """Virtual datasets.

    Parameters
    ----------
    dataset
        The dataset.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def to_tree(self) -> VirtualGroup:
        """The virtual tree; variables in memory are encoded and copied into it."""
        return from_virtual_dataset(self._dataset)


@xr.register_datatree_accessor("manifestry")  # type: ignore[no-untyped-call]
class DataTreeAccessor(_Accessor):
    """Virtual data trees.

    Parameters
    ----------
    tree
        The data tree.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def to_tree(self) -> VirtualGroup:
        """The virtual tree; variables in memory are encoded and copied into it."""
        return from_virtual_datatree(self._tree)
