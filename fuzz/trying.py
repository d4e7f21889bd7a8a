"""One mutant after the other, in processes that have limits of time and memory and may die."""

import math
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import h5py  # noqa: F401 before anything that a mutant does
import manifestry as mf
import numpy as np
import zarr

from fuzz.targets import PER_ORIGINAL, TARGETS, Target
from fuzz.watched_processes import DIED, HUNG, Watched

__all__ = ["Ends", "try_mutants", "write_mutant"]

SECONDS: Final = 120
"""After so many a process hangs: ten times what the slowest takes on a busy machine."""

MAX_MEGABYTES: Final = 200
ADDRESS_SPACE: Final = 3 << 30
"""What a process may have beside what it begins with."""

READ_BYTES: Final = 4 << 20
"""Arrays and chunks of more bytes are not read: they may have any shape, and what is missing is filled."""

READ_CHUNKS: Final = 10_000
"""Arrays of more chunks are not read either: zarr-python takes a millisecond for each."""

DECODING_ERRORS: Final = (ValueError, RuntimeError, OSError, OverflowError, TypeError, MemoryError, zlib.error)
"""What codecs of numcodecs, imagecodecs and zarr raise for bytes that they cannot decode, or that claim to be huge."""

UNNAMED, MEMORY, DIFFERS = "unnamed error", "too much memory", "other values than the format's own library"
NOT_MADE = "no file: the library died making it"
BROKEN = "the fuzzer failed"
NATIVE = "the format's own library died or hung"

type Task = tuple[str, int]
"""A format, and the number of a mutant."""


@dataclass
class Ends:
    """How mutants of a format ended.

    Attributes
    ----------
    counts
        Mutants by end.
    compared
        Arrays that the format's own library read too.
    failed
        What failed, by number.
    slowest, largest
        Seconds of the processor and number, megabytes and number of the worst.
    """

    counts: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0, 0)
    largest: tuple[float, int] = (0, 0)


def try_mutants(tasks: Iterable[Task], processes: int, *, fragile: bool = False) -> dict[str, Ends]:
    """Try mutants; what became of them by format. Each that fails is printed when it does.

    Libraries that die or hang of some mutants are asked for theirs only where `fragile` is true.
    """
    found: dict[str, Ends] = {}
    with tempfile.TemporaryDirectory() as folder:
        for (name, number), answer in Watched(_serve, (folder, fragile), processes, SECONDS).map(tasks):
            ends = found.setdefault(name, Ends())
            end, seconds, megabytes, compared = (
                (_stage(folder, name, number, answer), 0, 0, 0) if answer in (DIED, HUNG) else answer
            )
            ends.counts[end.partition(":")[0] if end != NOT_MADE else end] += 1
            ends.compared += compared
            ends.slowest = max(ends.slowest, (seconds, number))
            ends.largest = max(ends.largest, (megabytes, number))
            if end.startswith((BROKEN, DIED, HUNG, MEMORY, UNNAMED, DIFFERS)):
                ends.failed[number] = end
                sys.stdout.write(f"{name} {number}: {end}\n")
                sys.stdout.flush()
    return found


def write_mutant(name: str, number: int, folder: Path) -> Path:
    """The file, or directory, of one mutant."""
    path = TARGETS[name].original(number // PER_ORIGINAL, folder)
    TARGETS[name].mutate(path, random.Random(number), number)
    return path


def outcome(path: Path, name: str) -> tuple[str, Mapping[str, Any]]:
    """How parsing and reading end, and the values that were read."""
    read: dict[str, Any] = {}
    try:
        tree = mf.parse(path, on_unsupported="skip", format=name)
    except mf.PluginError as error:
        return f"{UNNAMED} while parsing: {error}"[:400], read
    except mf.ManifestryError:
        return "refused", read
    except Exception as error:
        return f"{UNNAMED} while parsing: {type(error).__name__}: {error}"[:400], read
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    end = "tree with issues" if tree.issues else "tree"
    for at, array in tree.walk_arrays():
        metadata = array.metadata
        longest = max(math.prod(metadata.shape), math.prod(np.atleast_1d(array.manifest.grid_shape).tolist()))
        if longest * metadata.dtype.itemsize > READ_BYTES or array.manifest.size > READ_CHUNKS or _wide(array):
            end = "tree with large arrays"
            continue
        try:
            read[at] = np.asarray(root[at][...])
        except (mf.ManifestryError, *DECODING_ERRORS):
            end = "tree with values that cannot be decoded"
        except Exception as error:
            return f"{UNNAMED} while reading: {type(error).__name__}: {error}"[:400], read
    return end, read


def _wide(array: Any) -> bool:
    """Whether its largest chunk takes more than is read."""
    shapes = getattr(array.metadata.chunk_grid, "chunk_shape", None)
    if shapes is None:  # edges of all chunks stand in the document
        return False
    return bool(math.prod(shapes) * array.metadata.dtype.itemsize > READ_BYTES)


def _serve(connection: Connection, folder: str, fragile: bool) -> None:  # noqa: FBT001 - arguments of a process
    """The work of a process: for each task that is sent the end, its seconds, megabytes and what was compared."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries print
    zarr.config.set({"array.rectilinear_chunks": True})
    own = Path(folder) / str(os.getpid())
    limit = _memory("VmSize") * 1024 + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    made: dict[str, tuple[int, Path]] = {}
    while (task := connection.recv()) is not None:
        name, number = task
        stage = Path(folder) / f"{name}-{number}"
        seed = number // PER_ORIGINAL
        if made.get(name, (-1,))[0] != seed:
            stage.write_text(NOT_MADE)
            made[name] = seed, _made(TARGETS[name], seed, own / name)
            outcome(made[name][1], name)  # so that what is imported does not count
        connection.send(_tried(name, number, made[name][1], stage, fragile=fragile))
        stage.unlink(missing_ok=True)


def _made(target: Target, seed: int, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "original").mkdir(parents=True)
    return target.original(seed, folder / "original")


def _tried(name: str, number: int, original: Path, stage: Path, *, fragile: bool) -> tuple[str, float, float, int]:
    copy = original.parent.parent / "mutant"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(original.parent, copy)
    path = copy / original.name
    stage.write_text(BROKEN)
    TARGETS[name].mutate(path, random.Random(number), number)
    stage.write_text("")
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory is counted from here
    before, began = _memory("VmRSS"), time.process_time()
    end, read = outcome(path, name)
    seconds, used = time.process_time() - began, (_memory("VmHWM") - before) / 1024
    if used > MAX_MEGABYTES:
        return f"{MEMORY}: {used:.0f} MB", seconds, used, 0
    target = TARGETS[name]
    native = target.native if fragile or not target.fragile else None
    if native is None or not read or end.startswith(UNNAMED):
        return end, seconds, used, 0
    stage.write_text(NATIVE)
    try:
        right = native(path)
    except Exception:
        return end, seconds, used, 0
    both = sorted(read.keys() & right.keys())
    for at in both:
        if not _same(read[at], right[at]):
            return f"{DIFFERS}: {at}: {_told(read[at])} for {_told(right[at])}"[:400], seconds, used, len(both)
    return end, seconds, used, len(both)


def _same(found: Any, right: Any) -> bool:
    if found.shape != right.shape or found.dtype.newbyteorder("=") != right.dtype.newbyteorder("="):
        return False
    return bool(found.astype(right.dtype).tobytes() == right.tobytes())


def _told(values: Any) -> str:
    return f"{values.dtype} {values.shape} {values.reshape(-1)[:4].tolist()}"


def _memory(name: str) -> int:
    """Kilobytes of this process."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(f"{name}:"))
    return int(line.split()[1])


def _stage(folder: str, name: str, number: int, answer: str) -> str:
    """What a process that died or hung was at."""
    stage = Path(folder) / f"{name}-{number}"
    return (stage.read_text() if stage.exists() else "") or answer
