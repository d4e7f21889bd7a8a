"""Sources of virtual datasets: what they are called, which parts of them are shown, and how long that makes the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from manifestry.plugin import UnsupportedFeatureError

from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.data_objects.dataspace_message import UNLIMITED, Dataspace
from manifestry_hdf5.structures.encodings.dataspace_selection import RegularHyperslab, Selection
from manifestry_hdf5.structures.encodings.selected_elements import endless_axis, endless_extent, slice_count
from manifestry_hdf5.structures.infrastructure.virtual_mappings import VirtualMapping

__all__ = ["Part", "SourceName", "parts_of", "source_names", "virtual_extent"]


class SourceName(NamedTuple):
    """What a virtual dataset calls a source: the name of a file, ``"."`` for its own, and a path in it."""

    file: str
    dataset: str


class Part(NamedTuple):
    """Elements of a virtual dataset and those of a source that stand for them one by one.

    Attributes
    ----------
    slices
        How many indices are taken along the dimension in which both selections have no end; None where they have one.
    """

    virtual: Selection
    source: Selection
    dataset: Dataset
    slices: int | None


def _endless(mapping: VirtualMapping) -> tuple[RegularHyperslab, int]:
    """The virtual selection of a mapping without end, and its dimension without end."""
    axis = endless_axis(mapping.virtual)
    assert isinstance(mapping.virtual, RegularHyperslab)
    assert axis is not None
    return mapping.virtual, axis


def _is_series(mapping: VirtualMapping) -> bool:
    """Whether a mapping stands for many: its virtual selection has no end, and its names have a number."""
    return endless_axis(mapping.virtual) is not None and endless_axis(mapping.source) is None


def _numbered(name: bytes, number: int) -> bytes:
    """A name of a series, with the number of a block."""
    return b"%".join(part.replace(b"%b", str(number).encode()) for part in name.split(b"%%"))


def _name(mapping: VirtualMapping) -> SourceName:
    return SourceName(decode_text(mapping.file), decode_text(mapping.dataset))


def _member(mapping: VirtualMapping, number: int) -> VirtualMapping:
    """One mapping of a series."""
    virtual, axis = _endless(mapping)
    start = virtual.start[axis] + number * virtual.stride[axis]
    block = replace(
        virtual,
        start=(*virtual.start[:axis], start, *virtual.start[axis + 1 :]),
        count=(*virtual.count[:axis], 1, *virtual.count[axis + 1 :]),
    )
    return mapping._replace(
        file=_numbered(mapping.file, number), dataset=_numbered(mapping.dataset, number), virtual=block
    )


def _members(mapping: VirtualMapping, shape: Sequence[int]) -> Iterator[VirtualMapping]:
    """The mappings of a series that the shape of the virtual dataset has room for; the mapping itself where it is none."""
    if not _is_series(mapping):
        yield mapping
        return
    virtual, axis = _endless(mapping)
    if virtual.block[axis] == UNLIMITED:
        raise UnsupportedFeatureError("virtual dataset whose sources are one block without an end")
    room = shape[axis] - virtual.start[axis] - virtual.block[axis]
    for number in range(room // virtual.stride[axis] + 1 if room >= 0 else 0):
        yield _member(mapping, number)


def source_names(mappings: Sequence[VirtualMapping], shape: Sequence[int]) -> list[SourceName]:
    """The sources of a virtual dataset of a shape, each once."""
    return list(dict.fromkeys(_name(member) for mapping in mappings for member in _members(mapping, shape)))


def virtual_extent(
    space: Dataspace, mappings: Sequence[VirtualMapping], shape_of: Callable[[SourceName], tuple[int, ...] | None]
) -> Dataspace:
    """The dimensions of a virtual dataset: where selections have no end, as far as its sources have elements.

    That is what libhdf5 shows by default (``H5D_VDS_LAST_AVAILABLE``, no gaps in series).

    Parameters
    ----------
    shape_of
        The shape of a source, None where there is none.
    """
    found: dict[int, int] = {}
    least = [0] * len(space.shape)
    for mapping in mappings:
        virtual, axis = mapping.virtual, endless_axis(mapping.virtual)
        for dimension, end in enumerate(_ends(virtual)):
            if dimension != axis:
                least[dimension] = max(least[dimension], end)
        if axis is not None:
            assert isinstance(virtual, RegularHyperslab)
            found[axis] = max(found.get(axis, 0), endless_extent(virtual, _available(mapping, shape_of)))
    shape = tuple(max(found[i], least[i]) if i in found else n for i, n in enumerate(space.shape))
    return space._replace(shape=shape)


def _ends(selection: Selection) -> Sequence[int]:
    """Behind the last element that is selected, for each dimension; not of dimensions without end."""
    if isinstance(selection, RegularHyperslab):
        parts = zip(selection.start, selection.stride, selection.count, selection.block, strict=True)
        return [start + (count - 1) * stride + block for start, stride, count, block in parts]
    return []


def _available(mapping: VirtualMapping, shape_of: Callable[[SourceName], tuple[int, ...] | None]) -> int:
    """How many indices the sources of a mapping have along the dimension without end."""
    virtual, axis = _endless(mapping)
    if not _is_series(mapping):
        shape = shape_of(_name(mapping))
        assert isinstance(mapping.source, RegularHyperslab)
        return 0 if shape is None else slice_count(mapping.source, shape)
    number = 0
    while shape_of(_name(_member(mapping, number))) is not None:
        number += 1
        if _numbered(mapping.file + mapping.dataset, 0) == _numbered(mapping.file + mapping.dataset, 1):
            raise UnsupportedFeatureError("virtual dataset of a series whose names have no number")
    return number * virtual.block[axis]


def parts_of(dataset: Dataset, mappings: Sequence[VirtualMapping], sources: dict[SourceName, Dataset]) -> list[Part]:
    """What a virtual dataset shows of its sources."""
    parts = []
    for mapping in mappings:
        for member in _members(mapping, dataset.shape):
            source, slices = sources[_name(member)], None
            if isinstance(member.virtual, RegularHyperslab) and endless_axis(member.virtual) is not None:
                assert isinstance(member.source, RegularHyperslab)
                slices = min(slice_count(member.virtual, dataset.shape), slice_count(member.source, source.shape))
            parts.append(Part(member.virtual, member.source, source, slices))
    return parts
