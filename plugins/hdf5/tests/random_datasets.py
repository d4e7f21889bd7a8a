"""Random datasets: spaces, layouts, chunk indexes, fill values, filters, and what of them is written."""

from contextlib import suppress
from math import prod

import h5py
import numpy as np
from h5py import h5d, h5r, h5s, h5t, h5z

from plugins.hdf5.tests.random_types import call

LIBRARY_ERRORS = (ValueError, OSError, RuntimeError, TypeError, KeyError, NotImplementedError)
"""What h5py raises where the version of the format or libhdf5 itself has no such combination."""

MAX_ELEMENTS = 300


class Datasets:
    """Makes datasets in a file; `alone` keeps all of them in it."""

    def __init__(self, file, path, rng, *, alone):
        self._file, self._path, self._rng, self._alone = file, path, rng, alone
        self._sources = []

    def create(self, parent, name, kind, tid, properties):
        """A dataset of a kind of elements, or None where libhdf5 makes none like it."""
        rng = self._rng
        try:
            if rng.random() < 0.06:
                return self._references(parent, name)
            if rng.random() < 0.1 and self._sources:
                return self._virtual(parent, name)
            return self._stored(parent, name, kind, tid, properties)
        except LIBRARY_ERRORS:
            with suppress(*LIBRARY_ERRORS):
                parent.id.unlink(name)
            return None

    def _references(self, parent, name):
        """Object references, or times: elements that are refused."""
        if self._rng.random() < 0.3:
            return h5py.Dataset(h5d.create(parent.id, name, h5t.UNIX_D32LE, h5s.create_simple((3,))))
        space = h5s.create_simple((2,))
        dataset = h5py.Dataset(h5d.create(parent.id, name, h5t.STD_REF_OBJ, space))
        dataset[0] = h5r.create(self._file.id, b"/", h5r.OBJECT)
        return dataset

    def _virtual(self, parent, name):
        """One to three pieces of other datasets, with what is between them left to the fill value."""
        rng = self._rng
        dtype = self._sources[0].dtype
        layout = h5py.VirtualLayout((3, 8), dtype)
        for row in range(rng.randint(1, 3)):
            source = rng.choice(self._sources)
            length = min(source.shape[0], 8)
            layout[row, :length] = h5py.VirtualSource(".", source.name, source.shape)[:length]
        text = name.decode()
        return parent.create_virtual_dataset(text, layout, fillvalue=rng.choice((None, 7)))

    def _stored(self, parent, name, kind, tid, properties):
        rng = self._rng
        shape, maximum = self._space()
        if shape is None:
            space = h5s.create(h5s.NULL)
        elif shape == ():
            space = h5s.create(h5s.SCALAR)
        else:
            space = h5s.create_simple(shape, tuple(h5s.UNLIMITED if n is None else n for n in maximum))
        layout = self._layout(shape, maximum)
        self._fill(kind, properties, layout)
        chunk = None
        if layout == "chunked":
            chunk = self._chunks(shape, maximum, properties)
            self._filters(kind, properties)
        elif layout == "compact":
            properties.set_layout(h5d.COMPACT)
        elif layout == "external":
            size = max(1, prod(shape) * kind.tid.get_size())
            raw = self._path.with_name(f"{self._path.name}.{len(self._sources)}-{rng.randrange(10**6)}.raw")
            properties.set_external(raw.name.encode(), rng.choice((0, 16)), size)
        identifier = h5d.create(parent.id, name, tid, space, properties)
        dataset = h5py.Dataset(identifier)
        if shape is not None and prod(shape):
            self._write(dataset, kind, chunk, properties)
        if dataset.shape and len(dataset.shape) == 1 and dataset.dtype == np.dtype("<i4") and layout != "external":
            self._sources.append(dataset)
        return dataset

    def _space(self):
        """Shape and longest shape; None for a null dataspace."""
        rng = self._rng
        rank = rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6))
        if rng.random() < 0.03:
            return None, None
        shape = [rng.randint(1, (1, 20, 12, 6, 4, 3, 2)[rank]) for _ in range(rank)]
        if rank and rng.random() < 0.05:
            shape[rng.randrange(rank)] = 0
        maximum = list(shape)
        chance = rng.random()
        for axis in range(rank):
            if (chance < 0.2 and axis == 0) or (chance < 0.35 and rng.random() < 0.6):
                maximum[axis] = rng.choice((None, None, shape[axis] + 5))
        return tuple(shape), tuple(maximum)

    def _layout(self, shape, maximum):
        if not shape:
            return self._rng.choice(("contiguous", "compact"))
        if shape != maximum:
            return "chunked"
        names = ["contiguous", "compact", "chunked", "chunked", "chunked"]
        if not self._alone:
            names += ["external"] if self._rng.random() < 0.3 else []
        return self._rng.choice(names)

    def _fill(self, kind, properties, layout):
        rng = self._rng
        if kind.pointers:  # libhdf5 ends the process, or never ends, with those inside sequences and records
            if kind.tid.get_class() == h5t.STRING and rng.random() < 0.4:
                properties.set_fill_value(np.array(rng.choice(("", "fill", "größe")), h5py.string_dtype()))
        elif rng.random() < 0.3:
            call("H5Pset_fill_value", properties.id, kind.tid.id, kind.element(rng, []))
        elif rng.random() < 0.05:
            call("H5Pset_fill_value", properties.id, kind.tid.id, 0)
        if rng.random() < 0.3:
            properties.set_fill_time(rng.choice((h5d.FILL_TIME_ALLOC, h5d.FILL_TIME_IFSET)))
        if rng.random() < 0.3 and layout != "compact":
            properties.set_alloc_time(rng.choice((h5d.ALLOC_TIME_EARLY, h5d.ALLOC_TIME_LATE, h5d.ALLOC_TIME_INCR)))

    def _chunks(self, shape, maximum, properties):
        rng = self._rng
        chunk = tuple(
            max(1, min(rng.randint(1, max(n, 1)), most or 99)) for n, most in zip(shape, maximum, strict=True)
        )
        if rng.random() < 0.2:
            chunk = tuple(max(1, n) for n in shape)
        properties.set_chunk(chunk)
        if rng.random() < 0.2:
            call("H5Pset_chunk_opts", properties.id, 2)
        return chunk

    def _filters(self, kind, properties):
        rng = self._rng
        names = ["deflate", "shuffle", "fletcher32", "lzf"]
        if not kind.pointers and not _has_padding(kind.tid):
            names += ["szip"]  # libhdf5 ends the process where it fails; with padding it writes what nobody decodes
        if _is_usual_number(kind.tid):  # and here with floats and integers of other sizes
            names += ["scaleoffset"]
        if kind.tid.get_class() in (h5t.INTEGER, h5t.FLOAT):  # and writes over its own memory with records
            names += ["nbit"]
        count = rng.choice((0, 0, 1, 1, 2, 3))
        chosen = rng.sample(names, count)
        chosen.sort(key=lambda name: name not in ("nbit", "scaleoffset"))  # libhdf5 reads and writes beyond its memory
        for name in chosen:
            with suppress(*LIBRARY_ERRORS):
                match name:
                    case "deflate":
                        properties.set_filter(h5z.FILTER_DEFLATE, h5z.FLAG_OPTIONAL, (rng.randint(0, 9),))
                    case "lzf":
                        properties.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL)
                    case "szip":
                        properties.set_szip(h5z.SZIP_NN_OPTION_MASK, rng.choice((4, 8)))
                    case "scaleoffset":
                        is_float = kind.tid.get_class() == h5t.FLOAT
                        properties.set_scaleoffset(
                            h5z.SO_FLOAT_DSCALE if is_float else h5z.SO_INT, 2 if is_float else 0
                        )
                    case "shuffle":
                        properties.set_shuffle()
                    case "fletcher32":
                        properties.set_fletcher32()
                    case "nbit":
                        properties.set_filter(h5z.FILTER_NBIT, h5z.FLAG_OPTIONAL)

    def _write(self, dataset, kind, chunk, properties):
        """All elements, a region of them, whole chunks as they are, or nothing."""
        rng, shape, keep = self._rng, dataset.shape, []
        how = rng.choice(("all", "all", "all", "region", "chunks" if chunk else "all", "nothing"))
        if how == "all" or not shape:
            call("H5Dwrite", dataset.id.id, kind.tid.id, 0, 0, 0, kind.elements(rng, prod(shape), keep))
        elif how == "region":
            start = tuple(rng.randrange(n) for n in shape)
            count = tuple(rng.randint(1, n - first) for n, first in zip(shape, start, strict=True))
            space, memory = dataset.id.get_space(), h5s.create_simple(count)
            space.select_hyperslab(start, count)
            elements = kind.elements(rng, prod(count), keep)
            call("H5Dwrite", dataset.id.id, kind.tid.id, memory.id, space.id, 0, elements)
        elif how == "chunks" and not kind.pointers:
            mask = (1 << properties.get_nfilters()) - 1  # no filter was applied
            for _ in range(rng.randint(1, 3)):
                corner = tuple(rng.randrange(0, n, c) for n, c in zip(shape, chunk, strict=True))
                dataset.id.write_direct_chunk(corner, kind.elements(rng, prod(chunk), keep), mask)


def _has_padding(tid):
    return tid.get_class() == h5t.INTEGER and tid.get_precision() != 8 * tid.get_size()


def _is_usual_number(tid):
    if tid.get_class() not in (h5t.INTEGER, h5t.FLOAT) or tid.get_precision() != 8 * tid.get_size():
        return False
    return tid.get_size() in ((4, 8) if tid.get_class() == h5t.FLOAT else (1, 2, 4, 8))
