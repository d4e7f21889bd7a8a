"""Random netCDF files as archives have them: ``write_random_netcdf(path, seed)`` makes the same file of the same seed.

netCDF-C writes them: dimensions and groups that inherit them, packing, fill values, times, texts, coordinates, filters and
records. What is random is everything that decides how readers decode the numbers.
"""

import random

import netCDF4
import numpy as np

__all__ = ["write_random_netcdf"]

CLASSIC = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")
CLASSIC_TYPES = ("i1", "i2", "i4", "f4", "f8", "S1")
EXTENDED_TYPES = (*CLASSIC_TYPES, "u1", "u2", "u4", "i8", "u8")
CALENDARS = ("standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "360_day", "julian", None)
EPOCHS = ("1970-01-01", "2000-01-01 00:00:00", "1850-1-1", "2001-02-03T04:05:06Z")
STEPS = ("days", "hours", "seconds", "minutes")


def write_random_netcdf(path, seed):
    """Make a file; returns its format (`NETCDF4`, `NETCDF3_CLASSIC`, ...)."""
    rng = random.Random(seed)
    version = rng.choice(("NETCDF4", "NETCDF4", "NETCDF4", "NETCDF4_CLASSIC", *CLASSIC))
    with netCDF4.Dataset(path, "w", format=version) as file:
        _Filler(rng, version).fill(file)
    return version


class _Filler:
    """Fills a file with dimensions, variables and groups."""

    def __init__(self, rng, version):
        self._rng, self._numbers = rng, np.random.default_rng(rng.randrange(2**32))
        self._groups, self._classic = version == "NETCDF4", version in CLASSIC
        self._types = CLASSIC_TYPES if version in (*CLASSIC[:2], "NETCDF4_CLASSIC") else EXTENDED_TYPES
        self._number = 0

    def fill(self, file):
        rng = self._rng
        lengths = {"x": rng.randint(1, 7), "y": rng.randint(1, 4)}
        for name, length in lengths.items():
            file.createDimension(name, length)
        file.createDimension("time", None if rng.random() < 0.6 else 5)
        file.createDimension("letters", 6)
        self._attributes(file)
        self._coordinates(file)
        self._variables(file, ("x", "y", "time"))
        if self._groups and rng.random() < 0.4:
            inner = file.createGroup("inner")
            self._attributes(inner)
            if rng.random() < 0.5:
                inner.createDimension("z", None if rng.random() < 0.4 else 3)
                self._variables(inner, ("x", "time", "z"))
            else:
                self._variables(inner.createGroup("deeper"), ("x", "time"))

    def _coordinates(self, file):
        rng = self._rng
        if rng.random() < 0.7:
            x = file.createVariable("x", rng.choice(("f4", "f8", "i2")), ("x",))
            x[:] = np.arange(len(file.dimensions["x"])) * 2
            x.units = "degrees_east"
        if rng.random() < 0.7:
            self._time(file)
        if rng.random() < 0.3:
            scalar = file.createVariable("height", "f8", ())
            scalar[...] = 2.5
            scalar.units = "m"

    def _time(self, file):
        rng = self._rng
        time = file.createVariable("time", rng.choice(("f8", "i4", "f4")), ("time",))
        time.units = f"{rng.choice(STEPS)} since {rng.choice(EPOCHS)}"
        calendar = rng.choice(CALENDARS)
        if calendar is not None:
            time.calendar = calendar
        time[0:5] = np.arange(5) * rng.choice((1, 2, 10)) + rng.randint(0, 50)
        if rng.random() < 0.3:
            time.bounds = "time_bounds"
            file.createDimension("ends", 2)
            bounds = file.createVariable("time_bounds", time.dtype, ("time", "ends"))
            bounds[0:5] = np.add.outer(time[:], [-1, 1])

    def _variables(self, group, dimensions):
        for _ in range(self._rng.randint(1, 5)):
            self._number += 1
            self._variable(group, f"v{self._number}", dimensions)

    def _variable(self, group, name, dimensions):
        rng = self._rng
        if self._groups and rng.random() < 0.1:
            self._texts(group, name, dimensions)
            return
        kind = rng.choice(self._types)
        dims = self._some(dimensions)
        if kind == "S1":
            variable = group.createVariable(name, "S1", (*dims, "letters"))
            variable.set_auto_chartostring(False)
            lengths = [self._length(group, dim) for dim in dims]
            variable[...] = self._numbers.choice([b"a", b"b", b"\0"], (*lengths, 6))
            return
        own = {} if rng.random() < 0.4 else {"fill_value": self._fill(kind)}
        variable = group.createVariable(name, kind, dims, **self._storage(), **own)
        variable.set_auto_maskandscale(False)
        self._meaning(variable, kind)
        if rng.random() < 0.9:
            self._values(variable, group, dims, kind)

    def _some(self, dimensions):
        """Some of the dimensions in some order; records come first in classic files."""
        rng = self._rng
        dims = rng.sample(dimensions, rng.randint(0, len(dimensions)))
        return tuple(sorted(dims, key=lambda dim: dim != "time")) if self._classic else tuple(dims)

    def _length(self, group, dim):
        while dim not in group.dimensions:
            group = group.parent
        return len(group.dimensions[dim]) or 5

    def _storage(self):
        rng = self._rng
        if self._classic or rng.random() < 0.4:
            return {}
        return {"zlib": rng.random() < 0.7, "shuffle": rng.random() < 0.6, "fletcher32": rng.random() < 0.3}

    def _fill(self, kind):
        kind = np.dtype(kind)
        if kind.kind == "f":
            return kind.type(self._rng.choice((np.nan, -999.0, 1e20, 0.1)))
        return kind.type(self._rng.choice((0, 7, np.iinfo(kind).max, np.iinfo(kind).min)))

    def _meaning(self, variable, kind):
        rng, dtype = self._rng, np.dtype(kind)
        number = rng.choice((np.float32, np.float64))
        if rng.random() < 0.35 and dtype.kind in "iu":
            variable.scale_factor = number(rng.choice((0.1, 0.5, 2.0, 0.01)))
            if rng.random() < 0.7:
                variable.add_offset = number(rng.choice((0.0, 273.15, -5.0)))
        if rng.random() < 0.2:
            variable.missing_value = self._fill(kind)
        if rng.random() < 0.1:
            variable.missing_value = np.array([self._fill(kind), self._fill(kind)])
        if rng.random() < 0.15 and dtype.kind in "iu":
            variable._Unsigned = rng.choice(("true", "false"))
        if rng.random() < 0.3:
            variable.units = rng.choice(("K", "m s-1", "1", "degrés"))
        if rng.random() < 0.2:
            variable.coordinates = rng.choice(("height", "height x", "nothing"))
        self._attributes(variable)

    def _attributes(self, holder):
        rng = self._rng
        for name, value in (
            ("title", "a text"),
            ("größe" if self._groups else "groesse", "größer"),
            ("level", np.int32(3)),
            ("factor", np.float32(0.1)),
            ("range", np.array([0.5, 1.5], "f4")),
            ("empty", ""),
            ("counts", np.arange(3, dtype="i2")),
        ):
            if rng.random() < 0.2:
                holder.setncattr(name, value)

    def _values(self, variable, group, dims, kind):
        rng, dtype = self._rng, np.dtype(kind)
        lengths = [self._length(group, dim) for dim in dims]
        # Fewer records than the others, along the first dimension: along others netCDF-C gives elements at wrong places.
        if dims and dims[0] in ("time", "z") and rng.random() < 0.3:
            lengths[0] -= rng.randint(0, 3)
        place = tuple(slice(0, length) for length in lengths)
        if dtype.kind == "f":
            values = self._numbers.choice([0.5, -999.0, np.nan, 1e20, 3.25, 0.1], lengths)
        else:
            limits = np.iinfo(dtype)
            values = self._numbers.choice([0, 1, 7, 100, limits.max, limits.min], lengths)
        variable[place if dims else ...] = values.astype(dtype)

    def _texts(self, group, name, dimensions):
        dims = self._some(dimensions)
        variable = group.createVariable(name, str, dims)
        lengths = [self._length(group, dim) for dim in dims]
        texts = self._numbers.choice(["", "a", "größe", "several words"], lengths).astype(object)
        variable[tuple(slice(0, length) for length in lengths) if dims else ...] = (
            texts if dims else np.array("one", object)
        )
