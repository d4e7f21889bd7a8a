"""Random files: everything that our tree says of them is what libhdf5 says, and what is refused is refused by name.

    uv run python -m plugins.hdf5.tests.test_hdf5_random_files 0 5000

does so for these seeds, in processes of its own, and prints every difference, and what was compared and refused.
"""

import argparse
import os
import re
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import pytest
import zarr
from manifestry import open_store, parse

from fuzz.watched_processes import DIED, HUNG, Watched
from plugins.hdf5.tests.file_comparison import Comparison, compare
from plugins.hdf5.tests.random_files import write_random_file

ORDINARY = 40
SECONDS = 60

REFUSALS = (
    "references as elements", "compound with references as elements", "references to .* as elements", "reference to an object that has no path .*", "HDF5 times", "long double", "long double that .*", "floats that numpy's longdouble does not hold",
    "complex numbers of half precision", r"integers of \d bytes", "opaque elements tagged .*",
    "arrays of variable-length .*", "compound with variable-length sequences",
    "variable-length sequences of texts, arrays or sequences", "compound whose field names Zarr cannot hold",
    "fill value that differs inside an array datatype", "fill value undefined", "null dataspace",
    "name that no Zarr node can have", "name that is not UTF-8", "user-defined link",
    "(soft|external) link that leads nowhere", "link to a group that it is in", "dimension of several lengths",
    "several scales on one dimension", "external raw file that cannot be read",
    "external raw file that is shorter than its part", "virtual dataset with a source that is missing",
    r"filter \d+ \(.*", "filters skipped for some chunks", "attribute that cannot be read", "malformed",
)  # fmt: skip
"""Features of issues that are honest for such files; `compare` knows when the last two are not."""


def outcome(seed, folder):
    """What is compared of the file of a seed."""
    path, making = Path(folder) / f"{seed}.h5", Path(folder) / f"{seed}.making"
    try:
        if not path.exists():
            making.touch()  # so that who waits knows that it is libhdf5 that died
            write_random_file(path, seed)
            making.unlink()
        return compare(path)
    finally:
        for made in Path(folder).glob(f"{seed}.h5*"):
            made.unlink()


def own_outcome(seed, folder):
    """As `outcome` of a file that is there, without libhdf5: that nothing ends the process."""
    tree = parse(Path(folder) / f"{seed}.h5", on_unsupported="skip")
    root = zarr.open_group(open_store(tree), mode="r", zarr_format=3)
    for name, _ in tree.walk_arrays():
        root[name][...]
    return Comparison(explained=Counter({"libhdf5 ends the process that reads it": 1}))


def unknown(issues):
    """Features that are not in the list."""
    return {feature for feature in issues if not any(re.fullmatch(pattern, feature) for pattern in REFUSALS)}


@pytest.mark.parametrize("seed", range(ORDINARY))
@pytest.mark.filterwarnings("ignore")
def test_a_random_file_says_what_libhdf5_says(tmp_path, seed):
    result = outcome(seed, tmp_path)
    assert not result.differences
    assert not unknown(result.issues)
    assert result.compared or result.explained


@pytest.mark.skipif("MANIFESTRY_LONG_TESTS" not in os.environ, reason="long: set MANIFESTRY_LONG_TESTS to run it")
def test_five_thousand_random_files():
    assert run(range(5000), 2) == 0


def seeds_in_turn(connection, folder, take=outcome):
    """The work of a process: the outcome of each seed that is sent."""
    import warnings

    warnings.simplefilter("ignore")
    while (seed := connection.recv()) is not None:
        try:
            result = take(seed, folder)
            connection.send((result.compared, result.issues, result.differences, +result.explained))
        except Exception as error:
            trace = traceback.format_tb(error.__traceback__)[-1]
            connection.send((Counter(), Counter(), [("", "error", repr(error)[:300] + trace)], Counter()))


def run(seeds, processes):
    """Compare the files of many seeds; returns how many of them differ."""
    compared, issues, explained, differing = Counter(), Counter(), Counter(), 0
    for seed, answer in _answers(seeds, processes):
        if isinstance(answer, str):  # it died, or took too long
            differing += answer in (DIED, HUNG)
            compared[answer] += 1
            sys.stdout.write(f"seed {seed}: {answer}\n")
            continue
        compared += answer[0]
        issues += answer[1]
        explained += answer[3]
        differing += bool(answer[2])
        for path, what, note in answer[2]:
            sys.stdout.write(f"seed {seed}: {path}: {what}: {' '.join(note.split())}\n")
        for feature in sorted(unknown(answer[1])):
            sys.stdout.write(f"seed {seed}: unknown refusal {feature}\n")
    sys.stdout.write(f"compared: {dict(compared.most_common())}\nissues: {dict(issues.most_common())}\n")
    sys.stdout.write(f"explained: {dict(explained.most_common())}\n")
    sys.stdout.write(f"{differing} of {len(seeds)} files differ\n")
    return differing


def _answers(seeds, processes):
    """The outcome of each seed; where a process dies, that of one that has nothing else to do, and last without libhdf5."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, first in Watched(seeds_in_turn, (folder,), processes, SECONDS).map(seeds):
            answer = first
            for take in (outcome, own_outcome):
                if answer == DIED and not Path(folder, f"{seed}.making").exists():
                    ((_, answer),) = Watched(seeds_in_turn, (folder, take), 1, SECONDS).map([seed])
            if answer in (DIED, HUNG) and Path(folder, f"{seed}.making").exists():
                answer = f"{answer} when libhdf5 made it"
            yield seed, answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("stop", type=int)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    sys.exit(bool(run(range(given.first, given.stop), given.processes)))
