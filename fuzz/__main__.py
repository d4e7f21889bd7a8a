"""``uv run python -m fuzz [FORMAT...] [--count N | --seconds S]``: mutants of files, and how they ended by format.

Number n is a mutant of the file of seed ``n // 50``; the same number is always the same mutant. What fails is printed as
``FORMAT NUMBER: how``, and ``python -m fuzz FORMAT --keep NUMBER`` leaves that mutant on the disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from fuzz.targets import TARGETS
from fuzz.trying import Ends, Task, try_mutants, write_mutant


def tasks(formats: Sequence[str], first: int, amount: int | None, seconds: float | None) -> Iterator[Task]:
    """Numbers of each format in turn, until there are enough or the time is over."""
    end = None if seconds is None else time.monotonic() + seconds
    for number in count(first) if amount is None else range(first, first + amount):
        for name in formats:
            if end is not None and time.monotonic() > end:
                return
            yield name, number


def table(found: dict[str, Ends]) -> str:
    """The counts by format."""
    lines = []
    for name, ends in found.items():
        lines += [f"{name}: {ends.counts.total()} mutants, {ends.compared} arrays compared, {len(ends.failed)} failed"]
        lines += [f"    {amount:8} {end}" for end, amount in ends.counts.most_common()]
        lines += [f"    slowest {ends.slowest[0]:.2f} s (number {ends.slowest[1]})"]
        lines += [f"    largest {ends.largest[0]:.0f} MB (number {ends.largest[1]})"]
    total, failed = (sum(n) for n in zip(*((e.counts.total(), len(e.failed)) for e in found.values()), strict=True))
    return "\n".join([*lines, f"{failed} of {total} fail"])


def main() -> int:
    """Run the command; 1 where something failed."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("formats", nargs="*", choices=[*TARGETS, []], help="all of them, where none is given")
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    parser.add_argument("--count", type=int, help="how many of each format")
    parser.add_argument("--seconds", type=float, help="how long")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--fragile", action="store_true", help="compare also with libraries that die or hang of mutants"
    )
    parser.add_argument("--keep", type=int, metavar="NUMBER", help="write one mutant and say where it is")
    given = parser.parse_args()
    formats = given.formats or list(TARGETS)
    if given.keep is not None:
        sys.stdout.write(f"{write_mutant(formats[0], given.keep, Path(tempfile.mkdtemp()))}\n")
        return 0
    amount = 1000 if given.count is None and given.seconds is None else given.count
    found = try_mutants(tasks(formats, given.first, amount, given.seconds), given.processes, fragile=given.fragile)
    sys.stdout.write(table(found) + "\n")
    return int(any(ends.failed for ends in found.values()))


if __name__ == "__main__":
    sys.exit(main())
