"""Everything that a parsed tree says of an HDF5 file, compared with what libhdf5 says through h5py."""

import contextlib
import ctypes
from collections import Counter
from dataclasses import dataclass, field

import h5py
import manifestry as mf
import numpy as np
import zarr
from h5py import h5, h5a, h5d, h5o, h5z
from manifestry.plugin import is_node_name
from manifestry.testing.refusing import refusal
from manifestry_hdf5.structures.chunk_indexes.chunks import Extent

from plugins.hdf5.tests.library_objects import (
    LIBRARY_ERRORS,
    chunk_index,
    fault_of,
    find_unopened,
    followed,
    is_readable,
    is_scale,
    labels_in,
    link_names,
    reason_of,
)
from plugins.hdf5.tests.library_values import (
    LONG,
    NoSuchTypeError,
    attribute_values,
    dataset_values,
    decoded,
    fill_value,
    has_references,
    holds_padded,
    object_at,
    same_attribute,
    same_elements,
    same_paths,
)
from plugins.hdf5.tests.random_types import library
from tests.support.hdf5_library import chunks_of

_HIDDEN = {"DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict"}
_SCALE, _LABELS = {"CLASS", "NAME"}, {"flag_values", "flag_meanings"}
CUT = "several references of which libhdf5 wrote only the first bytes: addresses have fewer than 8"
PADDED = "integers of one byte, declared big-endian, that libhdf5 leaves in their padding"
COORDINATES = "chunks whose coordinates libhdf5 tells wrongly: the array does not grow along its first axis"
_EXTENSIBLE = 4
"""libhdf5's number of the index that is an extensible array."""

_PARTIAL_UNFILTERED = 2
"""libhdf5's option that lets chunks that reach over the edge go through no filter."""

_CODECS = {
    1: {"numcodecs.zlib"}, 2: {"numcodecs.shuffle", "manifestry.shuffle"}, 3: {"numcodecs.fletcher32"},
    4: {"imagecodecs_szip"}, 5: {"manifestry.nbit"}, 6: {"manifestry.scaleoffset"}, 32000: {"manifestry.lzf"},
}  # fmt: skip
"""Filters by number, and the codecs that decode them."""

_ONLY_DIMENSION = "This is a netCDF dimension but not a netCDF variable"


@dataclass
class Comparison:
    """What was compared, how often; differences as ``(path, what)``; issues of the tree by feature.

    Differences whose cause is a known fault of libhdf5 are counted by its name in `explained`.
    """

    compared: Counter = field(default_factory=Counter)
    explained: Counter = field(default_factory=Counter)
    differences: list = field(default_factory=list)
    issues: Counter = field(default_factory=Counter)


def compare(path):
    """Parse a file and compare all of it."""
    with contextlib.chdir(path.parent):  # where libhdf5 looks for raw files
        try:
            file = h5py.File(path)
            file["/"].attrs  # noqa: B018 what libhdf5 wrote into the image of its cache it does not always read
        except LIBRARY_ERRORS as error:
            with refusal():
                mf.parse(path, on_unsupported="skip")
            return Comparison(explained=Counter({f"libhdf5 cannot open the file: {reason_of(error)}": 1}))
        with file:
            return _Comparer(file, mf.parse(path, on_unsupported="skip")).run()


class _Comparer:
    def __init__(self, file, tree):
        self._file, self._tree = file, tree
        self._result = Comparison(issues=Counter(issue.feature for issue in tree.issues))
        self._issues = {}
        for issue in tree.issues:
            self._issues.setdefault(issue.path, []).append(issue)
        self._seen = set()
        self._unopened = {}
        find_unopened(file["/"], "", self._unopened, set())
        self._address_bytes = file.id.get_create_plist().get_sizes()[0]
        self._values = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
        self._netcdf = False
        with contextlib.suppress(*LIBRARY_ERRORS):
            self._netcdf = "_NCProperties" in file.attrs

    def run(self):
        self._group(self._file["/"], self._tree, "", [self._file["/"]])
        return self._result

    def _check(self, path, what, good, note=""):
        self._result.compared[what] += 1
        if not good:
            self._result.differences.append((path, what, str(note)[:300]))

    def _group(self, group, ours, path, above):
        self._attributes(group.id, ours.attributes, path, scale=False)
        arrays, groups = [], []
        for raw, link in self._names(group, path):
            child = followed(group, raw)
            name = self._netcdf_name(group, child, link)
            if name in arrays and self._is_dimension(child):
                continue  # its variable is not its coordinate, and had the other name
            inside = f"{path}/{name}".lstrip("/")
            if name.encode() != raw and isinstance(followed(group, name.encode()), h5py.Group | h5py.Dataset):
                beside = followed(group, name.encode())
                if isinstance(beside, h5py.Group) or not self._is_dimension(beside):
                    refused = [issue for issue in self._issues.get(inside, ()) if "beside another" in issue.feature]
                    self._check(inside, "two of a name", bool(refused), "is not refused")
                    continue
            if child is None and (fault := fault_of(group, raw)):
                self._result.explained[fault] += 1
                arrays += [name] if name in ours.arrays else []
                groups += [name] if name in ours.groups else []
            elif child is None or isinstance(child, h5py.Datatype):
                self._check(inside, "link", name not in ours.arrays and name not in ours.groups)
                self._check(inside, "issue", isinstance(child, h5py.Datatype) or inside in self._issues)
            elif isinstance(child, h5py.Dataset):
                if self._dataset(child, ours, name, inside):
                    arrays.append(name)
            elif child in above:
                self._check(inside, "cycle", name not in ours.groups and inside in self._issues)
            elif name in ours.groups:
                groups.append(name)
                self._group(child, ours.groups[name], inside, [*above, child])
            else:
                self._check(inside, "group", inside in self._issues, "is missing")
        self._check(path, "arrays", list(ours.arrays) == arrays, (list(ours.arrays), arrays))
        self._check(path, "groups", list(ours.groups) == groups, (list(ours.groups), groups))

    def _netcdf_name(self, group, child, name):
        """The name of a link, or the one that netCDF has for its dataset where it has the name of a dimension."""
        own = name.removeprefix("_nc4_non_coord_")
        if own in ("", name) or not isinstance(child, h5py.Dataset):
            return name
        numbered = "_Netcdf4Dimid" in child.attrs or "_Netcdf4Coordinates" in child.attrs
        beside = followed(group, own.encode())
        return own if self._netcdf or numbered or self._is_dimension(beside) else name

    @staticmethod
    def _is_dimension(item):
        """Whether an object is a dimension without a variable."""
        with contextlib.suppress(*LIBRARY_ERRORS):
            return isinstance(item, h5py.Dataset) and decoded(bytes(item.attrs.get("NAME", b""))).startswith(
                _ONLY_DIMENSION
            )
        return False

    def _names(self, group, path):
        """The links that can be nodes, in our order: that of the bytes of their names."""
        for raw in sorted(link_names(group)):
            name = raw.decode(errors="backslashreplace")
            good = name.encode() == raw and is_node_name(name)
            if good:
                yield raw, name
            else:
                self._check(
                    f"{path}/{name}".lstrip("/"), "name of no node", f"{path}/{name}".lstrip("/") in self._issues
                )

    def _dataset(self, dataset, ours, name, path):
        """Whether the dataset is an array of the tree."""
        array = ours.arrays.get(name)
        if array is None:
            hidden = False
            with contextlib.suppress(*LIBRARY_ERRORS):
                hidden = decoded(bytes(dataset.attrs.get("NAME", b""))).startswith(_ONLY_DIMENSION)
            refused = [issue for issue in self._issues.get(path, ()) if issue.severity == "refused"]
            self._check(path, "dataset", hidden or refused, "is missing without an issue")
            malformed = [str(issue) for issue in refused if issue.feature == "malformed"]
            if malformed and is_readable(dataset_values, dataset):
                self._check(path, "malformed", good=False, note=malformed)
            return False
        scale = is_scale(dataset)
        self._attributes(dataset.id, array.attributes, path, scale=scale)
        self._dims(dataset, array, path, scale)
        self._chunks(dataset, array, path)
        try:
            values, memory = dataset_values(dataset)
        except (NoSuchTypeError, *LIBRARY_ERRORS) as error:
            self._unread(dataset, error, path)
            return True
        if dataset.shape is None:
            self._check(path, "null", 0 in array.metadata.shape, array.metadata.shape)
            return True
        shape = values.shape[:-1] if memory.what == "sequence" else values.shape
        if memory.what != "sequence" or dataset.shape:
            self._check(path, "shape", array.metadata.shape == shape, (array.metadata.shape, shape))
        self._fill(dataset, array, memory, path)
        try:
            got = self._values[path][...]
        except Exception as error:
            self._check(path, "reading", good=False, note=repr(error))
            return True
        if memory.what not in ("text", "sequence", "record", "object"):
            native = values.dtype.newbyteorder("=")
            self._check(path, "dtype", array.metadata.dtype == LONG.get(native, native), memory.dtype)
        got = np.asarray(got, array.metadata.dtype if memory.what == "bytes" else None)
        self._result.explained[PADDED] += holds_padded(memory)
        if has_references(memory):
            at = object_at(self._file, self._unopened)
            self._check(path, "references", same_paths(got, values, memory, at), (memory.dtype, got, values))
            return True
        self._check(path, "values", same_elements(got, values, memory), (memory.dtype, got, values))
        return True

    def _unread(self, dataset, error, path):
        """Count why libhdf5 does not read a dataset; what it cannot decode we cannot either."""
        reason = reason_of(error)
        if isinstance(error, OSError):
            try:
                dataset[...]
            except LIBRARY_ERRORS as told:
                reason = reason_of(told)
        self._result.explained[f"libhdf5 cannot read: {reason}"] += 1
        if "filter returned failure" in reason:
            self._check(path, "chunks that nobody decodes", not self._is_read(path))

    def _is_read(self, path):
        try:
            self._values[path][...]
        except (ValueError, RuntimeError, OSError):
            return False
        return True

    def _dims(self, dataset, array, path, scale):
        dims = array.dims
        self._check(path, "rank of dims", len(dims) == array.metadata.ndim or dims == ())
        for axis, dim in enumerate(dataset.dims if dataset.shape else ()):
            with contextlib.suppress(*LIBRARY_ERRORS):
                attached = [one.name.rpartition("/")[2].removeprefix("_nc4_non_coord_") for one in dim.values()]
                if attached and not scale:
                    self._check(path, "scale", dims[axis] == attached[0], (dims, attached))
        if scale and len(dataset.shape) == 1:
            own = {path.rpartition("/")[2].removeprefix("_nc4_non_coord_"), dataset.name.rpartition("/")[2]}
            self._check(path, "dim of a scale", dims[0] in own, dims)

    def _fill(self, dataset, array, memory, path):
        if memory.what in ("sequence", "record", "text", "object") or memory.dtype.shape:
            return  # seen where chunks are missing
        tid = dataset.id.get_type()
        if hasattr(tid, "get_precision") and tid.get_precision() != 8 * tid.get_size():
            return  # libhdf5 leaves the padding of a fill value in it, and takes it out of what it fills
        value = np.zeros((), memory.dtype)
        if dataset.id.get_create_plist().fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
            value, memory = fill_value(dataset)
        ours = np.asarray(array.metadata.fill_value, memory.dtype.newbyteorder("="))
        self._check(path, "fill value", same_elements(ours, value, memory), (array.metadata.fill_value, value))

    def _chunks(self, dataset, array, path):
        """Where the elements are, where we refer to bytes of this file."""
        manifest = array.manifest
        referenced = manifest.stored & ~manifest.inlined
        properties = dataset.id.get_create_plist()
        kind = properties.get_layout()
        if not referenced.any() or properties.get_external_count() or kind == h5d.VIRTUAL:
            return
        _, offsets, lengths = manifest.columns()
        ours = {int(n): (int(offsets[n]), int(lengths[n])) for n in np.flatnonzero(referenced)}
        copied = set(map(int, np.flatnonzero(manifest.inlined)))  # chunks that had to be encoded anew
        if kind == h5d.CONTIGUOUS:
            first = min(ours.values())[0]
            good = (
                first == dataset.id.get_offset() and sum(n for _, n in ours.values()) == dataset.id.get_storage_size()
            )
            self._check(path, "place", good, (ours, dataset.id.get_offset()))
            return
        maximum = tuple(-1 if n is None else n for n in dataset.maxshape)
        extent = Extent.of(dataset.shape, maximum, dataset.chunks)
        extensible = chunk_index(dataset) == _EXTENSIBLE
        self._result.explained[COORDINATES] += extensible and extent.max_grid[0] is not None
        table = chunks_of(dataset.id, extent, dataset.chunks, extensible=extensible)
        rows = zip(table.positions.tolist(), table.offsets.tolist(), table.sizes.tolist(), strict=True)
        theirs = {number: (offset, size) for number, offset, size in rows}
        kept = {number: place for number, place in theirs.items() if number not in copied}
        self._check(path, "chunk table", ours == kept and copied <= set(theirs), (ours, theirs))
        self._filters(properties, array, set(table.masks.tolist()), path)

    def _filters(self, properties, array, masks, path):
        """A codec for each filter that chunks went through, in their order, after those that the type needs."""
        filters = [properties.get_filter(n) for n in range(properties.get_nfilters())]
        options = ctypes.c_uint()
        library().H5Pget_chunk_opts(ctypes.c_int64(properties.id), ctypes.byref(options))
        if len(masks) != 1 or options.value & _PARTIAL_UNFILTERED:
            return  # one of them is optional, or chunks are encoded anew
        (mask,) = masks
        kept = [(number, data) for n, (number, _, data, _) in enumerate(filters) if not mask >> n & 1]
        expected = [_CODECS[number] for number, data in kept if number != h5z.FILTER_NBIT or data[1] != 1]
        codecs = [codec.name for codec in array.metadata.codecs]
        last = codecs[len(codecs) - len(expected) :]
        good = len(last) == len(expected) and all(name in names for name, names in zip(last, expected, strict=True))
        among = set().union(*_CODECS.values())
        self._check(path, "filters", good and not among & set(codecs[: -len(expected) or None]), (codecs, expected))

    def _attributes(self, identifier, ours, path, *, scale):
        identity = (h5o.get_info(identifier).fileno, h5o.get_info(identifier).addr)
        if identity in self._seen:
            return  # issues are under the first name of an object
        self._seen.add(identity)
        names, expected, raw_names = list(ours), {}, []
        try:
            h5a.iterate(identifier, raw_names.append, order=h5.ITER_NATIVE)
        except LIBRARY_ERRORS as error:
            self._result.explained[f"libhdf5 cannot list the attributes: {reason_of(error)}"] += 1
            return
        at, is_dataset = object_at(self._file, self._unopened), isinstance(identifier, h5d.DatasetID)
        hidden = _HIDDEN | (_SCALE | {"DIMENSION_LABELS"} if self._netcdf else _SCALE if scale else set())
        for raw in raw_names:
            name = decoded(raw)
            if name in hidden:
                self._check(f"{path}@{name}", "hidden attribute", name not in ours)
                continue
            expected[name] = raw
            if name in ours:
                self._attribute(identifier, raw, ours[name], f"{path}@{name}", at)
            else:
                self._missing_attribute(identifier, raw, path, name)
        extra = set(names) - set(expected) - (_LABELS if is_dataset and labels_in(identifier.get_type()) else set())
        self._check(path, "attributes", not extra, extra)
        stored = [name for name in expected if name in ours]
        if h5o.get_info(identifier).meta_size.attr.index_size:  # dense storage
            stored.sort(key=expected.get)
        order = [name for name in names if name in expected]
        self._check(path, "order of attributes", order == stored, (order, stored))

    def _missing_attribute(self, identifier, raw, path, name):
        """An attribute that is not in the tree is one that libhdf5 does not read, and has an issue."""
        attribute = h5a.open(identifier, raw)
        if self._address_bytes < 8 and any(
            "several references" in str(one) for one in self._issues.get(f"{path}@{name}", ())
        ):
            self._result.explained[CUT] += 1
            return
        readable = is_readable(attribute_values, attribute) and not self._is_dangling(attribute)
        good = f"{path}@{name}" in self._issues and not readable
        issues = self._issues.get(f"{path}@{name}", []) + self._issues.get(path, [])
        self._check(f"{path}@{name}", "attribute", good, ("is missing", [*map(str, issues)]))

    def _is_dangling(self, attribute):
        """Whether references lead to what libhdf5 cannot open."""
        values, memory = attribute_values(attribute)
        if memory.what not in ("object", "region"):
            return False
        addresses = [int.from_bytes(value.tobytes()[:8], "little") for value in values.reshape(-1)]
        return any(address and object_at(self._file, self._unopened)(address) is None for address in addresses)

    def _attribute(self, identifier, raw, ours, where, at):
        try:
            values, memory = attribute_values(h5a.open(identifier, raw))
        except (NoSuchTypeError, *LIBRARY_ERRORS) as error:
            self._result.explained[f"libhdf5 cannot read attribute: {reason_of(error)}"] += 1
            return
        if h5a.open(identifier, raw).shape is None:
            self._check(where, "null attribute", np.size(ours) == 0 or ours == "", ours)
            return
        if self._netcdf and values.size == 1 and values.ndim:
            values = values.reshape(())
        try:
            good = same_attribute(ours, values, memory, at)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            good = False
            ours = (ours, repr(error))
        self._result.explained[PADDED] += holds_padded(memory)
        self._check(where, "attribute value", good, (memory.what, memory.dtype, ours, values))
