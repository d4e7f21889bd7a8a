"""Forged and damaged headers: a named error, within seconds and 500 MB, whatever they claim."""

from __future__ import annotations

import multiprocessing
import resource

import manifestry as mf
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings, strategies as st

BIG = 0x7FFF_FFFF

FORGED = {
    "dimension count": lambda c: c(1).header()[:8] + b"\0\0\0\x0a\x7f\xff\xff\xff" + bytes(100),
    "attribute length": lambda c: c(1, 0, [], [(b"a", 6, b"", BIG)]).header(),
    "name length": lambda c: c(1).header()[:8] + b"\0\0\0\x0a\0\0\0\1\x7f\xff\xff\xff" + bytes(100),
    "wrong tag": lambda c: c(1).header()[:8] + b"\0\0\0\x0b\0\0\0\1" + bytes(100),
    "cut header": lambda c: c(1, 0, [(b"dimension", 7)]).header()[:-20],
    "only magic": lambda c: b"CDF\1",
    "unknown type": lambda c: c(1, 0, [], [], [(b"v", [], 99, 100)]).header() + bytes(100),
    "dimension id": lambda c: c(1, 0, [(b"x", 2)], [], [(b"v", [7], 4, 100)]).header() + bytes(100),
    "two record dimensions": lambda c: c(1, 1, [(b"t", 0), (b"u", 0)], [], [(b"v", [0], 4, 200)]).header() + bytes(200),
    "record dimension second": lambda c: (
        c(1, 1, [(b"t", 0), (b"x", 2)], [], [(b"v", [1, 0], 4, 200)]).header() + bytes(200)
    ),
    "data inside the header": lambda c: c(1, 0, [(b"x", 2)], [], [(b"v", [0], 4, 8)]).header() + bytes(100),
    "overlapping variables": lambda c: (
        c(1, 0, [(b"x", 8)], [], [(b"v", [0], 4, 200), (b"w", [0], 4, 216)]).header() + bytes(300)
    ),
    "overlapping records": lambda c: (
        c(1, 3, [(b"t", 0)], [], [(b"v", [0], 4, 200), (b"w", [0], 4, 202)]).header() + bytes(300)
    ),
    "records far apart": lambda c: (
        c(1, 3, [(b"t", 0)], [], [(b"v", [0], 4, 200), (b"w", [0], 4, 300)]).header() + bytes(300)
    ),
    "records over a fixed variable": lambda c: (
        c(1, 9, [(b"t", 0), (b"x", 2)], [], [(b"v", [0], 4, 200), (b"w", [1], 4, 208)]).header() + bytes(300)
    ),
    "records that are not there": lambda c: c(1, BIG, [(b"t", 0)], [], [(b"v", [0], 6, 100)]).header() + bytes(100),
    "records of many variables that are not there": lambda c: (
        c(1, 3_000_000, [(b"t", 0)], [], [(b"v%d" % i, [0], 4, 2000 + 4 * i) for i in range(40)])
        .header()
        .ljust(2000, b"\0")
        + bytes(160)
    ),
    "elements that are not there": lambda c: (
        c(5, 0, [(b"x", 1 << 40), (b"y", 1 << 20)], [], [(b"v", [0, 1], 6, 200)]).header() + bytes(100)
    ),
    "two of one name": lambda c: c(1, 0, [], [], [(b"v", [], 4, 200), (b"v", [], 4, 204)]).header() + bytes(300),
}


def test_forged_headers_are_refused_within_limits(tmp_path, classic):
    """One process for all, spawned, with 20 s of processor time and 500 MB for the lot."""
    context = multiprocessing.get_context("spawn")
    for name, make in FORGED.items():
        path = tmp_path / f"{name}.nc"
        path.write_bytes(make(classic))
    answers = context.Queue()
    process = context.Process(target=_parse_all, args=(sorted(str(p) for p in tmp_path.glob("*.nc")), answers))
    process.start()
    got = dict(answers.get(timeout=60) for _ in FORGED)
    process.join(30)
    assert process.exitcode == 0
    every_variable = got.pop(str(tmp_path / "records of many variables that are not there.nc"))
    assert every_variable == "UnsupportedFeatureError"  # one error for all that a file was refused for
    assert set(got.values()) == {"MalformedFileError"}, got


def _parse_all(paths, answers):
    _ = mf.parse  # what is imported does not count

    with open("/proc/self/statm") as statm:
        base = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_AS, (base + (500 << 20),) * 2)
    for path in paths:
        try:
            mf.parse(path, format="netcdf3")
        except mf.ManifestryError as error:
            answers.put((path, type(error).__name__))
        else:
            answers.put((path, "accepted"))


def test_limits_are_named(tmp_path, classic):
    path = tmp_path / "many.nc"
    path.write_bytes(
        classic(1, 0, [], [], [(b"v%d" % i, [], 4, 5000 + 4 * i) for i in range(50)]).header() + bytes(9000)
    )
    with pytest.raises(mf.UnsupportedFeatureError, match="50 variables"):
        mf.parse(path, limits=mf.Limits(max_arrays=10))
    path.write_bytes(classic(1, 0, [], [(b"a", 1, bytes(100_000), 100_000)]).header())
    with pytest.raises(mf.UnsupportedFeatureError, match="a header of more than 70000 bytes"):
        mf.parse(path, limits=mf.Limits(max_metadata_bytes=70_000))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_headers_never_end_in_anything_but_a_named_error(tmp_path, classic, values, damage):
    file = classic(2, 3, [(b"t", 0), (b"x", 4)], [(b"a", 4, bytes(4), 1)], [])
    file.variables = [(b"f", [1], 5, 0), (b"r", [0, 1], 3, 0), (b"q", [0], 6, 0)]
    at = len(file.header())
    file.variables = [(b"f", [1], 5, at), (b"r", [0, 1], 3, at + 16), (b"q", [0], 6, at + 24)]
    data = bytearray(file.header() + bytes(64))
    for position, value in damage:
        data[4 + position % (len(data) - 4)] = value
    path = tmp_path / "damaged.nc"
    path.write_bytes(data)
    try:
        tree = mf.parse(path, on_unsupported="skip")
    except (mf.MalformedFileError, mf.UnsupportedFeatureError, mf.ManifestError):
        return
    small = tree.map_arrays(lambda _, array: array if array.metadata.size < 100_000 else None)
    assert values(small).keys() == dict(small.arrays).keys()
