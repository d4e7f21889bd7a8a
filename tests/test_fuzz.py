"""A short run of the fuzzers of `fuzz/`: mutants of files of every format end well. Hours are for `.ci/nightly`."""

import os
import random
from collections import Counter

import pytest

from fuzz.hdf5_structures import mutant, structures
from fuzz.targets import PER_ORIGINAL, TARGETS
from fuzz.trying import try_mutants, write_mutant
from plugins.hdf5.tests.random_files import write_random_file

COUNTS = {"hdf5": 120, "netcdf3": 200, "tiff": 100, "dmrpp": 100, "kerchunk-json": 100}
"""How many of each format; 60 where nothing is said. Every fifth number, so that there are more files."""


def test_mutants_end_in_a_tree_or_an_error_of_ours():
    numbers = [(name, 5 * i) for name in TARGETS for i in range(COUNTS.get(name, 60))]
    found = try_mutants(numbers, 1)
    assert {name: ends.failed for name, ends in found.items()} == {name: {} for name in TARGETS}
    for name, ends in found.items():
        assert len(ends.counts) > 1, (name, ends.counts)
        assert ends.compared or TARGETS[name].native is None or TARGETS[name].fragile, name


@pytest.mark.skipif("MANIFESTRY_LONG_TESTS" not in os.environ, reason="long: set MANIFESTRY_LONG_TESTS to run it")
def test_many_mutants():
    found = try_mutants(((name, number) for number in range(20_000) for name in TARGETS), 2)
    assert {name: ends.failed for name, ends in found.items()} == {name: {} for name in TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_a_number_is_always_the_same_mutant_of_a_sound_file(tmp_path, name):
    number = 3 * PER_ORIGINAL + 7
    folders = [tmp_path / part for part in ("sound", "one", "two")]
    for folder in folders:
        folder.mkdir()
    sound = TARGETS[name].original(3, folders[0])
    one = write_mutant(name, number, folders[1])
    if name not in (
        "icechunk",
        "zarr",
        "kerchunk-json",
        "kerchunk-parquet",
    ):  # names of places and times stand in those
        assert contents(one) == contents(write_mutant(name, number, folders[2]))
    assert contents(sound) != contents(one)


def contents(path):
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [(file.relative_to(path), file.read_bytes()) for file in files]


def test_a_mutant_of_an_hdf5_file_has_the_same_structures(tmp_path):
    write_random_file(tmp_path / "file.h5", 0, small=True)
    data = (tmp_path / "file.h5").read_bytes()
    found = structures(data)
    kinds = Counter(one.kind for one in found)
    assert kinds["superblock"] == 1
    assert len(kinds) > 1
    assert mutant(data, found, 5) == mutant(data, found, 5)
    assert all(mutant(data, found, seed)[0] != data for seed in range(5))


@pytest.mark.parametrize("name", ["hdf5", "netcdf3", "tiff", "zarr", "kerchunk-json"])
def test_another_value_than_that_of_the_library_is_found(tmp_path, name, monkeypatch):
    """The comparison can fail: what the library reads of a sound file is what we read, and what is added to it is not."""
    from fuzz import trying

    path = TARGETS[name].original(2, tmp_path)
    _, read = trying.outcome(path, name)
    right = TARGETS[name].native(path)
    both = read.keys() & right.keys()
    assert both
    assert all(trying._same(read[at], right[at]) for at in both)
    assert not any(trying._same(read[at], right[at] + random.Random(0).choice((1, 2))) for at in both if right[at].size)
