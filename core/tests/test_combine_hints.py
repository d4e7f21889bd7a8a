"""Every hint in an error of combining is followed, from Python and from the command line, and gives right data.

Each site is a few files that cannot be combined as they are. What its error must advise, no more and no less, stands in
the table, with the variables that following the advice loses. Everything else must then read as the files do.
"""

import json
import pickle
import re
from pathlib import Path

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from manifestry import combine
from manifestry.cli.application import run
from manifestry.combine.hints import EFFECTS
from manifestry.errors import IncompatibleArraysError
from manifestry.model.codecs import Codec
from manifestry.storage.registry import StoreRegistry
from manifestry.testing.building import TreeBuilder

SHAPE = (2, 3)
FLOATS = np.arange(6, dtype="f4").reshape(SHAPE)
HARMONISE, DROP = ("on_conflict", "harmonise"), ("on_conflict", "drop")
FILL, LACK = ("missing", "fill"), ("missing", "drop")
CLOSE = ("compat", "close")


def write(path, *, steps=1, hours=None, **variables):
    """A file with `t(time, y, x)`, the names in `variables` replacing or adding: (values, dims, attributes, storage)."""
    number = int(path.stem[-1])
    data = np.concatenate([FLOATS[None] + 100 * number + 10 * i for i in range(steps)])
    clock = np.arange(steps, dtype="f8") + steps * number if hours is None else np.asarray(hours, "f8")
    parts = {
        "time": (clock, ("time",), {"units": "hours since 2000-01-01"}, {}),
        "t": (data, ("time", "y", "x"), {"units": "K"}, {"zlib": True}),
        "u": (-data, ("time", "y", "x"), {}, {"zlib": True}),
    }
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        for dim, length in zip("yx", SHAPE, strict=True):
            file.createDimension(dim, length)
        file.createDimension("nv", 2)
        for name, part in {**parts, **variables}.items():
            if part is None:
                continue
            values, dims, attributes, storage = (*part, {}, {})[:4]
            values = np.asarray(values)
            fill = attributes.get("_FillValue")
            variable = file.createVariable(name, values.dtype, dims, fill_value=fill, **storage)
            variable.set_auto_maskandscale(False)
            variable.setncatts({k: v for k, v in attributes.items() if k != "_FillValue"})
            variable[:] = values


def everywhere(directory, *changes, **common):
    """Files 0, 1, …: what all have, and what each has of its own."""
    paths = []
    for number, change in enumerate(changes):
        paths.append(directory / f"f{number}.nc")
        write(paths[-1], **{**common, **change})
    return paths


def record(values, dtype="f4", **attributes):
    return np.broadcast_to(np.asarray(values, dtype), (1, *SHAPE)), ("time", "y", "x"), attributes, {"zlib": True}


def granules(directory):
    """Swaths without the dimension that they are joined along, each with coordinates of its own."""
    paths = []
    for i in range(3):
        paths.append(directory / f"g{i}.nc")
        with netCDF4.Dataset(paths[-1], "w") as file:
            for dim, length in zip("yx", SHAPE, strict=True):
                file.createDimension(dim, length)
            for k, name in enumerate(("lat", "lon", "t")):
                file.createVariable(name, "f4", ("y", "x"))[:] = FLOATS + 10 * i * (i == 2 or k != 1) + k
            file["t"].coordinates = "lat lon"
    return paths


def place(values):
    return np.asarray(values, "f4"), ("y", "x")


STATIC = {"lat": place(FLOATS), "lon": place(FLOATS)}
MOVED = {"lat": place(FLOATS + 1), "lon": place(FLOATS + 1)}
X = np.array([0.1, 0.2, 0.3])
WEST, EAST = ({"x": (X, ("x",))}, {"x": (np.nextafter(X, [1, 0, 1]), ("x",))})
CHUNKS = {
    "t": (np.concatenate([FLOATS[None]] * 3), ("time", "y", "x"), {}, {"zlib": True, "chunksizes": (2, *SHAPE)}),
    "u": None, "steps": 3, "v": (np.arange(3.0), ("time",), {}, {"chunksizes": (1,)}),
}  # fmt: skip

FIELD = (FLOATS + np.float32(1000.1)).astype("f4")
WOBBLE = np.array([[1, -1, 0], [0, 0, 1]], "f4") * np.spacing(FIELD)


def utm(zone):
    return (
        np.int32(0),
        (),
        {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": 6.0 * zone - 183},
    )


SITES = {
    # name: (files, keywords of convert, combine options, {hint: variables that are lost})
    "packing": (lambda d: everywhere(d, {}, {"t": record(5, "f4", units="K", scale_factor=2.0)}), {}, {DROP: ("t",)}),
    "units": (lambda d: everywhere(d, {}, {"t": record(5, units="degC")}), {}, {DROP: ("t",)}),
    "type that holds": (lambda d: everywhere(d, {"t": record(1, "i2")}, {"t": record(5, "i4")}), {}, {HARMONISE: (), DROP: ("t",)}),
    "type that does not hold": (lambda d: everywhere(d, {"t": record(1, "i2")}, {"t": record(70000, "i4")}), {}, {DROP: ("t",)}),
    "packing of one, type of another": (
        lambda d: everywhere(d, {"t": record(1, "i2")}, {"t": record(5, "i4")}, {"t": record(5, "i2", scale_factor=2.0)}),
        {}, {DROP: ("t",)}),
    "order of dimensions": (
        lambda d: everywhere(d, {}, {"t": (np.ones((1, 3, 2), "f4"), ("time", "x", "y"), {"units": "K"})}), {}, {DROP: ("t",)}),
    "fill value": (
        lambda d: everywhere(d, {"t": record(1, "i2", _FillValue=np.int16(-9))}, {"t": record(-1, "i2", _FillValue=np.int16(-1))}),
        {}, {HARMONISE: (), DROP: ("t",)}),
    "place": (lambda d: everywhere(d, *({"t": record(1, **{"spatial:transform": [1.0, 0, i, 0, 1, 0]})} for i in (0, 1))), {}, {DROP: ("t",)}),
    "place of all there is": (
        lambda d: everywhere(d, *({"u": None, "t": record(1, **{"spatial:transform": [1.0, 0, i, 0, 1, 0]})} for i in (0, 1))), {}, {}),
    "coordinates of each source": (
        lambda d: everywhere(d, {}, MOVED, **STATIC), {}, {("stack", ("lat", "lon")): (), DROP: ("lat", "lon")}),
    "coordinates of sources of several steps": (
        lambda d: everywhere(d, {"steps": 2}, {"steps": 4, **MOVED}, **STATIC),
        {}, {("stack", ("lat", "lon")): (), DROP: ("lat", "lon")}),
    "coordinates along a new dimension": (
        granules, {"concat_dim": "granule", "coords": [r"granule=regex:g(\d)\.nc"]}, {("stack", ("lat", "lon")): ()}),
    "a scalar of each source": (
        lambda d: everywhere(d, {"orbit": (7, ())}, {"orbit": (8, ())}), {}, {("stack", ("orbit",)): (), DROP: ("orbit",)}),
    "an axis of each source": (lambda d: everywhere(d, WEST, {"x": (X + 1, ("x",))}), {}, {}),
    "an axis that differs by rounding": (lambda d: everywhere(d, WEST, EAST), {}, {CLOSE: ()}),
    "an axis by rounding, then another one": (lambda d: everywhere(d, WEST, EAST, {"x": (X + 1, ("x",))}), {}, {}),
    "an axis by rounding, and coordinates": (
        lambda d: everywhere(d, {**WEST, **STATIC}, {**EAST, **MOVED}), {},
        {(("compat", "close"), ("stack", ("lat", "lon"))): (), (CLOSE, DROP): ("lat", "lon")}),
    "coordinates too large to compare": (
        lambda d: everywhere(d, {}, MOVED, **STATIC), {"combine": {"inline_limit": 16}},
        {("stack", ("lat", "lon")): (), DROP: ("lat", "lon")}),
    "equal coordinates too large to compare": (
        lambda d: everywhere(d, {}, {}, **STATIC), {"combine": {"inline_limit": 16}},
        {("inline_limit", 24): (), ("stack", ("lat", "lon")): (), DROP: ("lat", "lon")}),
    "a coordinate too large to copy": (
        lambda d: everywhere(d, {"steps": 2}, {"steps": 2}), {"combine": {"inline_limit": 8}}, {("inline_limit", 32): ()}),
    "variable that the second lacks": (lambda d: everywhere(d, {}, {"t": None}), {}, {FILL: (), LACK: ("t",)}),
    "variable that the first lacks": (lambda d: everywhere(d, {"t": None}, {}), {}, {FILL: (), LACK: ("t",)}),
    "variable without a missing value": (
        lambda d: everywhere(d, {"t": record(1, "i2")}, {"t": None}), {}, {LACK: ("t",)}),
    "the same, asked to fill": (
        lambda d: everywhere(d, {"t": record(1, "i2")}, {"t": None}), {"combine": {"missing": "fill"}}, {LACK: ("t",)}),
    "static variable that the second lacks": (
        lambda d: everywhere(d, {"lat": place(FLOATS)}, {}), {}, {FILL: (), LACK: ("lat",)}),
    "coordinate that the second lacks": (lambda d: everywhere(d, {}, {"time": None}), {}, {}),
    "two things at once": (
        lambda d: everywhere(d, {}, {**MOVED, "t": None}, **STATIC), {},
        {(("missing", "fill"), ("stack", ("lat", "lon"))): (), DROP: ("lat", "lon", "t")}),
    "chunks that end inside": (
        lambda d: everywhere(d, CHUNKS, CHUNKS), {"combine": {"partial": "raise"}}, {("partial", "inline"): (), DROP: ("t",)}),
    "chunks too large to copy": (
        lambda d: everywhere(d, CHUNKS, CHUNKS), {"combine": {"inline_limit": 90}}, {("inline_limit", 96): (), DROP: ("t",)}),
    "other attributes": (
        lambda d: everywhere(d, {}, {"t": record(5, units="K", long_name="t")}), {"combine": {"attributes": "raise"}},
        {("attributes", "first"): (), ("attributes", "drop"): ()}),
    "static fields by rounding": (
        lambda d: everywhere(d, *({"s": place(FIELD + wobble)} for wobble in (0, WOBBLE, -WOBBLE))), {},
        {CLOSE: (), ("stack", ("s",)): (), DROP: ("s",)}),
    "times that lie near each other": (
        lambda d: everywhere(d, *({"r": (np.float32(1.6e9 + 128 * i), (), {"units": "seconds since 1970-01-01"})} for i in range(3))),
        {}, {("stack", ("r",)): (), DROP: ("r",)}),
    "whole numbers in floats": (
        lambda d: everywhere(d, *({"n": (np.float32(2e7 + 2 * i), ())} for i in range(3))), {}, {("stack", ("n",)): (), DROP: ("n",)}),
    "an axis in another order": (lambda d: everywhere(d, WEST, {"x": (X[::-1], ("x",))}), {}, {}),
    "two axes, one of them by rounding": (
        lambda d: everywhere(d, {**WEST, "y": (X[:2], ("y",))}, {**EAST, "y": (X[1::-1], ("y",))}), {}, {}),
    "grid mappings": (lambda d: everywhere(d, *({"crs": utm(zone)} for zone in (32, 33))), {}, {}),
    "grid mappings that a variable names": (
        lambda d: everywhere(d, *({"crs": utm(z), "t": record(z, grid_mapping="crs: x y"), "u": None} for z in (32, 33))), {}, {}),
    "bounds": (
        lambda d: everywhere(d, *({"x": (X, ("x",), {"bounds": "xb"}), "xb": (np.stack([X, X + i], 1), ("x", "nv"))} for i in (1, 2))),
        {}, {("stack", ("xb",)): ()}),
    "what a variable names, and its axis": (
        lambda d: everywhere(d, *({"t": record(i, ancillary_variables="q", units=f"{i} m"), "q": record(i, units=f"{i}")} for i in (1, 2))),
        {}, {DROP: ("q", "t")}),
    "coordinates that the second lacks": (
        lambda d: everywhere(d, {"lat": place(FLOATS)}, {}, t=record(1, coordinates="lat")), {}, {FILL: ()}),
    "coordinates by their units": (
        lambda d: everywhere(d, *({"lat": (*place(FLOATS + i), {"units": "degrees_north"})} for i in (0, 1))), {},
        {("stack", ("lat",)): ()}),
    "merged with an axis in another order": (
        lambda d: everywhere(d, WEST, {"x": (X[::-1], ("x",))}, hours=[0], t=record(1), u=record(2)), {"concat_dim": None}, {}),
    "merged with another grid mapping": (
        lambda d: everywhere(d, *({"crs": utm(zone)} for zone in (32, 33)), hours=[0], t=record(1), u=record(2)), {"concat_dim": None}, {}),
    "merged with times that lie near each other": (
        lambda d: everywhere(
            d, *({"r": (np.float64(1.6e18 + 256 * i), (), {"units": "nanoseconds since 1970-01-01"})} for i in range(2)),
            hours=[0], t=record(1), u=record(2)), {"concat_dim": None}, {DROP: ("r",)}),
    "merged with static fields by rounding": (
        lambda d: everywhere(d, *({"s": place(FIELD + w)} for w in (0, WOBBLE)), hours=[0], t=record(1), u=record(2)),
        {"concat_dim": None}, {CLOSE: (), DROP: ("s",)}),
    "merged that follow each other": (
        lambda d: everywhere(d, {}, {}), {"concat_dim": None}, {("concat_dim", "time"): ()}),
    "merged with another axis": (
        lambda d: everywhere(d, WEST, {"x": (X + 1, ("x",))}, hours=[0], t=record(1), u=record(2)), {"concat_dim": None},
        {("concat_dim", "x"): "along x"}),
    "merged with an axis by rounding": (
        lambda d: everywhere(d, WEST, EAST, hours=[0], t=record(1), u=record(2)), {"concat_dim": None}, {CLOSE: ()}),
    "merged with nothing to go by": (
        lambda d: everywhere(d, {}, {}, hours=[0], u=record(2)), {"concat_dim": None}, {DROP: ("t",)}),
}  # fmt: skip


def keywords(given, hint=None):
    """The arguments of `manifestry.convert`."""
    options = {**given.get("combine", {})}
    found = {"concat_dim": "time", **{k: v for k, v in given.items() if k != "combine"}}
    for name, value in (hint.options if hint else {}).items():
        (found if name == "concat_dim" else options)[name] = value
    return {**found, "combine": options}


def command(given, hint):
    """The same on the command line."""
    found = {"concat_dim": "time", **given}
    words = ["--concat-dim", found["concat_dim"]] if found["concat_dim"] else []
    words += [word for rule in found.get("coords", ()) for word in ("--coord", rule)]
    kept = {k: v for k, v in found.get("combine", {}).items() if k not in hint.options}
    words += [word for name, value in kept.items() for word in ("--combine", f"{name}={value}")]
    return [*words, *hint.flags]


def key(hint):
    pairs = tuple(sorted(hint.options.items()))
    return pairs[0] if len(pairs) == 1 else pairs


def check(target, sources, dim, lost, *, close=False):
    """Every variable but the lost ones is in the output, and reads as in the sources."""
    whole = [xr.load_dataset(source, engine="netcdf4") for source in sources]
    names = dict.fromkeys(str(name) for part in whole for name in part.variables)
    with xr.open_dataset(target, engine="manifestry") as found:
        assert set(found.variables) - {dim} == set(names) - set(lost) - {dim}
        assert (dim in found.variables) == (dim is not None and dim not in lost)
        for name in set(names) - set(lost):
            there = [part[name] for part in whole if name in part.variables]
            if dim not in found[name].dims:
                for part in there:
                    same = (
                        np.testing.assert_allclose
                        if close and part.dtype.kind == "f"
                        else np.testing.assert_array_equal
                    )
                    same(found[name], part)
                np.testing.assert_array_equal(found[name], there[0])
                continue
            axis, shape = found[name].dims.index(dim), there[0].shape
            parts = []
            for part in whole:
                length = part.sizes.get(dim, 1)
                if name not in part.variables:
                    parts.append(np.full((length, *shape[1:]), np.nan))
                elif dim in part[name].dims:
                    parts.append(part[name].values)
                else:
                    parts.append(np.stack([part[name].values] * length))
            np.testing.assert_array_equal(found[name], np.concatenate(parts, axis))


@pytest.mark.parametrize("site", SITES)
def test_hints_that_are_followed_give_right_data(site, tmp_path):
    make, given, expected = SITES[site]
    sources = make(tmp_path)
    with pytest.raises(IncompatibleArraysError) as caught:
        mf.convert(sources, tmp_path / "refused.json", **keywords(given))
    error = caught.value
    assert {key(hint) for hint in error.hints} == set(expected)
    assert all(str(hint) in str(error) for hint in error.hints)
    assert pickle.loads(pickle.dumps(error)).hints == error.hints
    for i, hint in enumerate(error.hints):
        arguments, lost = keywords(given, hint), expected[key(hint)]
        told = re.findall(r"\((.*)\)$", hint.effect)
        assert told == ([", ".join(lost)] if isinstance(lost, tuple) and lost else [])
        target, same = tmp_path / f"python{i}.json", tmp_path / f"cli{i}.json"
        mf.convert(sources, target, **arguments)
        assert run(["convert", *map(str, sources), str(same), *command(given, hint)]) == 0
        assert json.loads(target.read_text())["refs"] == json.loads(same.read_text())["refs"]
        if lost == "along x":
            with xr.open_dataset(target, engine="manifestry") as found:
                parts = [xr.load_dataset(source, engine="netcdf4") for source in sources]
                xr.testing.assert_equal(found, xr.concat(parts, "x", data_vars="minimal"))
        else:
            check(target, sources, arguments["concat_dim"], lost, close=CLOSE[0] in hint.options)


NEAR = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
ULP = np.spacing(NEAR)
LARGE = np.float32(8e6) + np.arange(6, dtype="f4") / 2
NOT_ROUNDING = {
    # name: (values of the sources, attributes, what the refusal says; nothing where they are taken)
    "both ways": ([NEAR, NEAR + ULP * [1, -1, 1, -1, 1, -1], NEAR], {}, ""),
    "a few elements": ([NEAR, NEAR + ULP * [0, 2, 0, 0, 1, 0]], {}, ""),
    "to and fro": ([NEAR, NEAR + ULP * [1, -1, 1, -1, 1, -1], NEAR - ULP * [1, -1, 1, -1, 1, -1]], {}, ""),
    "big-endian": ([NEAR.astype(">f4"), np.nextafter(NEAR.astype("f4"), np.float32([1, 0] * 3)).astype(">f4")], {}, ""),
    "all one way": ([NEAR, NEAR + ULP], {}, "in one direction"),
    "half of them one way": ([NEAR, NEAR + ULP * [1, 1, 1, 0, 0, 0]], {}, "in one direction"),
    "all that are not missing": ([np.append(NEAR[:2], [-9.5] * 6), np.append(NEAR[:2] + ULP[:2], [-9.5] * 6)], {"_FillValue": -9.5}, "in one direction"),
    "on and on": ([NEAR + ULP * [i, -i, i, -i, i, -i] for i in range(3)], {}, "from source to source"),
    "on and on in a few": ([NEAR + ULP * [0, 0, i, 0, 0, 0] for i in range(3)], {}, "from source to source"),
    "too far": ([NEAR, NEAR + 9 * ULP * [1, -1, 1, -1, 1, -1]], {}, "units in the last place"),
    "as far as neighbours": ([LARGE, LARGE + np.float32([0.5, -0.5] * 3)], {}, "neighbouring"),
    "whole numbers": ([np.float32(2e7) + 100 * np.arange(6, dtype="f4"), np.float32(2e7) + 100 * np.arange(6, dtype="f4") + np.float32([2, -2] * 3)], {}, "whole numbers"),
    "a whole number among others": ([np.append(NEAR, 2.0**53), np.append(NEAR, 2.0**53 + 2)], {}, "whole numbers"),
    "times": ([NEAR, NEAR + ULP * [1, -1, 1, -1, 1, -1]], {"units": "Days Since 2000-01-01"}, "times"),
    "missing in one": ([NEAR, np.append(NEAR[:5], np.nan)], {}, "missing"),
    "a single number": ([np.float64(0.1), np.nextafter(0.1, 1)], {}, "in one direction"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_ROUNDING)
@pytest.mark.parametrize("group", ["", "g/"])
def test_only_rounding_is_taken_for_it(case, group, tmp_path):
    """By `concat` and `merge`, in any group, also for bounds, which have their units from their coordinate."""
    values, attributes, reason = NOT_ROUNDING[case]
    trees = []
    for i, one in enumerate(map(np.asarray, values)):
        (tmp_path / str(i)).mkdir()
        builder = TreeBuilder(tmp_path / str(i))
        dims = ("n",) * one.ndim
        builder.array(f"{group}t", np.full((2, 3), i), (1, 3), dims=("time", "x"))
        links = {**attributes, "bounds": "s"} if case == "times" else {}
        builder.array(f"{group}of", np.zeros(one.shape), one.shape, dims=dims, attributes=links)
        builder.array(f"{group}s", one, one.shape, dims=dims, attributes={} if links else attributes)
        trees.append(builder.tree())
    static = [tree.select(exclude=[f"{group}t"]) for tree in trees]
    for combined in (lambda **how: mf.concat(trees, "time", **how), lambda **how: mf.merge(static, **how)):
        with pytest.raises(IncompatibleArraysError) as caught:
            combined()
        assert any(CLOSE[0] in hint.options for hint in caught.value.hints) == (not reason)
        if reason:
            with pytest.raises(IncompatibleArraysError, match=rf"{group}s.*\(compat=close\).*{reason}"):
                combined(compat="close")
        else:
            found = combined(compat="close")
            assert {issue.feature for issue in found.issues} == {"values differ by rounding"}
            read = combine.values.read_values(found[f"{group}s"], StoreRegistry(None))
            np.testing.assert_array_equal(read, values[0])


LEFT_OUT = {
    # name: (arrays of a group in source i: {name: (values, dims, attributes)}, what is said of which lost array)
    "an axis": (lambda i: {"x": (np.arange(3.0) * (1 - 2 * i), ("x",), {})}, {"x": "t, u lose the coordinate along x"}),
    "a grid mapping": (lambda i: {"crs": (np.int32(0), (), {"crs_wkt": f"{i}"})}, {"crs": "t, u lose the grid mapping"}),
    "coordinates": (lambda i: {"lat": (np.arange(3.0) + i, ("x",), {}), "t": {"coordinates": "lat"}}, {"lat": "t loses the coordinates"}),
    "cell measures": (lambda i: {"a": (np.arange(3.0) + i, ("x",), {}), "t": {"cell_measures": "area: a"}}, {"a": "t loses the cell measures"}),
    "terms": (lambda i: {"p0": (np.float64(i), (), {}), "t": {"formula_terms": "p0: p0"}}, {"p0": "t loses the formula terms"}),
    "ancillary": (lambda i: {"q": (np.arange(3.0) + i, ("x",), {}), "t": {"ancillary_variables": "q"}}, {"q": "t loses the ancillary data"}),
    "nothing of others": (lambda i: {"q": (np.arange(3.0) + i, ("x",), {})}, {"q": ""}),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT_OUT)
@pytest.mark.parametrize(("at", "of"), [("", ""), ("g/", "g/"), ("", "g/")])
def test_what_is_left_out_says_what_it_was_for(case, at, of, tmp_path):
    """Where it is asked for, and it is advised only where no other array lacks anything."""
    make, expected = LEFT_OUT[case]
    trees, static = [], []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        builder = TreeBuilder(tmp_path / str(i))
        parts = make(i)
        attributes = parts.pop("t", {})
        for name, values in (("t", np.full((2, 3), i)), ("u", np.full((2, 3), 5))):
            dims = ("time", "x")
            builder.array(of + name, values, (1, 3), dims=dims, attributes=attributes if name == "t" else {})
        for name, (values, dims, known) in parts.items():
            builder.array(at + name, np.asarray(values), np.shape(values), dims=dims, attributes=known)
        trees.append(builder.tree())
        static.append(builder.tree() if not i else builder.tree().select(exclude=[f"{of}t", f"{of}u"]))
    for combined in (lambda **how: mf.concat(trees, "time", **how), lambda **how: mf.merge(static, **how)):
        with pytest.raises(IncompatibleArraysError) as caught:
            combined()
        advised = any(DROP[1] in hint.options.values() for hint in caught.value.hints)
        assert advised == (case == "nothing of others")
        assert caught.value.hints or "it cannot just be left out: without" in str(caught.value)
        found = combined(on_conflict="drop")
        (issue,) = found.issues
        ((name, said),) = expected.items()
        assert (issue.path, issue.severity) == (at + name, "refused")
        names = {"t loses": f"{of}t loses", "t, u lose ": f"{of}t, {of}u lose "}
        for short, whole in names.items():
            said = said.replace(short, whole)
        assert issue.message.endswith(f"; without it {said}") if said else "without it" not in issue.message


def test_what_some_sources_lack_says_what_it_was_for(tmp_path):
    sources = everywhere(tmp_path, {"lat": place(FLOATS)}, {}, t=record(1, coordinates="lat"))
    lacking = mf.CombineOptions(missing="drop")
    report = mf.convert(sources, tmp_path / "a.json", concat_dim="time", combine=lacking)
    (issue,) = report.written.issues
    assert (issue.path, issue.hint) == ("lat", "left out")
    assert issue.message.endswith("; without it t loses the coordinates")


def test_every_hint_is_followed_somewhere():
    followed = set()
    for _, _, expected in SITES.values():
        for one in expected:
            for option, value in [one] if isinstance(one[0], str) else one:
                followed.add((option, value if isinstance(value, str) and (option, value) in EFFECTS else None))
    assert followed == set(EFFECTS)


def test_hints_stand_in_one_table():
    """No message of combining advises an option by itself: it would not be tried before it is told."""
    advice = re.compile(r"--combine|(on_conflict|missing|compat|stack|load)=['\"{\[]|attributes='")
    for path in Path(combine.__file__).parent.glob("*.py"):
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        assert path.name == "options.py" or not advice.search(code), path


APPENDED = {
    # what is added to an output of file 0: (its changes, those of file 0, hints)
    "another variable": ({"v": record(1)}, {}, {LACK: ("v",), FILL: ()}),
    "a variable less": ({"t": None}, {}, {}),
    "a variable less, whose missing chunks are missing values": (
        {"t": None},
        {"t": record(1, _FillValue=np.float32(9))},
        {FILL: ()},
    ),
    "other attributes": (
        {"t": record(1, units="K", a="b")},
        {"t": record(1, units="K")},
        {("attributes", "first"): ()},
    ),
    "other coordinates": (MOVED, STATIC, {}),
    "units": ({"t": record(5, units="degC")}, {}, {}),
}


@pytest.mark.parametrize("case", APPENDED)
def test_what_an_output_has_is_not_left_out_of_what_is_added(case, tmp_path):
    change, base, expected = APPENDED[case]
    strict = "raise" if case == "other attributes" else "first"
    sources, target = everywhere(tmp_path, base, {**base, **change}), tmp_path / "cube.icechunk"
    mf.convert(sources[0], target, concat_dim="time")
    with pytest.raises(IncompatibleArraysError) as caught:
        mf.convert(sources[1], target, append_dim="time", combine={"attributes": strict})
    assert {key(hint) for hint in caught.value.hints} == set(expected)
    for number, hint in enumerate(caught.value.hints):
        again = tmp_path / f"{number}.icechunk"
        mf.convert(sources[0], again, concat_dim="time")
        mf.convert(sources[1], again, append_dim="time", combine=hint.options)
        check(again, sources, "time", expected[key(hint)])


def test_granules_are_appended_with_their_coordinates(tmp_path):
    sources, target = everywhere(tmp_path, {}, MOVED, {}, **STATIC), tmp_path / "cube.icechunk"
    stack = mf.CombineOptions(stack=("lat", "lon"))
    mf.convert(sources[:2], target, concat_dim="time", combine=stack, slab_files=1)
    with pytest.raises(IncompatibleArraysError, match="the list of dimensions") as caught:
        mf.convert(sources[2], target, append_dim="time")
    (hint,) = caught.value.hints
    assert hint.options == {"stack": ("lat", "lon")}
    mf.convert(sources[2], target, append_dim="time", combine=hint.options)
    check(target, sources, "time", ())


def test_what_an_earlier_commit_has_is_not_left_out_of_a_later_one(tmp_path):
    sources = everywhere(tmp_path, {}, {}, {"t": record(5, units="degC")})
    for slab_files in (1, 2):
        with pytest.raises(IncompatibleArraysError, match=r"the attribute units is 'degC'.*\(compared") as caught:
            mf.convert(sources, tmp_path / f"{slab_files}.icechunk", concat_dim="time", slab_files=slab_files)
        assert not caught.value.hints


def test_groups_are_stacked_by_path(tmp_path):
    """A name stands for every group, a path for one; a path of the root begins with a slash."""
    trees = []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        builder = TreeBuilder(tmp_path / str(i))
        for group in ("", "g/"):
            builder.array(f"{group}t", np.full((2, 3), i), (1, 3), dims=("time", "x"))
            builder.array(f"{group}lat", np.arange(3.0) + (i if not group else 0), dims=("x",))
        trees.append(builder.tree())
    with pytest.raises(IncompatibleArraysError) as caught:
        mf.concat(trees, "time")
    stacking = next(hint for hint in caught.value.hints if "stack" in hint.options)
    assert stacking.options == {"stack": ("/lat",)}
    found = mf.concat(trees, "time", **stacking.options)
    assert (found["lat"].dims, found["g/lat"].dims) == (("time", "x"), ("x",))
    np.testing.assert_array_equal(
        xr.open_zarr(mf.open_store(found), consolidated=False).lat, [[0, 1, 2]] * 2 + [[1, 2, 3]] * 2
    )
    both = mf.concat(trees, "time", stack=["lat"])
    assert both["g/lat"].shape == (4, 3)
    with pytest.raises(mf.OptionError, match="stack: 'lon' is not a variable"):
        mf.concat(trees, "time", stack=["lon"])


@pytest.mark.parametrize(
    "codecs", [None, (Codec("bytes", {"endian": "little"}), Codec("numcodecs.zlib", {"level": 1}))]
)
@pytest.mark.parametrize("inline", [False, True])
def test_what_is_stacked_is_there_for_every_step_and_no_byte_more(codecs, inline, tmp_path):
    trees, values = [], []
    for i, steps in enumerate((2, 0, 3)):
        (tmp_path / str(i)).mkdir()
        builder = TreeBuilder(tmp_path / str(i))
        lat = np.arange(12.0).reshape(3, 4) + i
        chunks = [(a, b) for a in range(2) for b in range(2)] if inline else []
        builder.array("t", np.full((steps, 2), i), (1, 2), dims=("time", "n"))
        builder.array(
            "lat", lat, (2, 2), dims=("y", "x"), codecs=codecs, inline=chunks, missing=() if inline else [(1, 1)]
        )
        values += [builder.values["lat"]] * steps
        trees.append(builder.tree())
    found = mf.concat(trees, "time", stack=["lat"])
    assert found["lat"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(xr.open_zarr(mf.open_store(found), consolidated=False).lat, values)
    assert len(found["lat"].manifest.inline) == (
        sum(len(t["lat"].manifest.inline) for t in trees[::2]) if inline else 0
    )


def test_a_dimension_that_is_not_there_is_made_by_a_coordinate(tmp_path):
    sources = granules(tmp_path)[:1]
    with pytest.raises(mf.OptionError, match=re.escape("coords=['step=...'] (--coord)")):
        mf.convert(sources, tmp_path / "a.json", concat_dim="step")
    mf.convert(sources, tmp_path / "a.json", concat_dim="step", coords=[r"step=regex:g(\d)"])
    with xr.open_dataset(tmp_path / "a.json", engine="manifestry") as found:
        assert found.t.dims == ("step", "y", "x")
        np.testing.assert_array_equal(found.t[0], xr.load_dataset(sources[0], engine="netcdf4").t)


@pytest.mark.parametrize(
    ("name", "advice"), [("time", "exclude it (--exclude /time)"), ("x", "rename it (--rename x=NEW)")]
)
def test_a_coordinate_that_is_there_already_gives_way(name, advice, tmp_path):
    (source,) = everywhere(tmp_path, WEST, u=None)
    rule = [rf"{name}=regex:f(\d)"]
    with pytest.raises(mf.OptionError, match=re.escape(f"there is an array {name!r} already; {advice}")):
        mf.convert(source, tmp_path / "a.json", concat_dim="time", coords=rule)
    way = {"exclude": ["/time"]} if name == "time" else {"rename": {"x": "new"}}
    mf.convert(source, tmp_path / "a.json", concat_dim="time", coords=rule, **way)
    with xr.open_dataset(tmp_path / "a.json", engine="manifestry") as found:
        assert found[name].values.tolist() == [0]
        np.testing.assert_array_equal(found.t, xr.load_dataset(source, engine="netcdf4").t)


ORDERS = {
    # values of sources: (hints of what is reported)
    "unsorted": ([[4, 5], [0, 1], [2, 3]], ["sort the sources"]),
    "back inside a source": ([[0, 2, 1], [3, 4]], [""]),
    "interleaved": ([[0, 5], [3, 9]], ["", "leave out one of them"]),
    "there twice": ([[0, 1], [2, 3], [2, 3]], ["sort the sources", "leave out one of them", "leave out c: all its values are in b"]),
    "twice inside a source": ([[0, 0], [1, 2]], [""]),
    "an end that is the next beginning": ([[0, 5], [5, 9]], [""]),
}  # fmt: skip


@pytest.mark.parametrize("case", ORDERS)
def test_order_is_advised_where_it_helps(case):
    parts, hints = ORDERS[case]
    issues = combine.index.check_order("time", np.concatenate(parts), list(map(len, parts)), "abc".__getitem__)
    if case == "there twice":
        issues = combine.index.check_order("time", np.array([0, 1, 2, 3, 2, 3]), [2, 2, 2], "abc".__getitem__)
        hints = ["", "leave out one of them", "leave out c: all its values are in b"]
    assert [issue.hint for issue in issues] == hints


def test_an_output_is_not_sorted_behind_what_is_added(tmp_path):
    sources, target = everywhere(tmp_path, {"hours": [5]}, {"hours": [1]}, {"hours": [9]}), tmp_path / "cube.icechunk"
    mf.convert(sources[0], target, concat_dim="time")
    report = mf.convert(sources[1:], target, append_dim="time")
    assert not [issue for issue in report.issues if issue.hint == "sort the sources"]


def test_two_runs_that_both_make_the_output(tmp_path, monkeypatch):
    """The second must not be told to replace what the first has made."""
    from manifestry.conversion import pipeline

    sources, target = everywhere(tmp_path, {}, {}), tmp_path / "cube.icechunk"
    look = pipeline.read_existing

    def overtaken(*arguments, **options):
        found = look(*arguments, **options)
        monkeypatch.setattr(pipeline, "read_existing", look)
        mf.convert(sources[0], target, concat_dim="time", resume=True)
        return found

    monkeypatch.setattr(pipeline, "read_existing", overtaken)
    with pytest.raises(mf.WriteError, match=r"another run has created it in the meantime; run the command again$"):
        mf.convert(sources, target, concat_dim="time", resume=True)
    mf.convert(sources, target, concat_dim="time", resume=True)
    check(target, sources, "time", ())
