"""Mutants: bounded time and memory, no death, and no error but our own.

    uv run python -m plugins.hdf5.tests.test_hdf5_mutants 0 200000

tries these in processes of its own, prints what fails, and how it ends for how many. Number n is a mutant of the small
random file of seed ``n // 50``; one number alone is one mutant.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path

import h5py  # noqa: F401 before anything that a mutant does
import manifestry as mf
import pytest
import zarr

from plugins.hdf5.tests.mutants import mutant, structures
from plugins.hdf5.tests.random_files import write_random_file
from plugins.hdf5.tests.watched_processes import DIED, HUNG, Watched

PER_FILE = 50
SECONDS = 20
MAX_MEGABYTES = 200
ADDRESS_SPACE = 3 << 30
"""What a process may have beside what it begins with."""

TOLD_EVERY = 10_000
"""Mutants after which it is said how they ended so far."""

READ_BYTES = 4 << 20
"""Arrays and chunks of more bytes are not read: they may have any shape, and what is missing is filled."""

READ_CHUNKS = 10_000
"""Arrays of more chunks are not read either: zarr-python takes a millisecond for each."""

DECODING_ERRORS = (ValueError, RuntimeError, OSError, OverflowError, zlib.error)
"""What codecs of numcodecs, imagecodecs and zarr raise for bytes that they cannot decode."""

UNNAMED, MEMORY, NOT_MADE = "unnamed error", "too much memory", "no file: libhdf5 died making it"


def outcome(path):
    """How parsing and reading a file ends."""
    try:
        tree = mf.parse(path, on_unsupported="skip")
    except mf.ManifestryError:
        return "refused"
    except Exception as error:
        return f"{UNNAMED} while parsing: {type(error).__name__}: {error}"[:300]
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    end = "tree with issues" if tree.issues else "tree"
    for name, array in tree.walk_arrays():
        metadata = array.metadata
        size = metadata.dtype.itemsize
        longest = max(_product(metadata.shape), _product(metadata.chunk_grid.chunk_shape))
        if longest * size > READ_BYTES or array.manifest.size > READ_CHUNKS:
            end = "tree with large arrays"
            continue
        try:
            root[name][...]
        except (mf.ManifestryError, *DECODING_ERRORS):
            end = "tree with values that cannot be decoded"
        except Exception as error:
            return f"{UNNAMED} while reading: {type(error).__name__}: {error}"[:300]
    return end


def _product(numbers):
    product = 1
    for number in numbers:
        product *= number
    return product


def numbers_in_turn(connection, folder):
    """The work of a process: how the mutant of each number that is sent ends, its seconds and megabytes."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libhdf5 prints
    limit = _memory("VmSize") * 1024 + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    files = {}
    outcome(_original(0, folder))  # so that what is imported does not count
    while (number := connection.recv()) is not None:
        seed = number // PER_FILE
        if seed not in files:
            path = _original(seed, folder)
            data = path.read_bytes() if path else b""
            files = {seed: (data, structures(data) if data else [])}
        data, found = files[seed]
        if not data:
            connection.send((NOT_MADE, 0, 0))
            continue
        path = Path(folder) / f"{os.getpid()}.h5"
        path.write_bytes(mutant(data, found, number)[0])
        Path("/proc/self/clear_refs").write_text("5")  # the highest memory is counted from here
        before, began = _memory("VmRSS"), time.monotonic()
        end = outcome(path)
        used = (_memory("VmHWM") - before) / 1024
        connection.send((MEMORY if used > MAX_MEGABYTES else end, time.monotonic() - began, used))


def _memory(name):
    """Kilobytes of this process."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(f"{name}:"))
    return int(line.split()[1])


def _original(seed, folder):
    """The file of a seed, or None where a process died of making it."""
    path = Path(folder) / f"original-{seed}.h5"
    if not path.exists():
        for marker in Path(folder).glob(f"making-{seed}-*"):
            if not Path("/proc", marker.name.rpartition("-")[2]).exists():
                return None
        marker, own = Path(folder) / f"making-{seed}-{os.getpid()}", Path(folder) / f"own-{os.getpid()}.h5"
        marker.touch()
        write_random_file(own, seed, small=True)
        own.rename(path)
        marker.unlink()
    return path


def run(numbers, processes):
    """Try mutants; returns the numbers of those that fail."""
    ends, failed, slowest, largest = Counter(), [], (0, 0), (0, 0)
    with tempfile.TemporaryDirectory() as folder:
        for number, answer in Watched(numbers_in_turn, (folder,), processes, SECONDS).map(numbers):
            end, seconds, megabytes = (answer, 0, 0) if isinstance(answer, str) else answer
            if end == DIED and any(Path(folder).glob(f"making-{number // PER_FILE}-*")):
                end = NOT_MADE
            ends[end.partition(":")[0] if end != NOT_MADE else end] += 1
            slowest, largest = max(slowest, (seconds, number)), max(largest, (megabytes, number))
            if end in (DIED, HUNG, MEMORY) or end.startswith(UNNAMED):
                failed.append(number)
                sys.stdout.write(f"mutant {number} of file {number // PER_FILE}: {end}\n")
            if not ends.total() % TOLD_EVERY:
                _tell(ends, slowest, largest)
    _tell(ends, slowest, largest)
    sys.stdout.write(f"{len(failed)} of {len(numbers)} fail\n")
    return failed


def _tell(ends, slowest, largest):
    sys.stdout.write(f"{ends.total()}: {dict(ends.most_common())}\n")
    sys.stdout.write(f"slowest: {slowest[0]:.2f} s ({slowest[1]}), largest: {largest[0]:.0f} MB ({largest[1]})\n")
    sys.stdout.flush()


def test_mutants_end_in_a_tree_or_an_error_of_ours():
    assert run(range(0, 12 * PER_FILE, 2), 1) == []


def test_a_mutant_is_another_file_with_the_same_structures(tmp_path):
    write_random_file(tmp_path / "file.h5", 0, small=True)
    data = (tmp_path / "file.h5").read_bytes()
    found = structures(data)
    kinds = Counter(one.kind for one in found)
    assert kinds["superblock"] == 1
    assert len(kinds) > 1
    assert mutant(data, found, 5) == mutant(data, found, 5)
    assert all(mutant(data, found, seed)[0] != data for seed in range(5))


@pytest.mark.skipif("MANIFESTRY_LONG_TESTS" not in os.environ, reason="long: set MANIFESTRY_LONG_TESTS to run it")
def test_two_hundred_thousand_mutants():
    assert run(range(200_000), 2) == []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("stop", type=int, nargs="?")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    stop = given.first + 1 if given.stop is None else given.stop
    sys.exit(bool(run(range(given.first, stop), given.processes)))
