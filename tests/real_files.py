"""What files on disk mean, by us and by the libraries of their formats: names, dimensions, attributes, times, systems, masks.

``uv run python -m tests.real_files netcdf FOLDER...`` compares what xarray shows of each netCDF or HDF5 file with what it
shows of our view of it; ``geotiff`` compares the levels of an image, with coordinates and system, with GDAL's. A file
counts as

equal
    Everything is the same.
said
    What differs, an issue names.
different
    It does not: printed, and the exit code is 1.
refused
    We refuse the file.
without truth
    Their library refuses it, or dies of it.
ended
    Our view of it ends the process, or takes longer than a minute.
"""

import argparse
import contextlib
import resource
import sys
import warnings
from collections import Counter
from pathlib import Path

import manifestry as mf
import numpy as np
import xarray as xr

from fuzz.watched_processes import DIED, HUNG, Watched
from tests.support.printed_lines import view_of
from tests.test_random_views import KINDS

SECONDS, ADDRESS_SPACE = 60, 6 << 30
HDF5_ATTRIBUTES = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS", "PALETTE"}
SUFFIXES = {"netcdf": (".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".he5", ".hdf"), "geotiff": (".tif", ".tiff")}


def _truth(kind, path):
    """The truth of a file; that of h5netcdf where netCDF-C does not open it."""
    try:
        return KINDS[kind].truth(path)
    except Exception:
        if kind != "netcdf":
            raise
        return view_of(xr.open_groups(path, engine="h5netcdf", phony_dims="sort"))


def compared(kind, path, truth):
    """How a file counts, and what differs."""
    tree = mf.parse(path, on_unsupported="skip")
    view = _view(tree)
    if kind == "netcdf":
        view, truth = _comparable(view, truth), _comparable(truth, truth)
    said = {issue.path.partition("@")[0] for issue in tree.issues}
    differing = KINDS[kind].differences(truth, view)
    lines = [f"{where}: {what}" for where, what in differing if not _is_said(where, said)]
    return ("different" if lines else "said" if differing else "equal"), lines


def _view(tree):
    return view_of(xr.open_groups(tree, engine="manifestry"))


def _comparable(view, truth):
    """What a view shows of that which netCDF-C and h5netcdf have a form for, and of what the truth has."""
    groups = {}
    for path, (attributes, variables) in view.items():
        expected, others = truth.get(path, ({}, {}))
        groups[path] = _attributes(attributes, expected), {}
        for name, (dims, values, own, coordinate) in variables.items():
            if name in others and others[name][1].dtype.names is None:  # netCDF4 returns texts of records cut short
                groups[path][1][name] = dims, _values(values), _attributes(own, others[name][2]), coordinate
    return groups


def _attributes(attributes, expected):
    """Without what HDF5 itself writes; in no shape."""
    found = {}
    for name in attributes.keys() & expected.keys() - HDF5_ATTRIBUTES:
        flat = _values(np.asarray(attributes[name])).reshape(-1)
        found[name] = flat[0] if flat.size == 1 else flat
    return found


def _values(values):
    """Texts without padding, truth values as bytes."""
    if values.dtype.kind == "S":
        values = np.strings.decode(values, "utf-8", "surrogateescape")
    if values.dtype.kind == "U":
        return np.strings.rstrip(values)
    return values.view("i1") if values.dtype.kind == "b" else values


def _is_said(where, said):
    """Whether an issue names an array, or one below a group; what a group lacks is said of its members."""
    return where in said or any(not where or path.startswith(f"{where}/") for path in said)


def files_in_turn(connection, kind):
    """The work of a process: how each file that is sent counts, and what differs; before that, that its truth is known."""
    _begin()
    while (path := connection.recv()) is not None:
        try:
            truth = _truth(kind, path)
        except Exception as error:
            connection.send(("without truth", [f"{type(error).__name__}: {error}"]))
            continue
        try:
            connection.send(compared(kind, path, truth))
        except mf.ManifestryError as error:
            connection.send(("refused", [str(error)]))
        except Exception as error:
            connection.send(("different", [f"{type(error).__name__}: {error}"]))


def _begin():
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def views_in_turn(connection, _):
    """The work of a process: whether it survives our view of each file that is sent."""
    _begin()
    while (path := connection.recv()) is not None:
        with contextlib.suppress(Exception):
            _view(mf.parse(path, on_unsupported="skip"))
        connection.send("survived")


def answers(kind, paths, processes):
    """Each file with how it counts and what differs."""
    ended = []
    for path, answer in Watched(files_in_turn, (kind,), processes, SECONDS).map(paths):
        if answer in (DIED, HUNG):
            ended.append(path)
        else:
            yield path, answer
    for path, answer in Watched(views_in_turn, (kind,), processes, SECONDS).map(ended):
        yield path, ("without truth" if answer == "survived" else "ended", [])


def run(kind, paths, processes, details):
    """Compare files; returns whether none differs."""
    counts = Counter()
    for path, (count, lines) in answers(kind, paths, processes):
        counts[count] += 1
        if count in ("different", "ended") or details:
            sys.stdout.write("\n".join([f"{count}: {path}", *(f"    {line[:300]}" for line in lines)]) + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{sum(counts.values())} files: {dict(counts.most_common())}\n")
    return not counts.keys() & {"different", "ended"}


def _files(kind, roots):
    for root in map(Path, roots):
        yield from (path for path in sorted(root.rglob("*")) if path.suffix.lower() in SUFFIXES[kind])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--details", action="store_true", help="what every file counts as, and why")
    given = parser.parse_args()
    sys.exit(not run(given.kind, _files(given.kind, given.folders), given.processes, given.details))
