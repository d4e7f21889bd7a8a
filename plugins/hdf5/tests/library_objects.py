"""Objects of a file as libhdf5 gives them, and why it does not give some."""

import ctypes
import re

import h5py
from h5py import h5d, h5g, h5l, h5o

from plugins.hdf5.tests.library_values import NoSuchTypeError, labels_of
from plugins.hdf5.tests.random_types import library

LIBRARY_ERRORS = (ValueError, OSError, RuntimeError, TypeError, KeyError)

UNLIMITED = "a dataset that libhdf5 does not open: it loses unlimited dimensions where lengths have 4 bytes"
UNUSED = (
    "an object that libhdf5 does not open: it takes numbers for damaged that leave more than half of their bits unused"
)
_FAULTS = {"didn't find unlimited dimension": UNLIMITED, "unusually large # of unused bits": UNUSED}
"""What libhdf5 says of objects that it does not open for a fault or a doubt of its own, and what is counted then."""


def reason_of(error):
    """What libhdf5 says, or that numpy has no such type."""
    return (
        "numpy has no such type"
        if isinstance(error, NoSuchTypeError)
        else re.sub(r" \(prec = .*", ")", str(error).partition(", name")[0])[:120]
    )


def fault_of(group, raw):
    """Why libhdf5 does not open an object that is there; None for other reasons."""
    try:
        h5o.open(group.id, raw)
    except LIBRARY_ERRORS as error:
        return next((name for said, name in _FAULTS.items() if said in str(error)), None)
    return None


def find_unopened(group, path, unopened, seen):
    """Enter addresses and paths of the datasets of a group that libhdf5 does not open for that."""
    for raw in link_names(group):
        info = group.id.links.get_info(raw)
        if info.type != h5l.TYPE_HARD or info.u in seen:
            continue
        seen.add(info.u)
        child = followed(group, raw)
        inside = f"{path}/{raw!r}"
        if child is None and fault_of(group, raw):
            unopened[info.u] = inside
        elif isinstance(child, h5py.Group):
            find_unopened(child, inside, unopened, seen)


def chunk_index(dataset):
    kind = ctypes.c_int()
    if library().H5Dget_chunk_index_type(ctypes.c_int64(dataset.id.id), ctypes.byref(kind)) < 0:
        raise OSError("H5Dget_chunk_index_type failed")
    return kind.value


def is_readable(read, one):
    """Whether libhdf5 gives values that numpy has a type for."""
    try:
        read(one)
    except (NoSuchTypeError, *LIBRARY_ERRORS):
        return False
    return True


def is_scale(dataset):
    try:
        return h5py.h5ds.is_scale(dataset.id)
    except LIBRARY_ERRORS:
        return False


def labels_in(tid):
    """Whether a type is an enumeration, or an array or sequence of one."""
    while tid.get_class() in (h5py.h5t.ARRAY, h5py.h5t.VLEN):
        tid = tid.get_super()
    return tid.get_class() == h5py.h5t.ENUM and bool(labels_of(tid))


def link_names(group):
    names = []
    group.id.links.iterate(names.append)
    return names


def followed(group, raw):
    """What a link leads to, or None; libhdf5 follows to other files where it finds them."""
    try:
        identifier = h5o.open(group.id, raw)
    except LIBRARY_ERRORS:
        return None
    if isinstance(identifier, h5g.GroupID):
        return h5py.Group(identifier)
    return h5py.Dataset(identifier) if isinstance(identifier, h5d.DatasetID) else h5py.Datatype(identifier)
