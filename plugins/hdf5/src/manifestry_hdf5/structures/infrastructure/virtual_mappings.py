"""Virtual datasets: which parts of which datasets they show (specification, sections III.E and IV.A.2.i).

The data layout message names an object of the global heap, the "global heap block for virtual datasets". Version 1 of it,
which HDF5 2.0 writes, does not repeat names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.encodings.dataspace_selection import Selection, parse_selection
from manifestry_hdf5.structures.encodings.selected_elements import fixed_count
from manifestry_hdf5.structures.fields import Fields
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["SAME_FILE", "VirtualMapping", "parse_virtual_mappings"]

SAME_FILE: Final = b"."
"""The name of a source file that is the file of the virtual dataset."""

_STRUCTURE: Final = "global heap block of a virtual dataset"
_CHECKSUM_BYTES: Final = 4
_FILE_SHARED, _DATASET_SHARED, _IN_SAME_FILE = 0x01, 0x02, 0x04


class VirtualMapping(NamedTuple):
    """A part of a virtual dataset.

    Attributes
    ----------
    file, dataset
        Names of the source, as they are in the file. In names of virtual selections without end, ``%b`` stands for the
        number of a block, and ``%%`` for a percent sign.
    source, virtual
        The elements of the source, and those of the virtual dataset that stand for them one by one.
    """

    file: bytes
    dataset: bytes
    source: Selection
    virtual: Selection


def parse_virtual_mappings(data: bytes, superblock: Superblock, rank: int | None = None) -> tuple[VirtualMapping, ...]:
    """The mappings that a heap object holds.

    Parameters
    ----------
    rank
        How many dimensions the virtual dataset has, None where that is not known.

    Raises
    ------
    MalformedFileError
        Its checksum does not match, it is too short, or contradicts itself.
    UnsupportedFeatureError
        Its version, or that of a selection, is not known.
    """
    body, stored = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(data) <= _CHECKSUM_BYTES or lookup3_of(body) != int.from_bytes(stored, "little"):
        raise MalformedFileError(f"{_STRUCTURE}: its checksum does not match its {len(data)} bytes")
    fields = Fields(body, _STRUCTURE)
    version, count = fields.take(1), fields.take(superblock.length_size)
    if version > 1:
        raise UnsupportedFeatureError(f"{_STRUCTURE} of version {version}")
    mappings: list[VirtualMapping] = []
    for _ in range(count):  # each takes bytes, and too few of them end it
        flags = fields.take(1) if version else 0
        if flags & ~(_FILE_SHARED | _DATASET_SHARED | _IN_SAME_FILE):
            raise MalformedFileError(f"{_STRUCTURE}: flags {flags:#x} that do not exist")
        if flags & _IN_SAME_FILE:
            file = SAME_FILE
        else:
            file = _earlier(fields, mappings, superblock).file if flags & _FILE_SHARED else fields.text()
        dataset = _earlier(fields, mappings, superblock).dataset if flags & _DATASET_SHARED else fields.text()
        source, virtual = parse_selection(fields), parse_selection(fields, rank)
        mapping = VirtualMapping(file, dataset, source, virtual)
        _check_counts(mapping)
        mappings.append(mapping)
    return tuple(mappings)


def _earlier(fields: Fields, mappings: Sequence[VirtualMapping], superblock: Superblock) -> VirtualMapping:
    """The mapping, before the next one, that has the name of the next one."""
    number = fields.take(superblock.length_size)
    if number >= len(mappings):
        raise MalformedFileError(
            f"{_STRUCTURE}: mapping {len(mappings)} shares a name with mapping {number}, which does not come before it"
        )
    return mappings[number]


def _check_counts(mapping: VirtualMapping) -> None:
    """Check that elements stand for each other one by one, where that can be said without the shapes."""
    virtual, source = fixed_count(mapping.virtual), fixed_count(mapping.source)
    if None not in (virtual, source) and virtual != source:
        raise MalformedFileError(f"{_STRUCTURE}: {virtual} elements are mapped to {source} of {mapping.dataset!r}")
