"""Random HDF5 files: ``write_random_file(path, seed)`` makes the same file of the same seed.

Beside `path` may appear ``NAME.*.raw`` (elements kept outside) and ``NAME.other`` (a file that is linked to).
"""

import contextlib
import ctypes
import random
from contextlib import suppress

import h5py
import numpy as np
from h5py import h5a, h5f, h5g, h5i, h5p, h5s

from plugins.hdf5.tests.random_datasets import LIBRARY_ERRORS, Datasets
from plugins.hdf5.tests.random_types import call, random_kind

VERSIONS = [h5f.LIBVER_EARLIEST, h5f.LIBVER_V18, h5f.LIBVER_V110, h5f.LIBVER_V112, h5f.LIBVER_V114, h5f.LIBVER_V200]
SHARED = {"space": 0x01, "type": 0x03, "filters": 0x0B, "attribute": 0x0C}  # libhdf5 frees shared fill values twice
NAMES = (
    "a",
    "temperature",
    "größe",
    "with space",
    "dots.in.it",
    "..two dots",
    "日本",
    "CLASSY",
    "x" * 70,
    "-",
    "~",
    "%41",
    "A",
)
BAD_NAMES = (b"not \xff utf-8", b"__bad", b"zarr.json", b"c", b"...")


def write_random_file(path, seed, *, small=False):
    """Make a file; `small` ones have few objects, and no other files beside them."""
    rng = random.Random(seed)
    if not small and rng.random() < 0.1:
        _write_netcdf(path, rng)
        return
    made = None
    while made is None:
        with suppress(OSError):  # not every version has every strategy
            made = _create(path, rng)
    with contextlib.chdir(path.parent), h5py.File(made) as file:  # where elements are written that are kept outside
        _Filler(file, path, rng, small=small).fill()


def _create(path, rng):
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    low = rng.choice(VERSIONS)
    high = (
        low if rng.random() < 0.3 and low != h5f.LIBVER_EARLIEST else rng.choice([v for v in VERSIONS[1:] if v >= low])
    )
    access.set_libver_bounds(low, high)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    if rng.random() < 0.25:
        creation.set_userblock(rng.choice((512, 1024, 2048, 4096)))
    if rng.random() < 0.2:
        creation.set_sizes(rng.choice((4, 8)), rng.choice((4, 8)))
    strategy = rng.choice((h5f.FSPACE_STRATEGY_PAGE, h5f.FSPACE_STRATEGY_FSM_AGGR, h5f.FSPACE_STRATEGY_AGGR))
    if rng.random() < 0.4:
        creation.set_file_space_strategy(strategy, rng.random() < 0.5, rng.choice((1, 100)))
        creation.set_file_space_page_size(rng.choice((512, 512, 4096)))
    if rng.random() < 0.2:
        call("H5Pset_sym_k", creation.id, rng.choice((1, 2, 16)), rng.choice((1, 2, 4)))
        call("H5Pset_istore_k", creation.id, rng.choice((1, 3, 32)))
    if rng.random() < 0.25:
        _share_messages(creation, rng)
    _object_properties(creation, rng)
    _group_properties(creation, rng)
    if rng.random() < 0.04 and high >= h5f.LIBVER_V110:
        call("H5Pset_mdc_image_config", access.id, ctypes.addressof(_CACHE_IMAGE))
    return h5f.create(bytes(path), h5f.ACC_TRUNC, fcpl=creation, fapl=access)


_CACHE_IMAGE = (ctypes.c_int * 3)(1, 1, -1)  # version 1; an image, without the size of the cache; entries do not age


def _share_messages(creation, rng):
    """Let messages be kept once for all objects, in one heap or in several."""
    kinds = rng.sample(list(SHARED.values()), rng.randint(1, len(SHARED)))
    rng.shuffle(kinds)
    split = rng.randint(1, min(3, len(kinds)))
    call("H5Pset_shared_mesg_nindexes", creation.id, split)
    for index in range(split):
        flags = sum(1 << kind for kind in kinds[index::split])
        call("H5Pset_shared_mesg_index", creation.id, index, flags, rng.choice((1, 8, 40)))
    call("H5Pset_shared_mesg_phase_change", creation.id, *rng.choice(((50, 40), (0, 0), (4, 2))))


def _object_properties(properties, rng):
    if rng.random() < 0.3:
        properties.set_attr_creation_order(rng.choice((1, 3)))
    if rng.random() < 0.4:
        properties.set_attr_phase_change(*rng.choice(((0, 0), (2, 1), (40, 6))))
    properties.set_obj_track_times(rng.random() < 0.5)


def _group_properties(properties, rng):
    if rng.random() < 0.3:
        properties.set_link_creation_order(rng.choice((1, 3)))
    if rng.random() < 0.4:
        call("H5Pset_link_phase_change", properties.id, *rng.choice(((0, 0), (2, 1), (60, 40))))
    if rng.random() < 0.2:
        call("H5Pset_local_heap_size_hint", properties.id, rng.choice((8, 300)))


class _Filler:
    """Fills a file with groups, types, datasets, links and attributes."""

    def __init__(self, file, path, rng, *, small):
        self._file, self._path, self._rng, self._small = file, path, rng, small
        self._groups = [file["/"]]
        self._objects = [file["/"]]
        self._types = []
        self._number = 0

    def fill(self):
        rng, scale = self._rng, 0.4 if self._small else 1
        for _ in range(rng.randint(0, round(5 * scale) + 1)):
            self._group()
        for _ in range(rng.randint(0, 2)):
            self._commit()
        datasets = Datasets(self._file, self._path, rng, alone=self._small)
        for _ in range(rng.randint(3, round(18 * scale))):
            self._dataset(datasets)
        if rng.random() < 0.3:
            self._scales()
        if rng.random() < 0.15:
            self._many_links(rng.randint(10, 20 if self._small else 60))
        for _ in range(rng.randint(0, 6)):
            with suppress(*LIBRARY_ERRORS):
                self._link()
        if rng.random() < 0.2:
            self._delete()
        for one in self._objects:
            self._attributes(one)

    def _name(self):
        """A name that no other object has."""
        self._number += 1
        if self._rng.random() < 0.02:
            return self._rng.choice(BAD_NAMES) + (b"" if self._rng.random() < 0.3 else str(self._number).encode())
        return f"{self._rng.choice(NAMES)}{self._number}".encode()

    def _group(self):
        rng = self._rng
        parent = self._groups[-1] if rng.random() < 0.4 else rng.choice(self._groups)
        properties = h5p.create(h5p.GROUP_CREATE)
        _object_properties(properties, rng)
        _group_properties(properties, rng)
        with suppress(*LIBRARY_ERRORS):
            group = h5py.Group(h5g.create(parent.id, self._name(), gcpl=properties))
            self._groups.append(group)
            self._objects.append(group)

    def _commit(self):
        kind = random_kind(self._rng)
        tid = kind.tid.copy()
        with suppress(*LIBRARY_ERRORS):
            tid.commit(self._rng.choice(self._groups).id, self._name())
            self._types.append((kind, tid))
            self._objects.append(h5py.Datatype(tid))

    def _kind(self):
        """A datatype, and the one that the file is given: perhaps a committed one."""
        if self._types and self._rng.random() < 0.3:
            return self._rng.choice(self._types)
        kind = random_kind(self._rng)
        return kind, kind.tid

    def _dataset(self, datasets):
        parent, (kind, tid) = self._rng.choice(self._groups), self._kind()
        properties = h5p.create(h5p.DATASET_CREATE)
        _object_properties(properties, self._rng)
        dataset = datasets.create(parent, self._name(), kind, tid, properties)
        if dataset is not None:
            self._objects.append(dataset)

    def _scales(self):
        """Dimension scales and datasets that they are attached to."""
        rng, group = self._rng, self._rng.choice(self._groups)
        lengths = [rng.randint(1, 6) for _ in range(3)]
        with suppress(*LIBRARY_ERRORS):
            scales = [group.create_dataset(f"scale{n}", data=np.arange(length)) for n, length in enumerate(lengths)]
            for scale in scales:
                scale.make_scale(rng.choice(("", "a name")))
            for n in range(3):
                axes = [rng.randrange(3) for _ in range(rng.randint(1, 3))]
                data = group.create_dataset(f"data{n}", [lengths[axis] for axis in axes], "f4")
                for dim, axis in zip(data.dims, axes, strict=True):
                    if rng.random() < 0.8:
                        dim.attach_scale(scales[axis])
                self._objects.append(data)

    def _many_links(self, count):
        parent = self._rng.choice(self._groups)
        for n in range(count):
            parent[f"link {n * 7919 % count}"] = h5py.SoftLink(self._rng.choice(self._objects).name or "/nowhere")

    def _link(self):
        rng, parent, name = self._rng, self._rng.choice(self._groups), self._name()
        target = rng.choice(self._objects)
        match rng.choice(("hard", "soft", "soft", "nowhere", "external", "circle")):
            case "hard":
                parent.id.links.create_hard(name, target.id, b".")
            case "soft":
                parent.id.links.create_soft(name, h5i.get_name(target.id))
            case "nowhere":
                parent.id.links.create_soft(name, b"not/there")
            case "circle":
                parent.id.links.create_soft(name, name)
            case "external" if not self._small:
                other = self._path.with_name(f"{self._path.name}.other")
                with h5py.File(other, "w") as file:
                    file["d"] = np.arange(5)
                    file["g/e"] = np.arange(3.0)
                place = rng.choice((b"/d", b"/g", b"/nowhere"))
                parent.id.links.create_external(name, other.name.encode(), place)

    def _attributes(self, one):
        rng = self._rng
        count = rng.choice((0, 0, 0, 1, 1, 2, 3, 4, 12)) if not self._small else rng.choice((0, 0, 0, 0, 1, 2, 10))
        for _ in range(count):
            with suppress(*LIBRARY_ERRORS):
                self._attribute(one, self._name())

    def _attribute(self, one, name):
        rng = self._rng
        if rng.random() < 0.1:
            self._reference_attribute(one, name)
            return
        kind, tid = self._kind()
        dims = rng.choice(((), (), (), None, (1,), (3,), (2, 2), (0,), (2, 1, 3)))
        space = h5s.create(h5s.NULL) if dims is None else h5s.create_simple(dims) if dims else h5s.create(h5s.SCALAR)
        attribute = h5a.create(one.id, name, tid, space)
        count, keep = 0 if dims is None else int(np.prod(dims)), []
        if count and rng.random() < 0.95:
            call("H5Awrite", attribute.id, kind.tid.id, kind.elements(rng, count, keep))

    def _reference_attribute(self, one, name):
        rng = self._rng
        targets = [target.ref for target in rng.choices(self._objects, k=rng.randint(1, 3)) if hasattr(target, "ref")]
        regions = [
            o.regionref[:1] for o in self._objects if isinstance(o, h5py.Dataset) and o.shape and len(o.shape) == 1
        ]
        text = name.decode("utf-8", "replace")
        if regions and rng.random() < 0.3:
            one.attrs.create(text, regions[0], dtype=h5py.regionref_dtype)
        elif rng.random() < 0.4:
            one.attrs.create(text, targets[0], dtype=h5py.ref_dtype)
        else:
            one.attrs.create(text, [*targets, h5py.Reference()], dtype=h5py.ref_dtype)

    def _delete(self):
        """Leave holes: some objects lose their links."""
        datasets = [one for one in self._objects if isinstance(one, h5py.Dataset) and one.name]
        for one in self._rng.sample(datasets, min(2, len(datasets))):
            with suppress(*LIBRARY_ERRORS):
                self._objects.remove(one)
                self._file.id.unlink(h5i.get_name(one.id))


def _write_netcdf(path, rng):
    """A file of netCDF-C."""
    import netCDF4

    formats = ("NETCDF4", "NETCDF4_CLASSIC")
    with netCDF4.Dataset(path, "w", format=rng.choice(formats)) as root:
        groups = [root]
        if root.data_model == "NETCDF4":
            groups += [root.createGroup(f"g{n}") for n in range(rng.randint(0, 2))]
        root.createDimension("t", None)
        for n in range(3):
            rng.choice(groups).createDimension(f"d{n}", rng.randint(1, 5))
        for n in range(rng.randint(2, 8)):
            group = rng.choice(groups)
            dims = [*group.dimensions, *(root.dimensions if group is not root else ())]
            chosen = sorted(set(rng.choices(dims, k=rng.randint(0, 3))), key=lambda name: name != "t") if dims else []
            name = rng.choice((f"v{n}", *(dim for dim in chosen if dim not in group.variables)))
            fill = rng.choice((None, None, False, 7))
            compression = rng.choice(({}, {"zlib": True}, {"zlib": True, "shuffle": False}, {"fletcher32": True}))
            variable = group.createVariable(
                name, rng.choice(("i1", "i2", "f4", "f8", "i4")), chosen, fill_value=fill,
                endian=rng.choice(("native", "big")), **(compression if chosen else {}),
            )  # fmt: skip
            variable.units = rng.choice(("m", "größe", "days since 2000-01-01"))
            variable.setncattr("range", np.arange(rng.randint(1, 3), dtype="f4"))
            shape = [2 if size == 0 else size for size in variable.shape]
            if rng.random() < 0.8:
                variable[...] = np.arange(int(np.prod(shape))).reshape(shape)
