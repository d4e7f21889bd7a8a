"""Can the tests fail: changes one line of the source at a time and runs the tests that reach it, to see who notices.

    uv run python .ci/mutate.py --seed 1 --per-room 5 [--rooms model plugins/tiff ...] [--tests plugins/tiff/tests ...]

First the tests run once, and it is recorded which lines each of them reaches (`record_lines.py`). Then lines are drawn at
random, from those that a test reaches, and changed in a copy of the package, which stands in front on the path of modules.
Of each changed line the tests that reach it run, the fastest first; when none fails, the rest of their modules too. A change
that nobody notices is a gap in the tests, unless it means the same: look at each. Prints a table of rooms.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120
"""For the tests of one change, beside the time of starting; who takes longer is taken to have noticed."""

MAX_TESTS = 150

COMPARISONS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not", ast.IsNot: "is",
    ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
OPERATORS = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
    ast.Mod: "//",
    ast.LShift: ">>",
    ast.BitAnd: "|",
}


@dataclass(frozen=True)
class Change:
    """One line of a file (bytes from `start` to `end` of it) and what stands there instead."""

    path: Path
    line: int
    start: int
    end: int
    text: str

    def applied(self) -> str:
        """The whole file, changed."""
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        line = lines[self.line - 1].encode()
        lines[self.line - 1] = (line[: self.start] + self.text.encode() + line[self.end :]).decode()
        return "".join(lines)

    def __str__(self) -> str:
        line = self.path.read_text(encoding="utf-8").splitlines()[self.line - 1].encode()
        old = line[self.start : self.end].decode()
        return f"{self.path.relative_to(ROOT)}:{self.line}: {old!r} -> {self.text!r}"


def changes(path: Path) -> Iterator[Change]:
    """All changes of a file that this script knows, each on one line."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        for where, text in _replacements(node):
            if where.lineno == where.end_lineno and where.end_col_offset is not None:
                yield Change(path, where.lineno, where.col_offset, where.end_col_offset, text)


def _replacements(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Nodes that can be replaced, with what."""
    match node:
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield node, "return None"
        case ast.Raise() | ast.Continue() | ast.Break():
            yield node, "pass"
        case ast.If(test=test):
            yield test, "True"
            yield test, "False"
        case ast.IfExp(body=body, orelse=other):
            yield node, f"({ast.unparse(body)})"
            yield node, f"({ast.unparse(other)})"
        case ast.Call(func=ast.Name(id="sorted"), args=[first, *_]):
            yield node, f"list({ast.unparse(first)})"
        case ast.Call(func=function, args=arguments, keywords=[_, *_] as keywords):
            for left_out in keywords:
                kept = [*map(ast.unparse, arguments), *(ast.unparse(k) for k in keywords if k is not left_out)]
                yield node, f"{ast.unparse(function)}({', '.join(kept)})"
        case ast.expr():
            text = _other_expression(node)
            if text:
                yield node, text


def _other_expression(node: ast.expr) -> str:
    """Another operator, or another number."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in COMPARISONS:
            return f"({ast.unparse(left)} {COMPARISONS[type(operator)]} {ast.unparse(right)})"
        case ast.BoolOp(op=operator, values=values):
            other = " or " if isinstance(operator, ast.And) else " and "
            return f"({other.join(f'({ast.unparse(value)})' for value in values)})"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
            return f"({ast.unparse(left)} {OPERATORS[type(operator)]} {ast.unparse(right)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            return str(not value)
        case ast.Constant(value=int(value)):
            return str(value + 1)
    return ""


def record(tests: Sequence[str], folder: Path) -> tuple[dict[str, dict[int, list[str]]], dict[str, float]]:
    """Run tests once: which of them reach each line of the source, and the seconds of each."""
    environment = {**os.environ, "RECORDED_LINES": str(folder / "lines"), "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "record_lines", "--no-header", *tests]
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    lines: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    seconds = {}
    for part in folder.glob("lines.*"):
        for row in part.read_text(encoding="utf-8").splitlines():
            test, taken, reached = json.loads(row)
            seconds[test] = taken
            for path, numbers in reached.items():
                for number in numbers:
                    lines[path][number].append(test)
    return lines, seconds


def room_of(path: Path) -> str:
    """``plugins/NAME``, or the room of the core."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "plugins" else parts[3].removesuffix(".py")


def notices(change: Change, tests: Sequence[str], folder: Path) -> str:
    """How a run of tests with a change ends: ``killed`` or ``survived``."""
    package = next(parent for parent in change.path.parents if parent.name == "src")
    copy = folder / "src"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / change.path.relative_to(package)).write_text(change.applied(), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            return "survived" if process.wait(SECONDS + 60) == 0 else "killed"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            return "killed"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-room", type=int, default=5, help="changes of each room")
    parser.add_argument("--rooms", nargs="*", help="all of them, where none is given")
    parser.add_argument("--tests", nargs="*", default=[], help="the tests to record; all of them, where none are given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        lines, seconds = record(given.tests, Path(temporary))
        counts = survivors(given, lines, seconds, Path(temporary))
    sys.stdout.write(f"\n{'room':24} {'changed':>8} {'killed':>8} {'survived':>9}\n")
    for room, ends in sorted(counts.items()):
        sys.stdout.write(f"{room:24} {ends.total():8} {ends['killed']:8} {ends['survived']:9}\n")
    total = sum(counts.values(), Counter())
    sys.stdout.write(f"{'all':24} {total.total():8} {total['killed']:8} {total['survived']:9}\n")
    return 0


def survivors(
    given: argparse.Namespace, lines: Mapping[str, Mapping[int, list[str]]], seconds: Mapping[str, float], folder: Path
) -> dict[str, Counter[str]]:
    """Draw and try the changes of each room; those that nobody notices are printed."""
    rng = random.Random(given.seed)
    rooms: dict[str, list[Change]] = defaultdict(list)
    for path in sorted([*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]):
        reached = lines.get(str(path), {})
        rooms[room_of(path)] += [change for change in changes(path) if change.line in reached]
    counts: dict[str, Counter[str]] = {}
    for room in given.rooms or sorted(rooms):
        counts[room] = Counter()
        for change in rng.sample(rooms[room], min(given.per_room, len(rooms[room]))):
            tests = sorted(set(lines[str(change.path)][change.line]), key=lambda test: seconds[test])
            end = notices(change, _first(tests, seconds), folder)
            if end == "survived":
                end = notices(change, sorted({test.partition("::")[0] for test in tests})[:8], folder)
            counts[room][end] += 1
            if end == "survived":
                sys.stdout.write(f"survived: {change} ({len(tests)} tests reach it)\n")
                sys.stdout.flush()
    return counts


def _first(tests: Sequence[str], seconds: Mapping[str, float]) -> list[str]:
    """The fastest tests, as many as there is time for."""
    taken: list[str] = []
    left = float(SECONDS)
    for test in tests[:MAX_TESTS]:
        left -= seconds[test]
        if left < 0 and taken:
            break
        taken.append(test)
    return taken


if __name__ == "__main__":
    sys.exit(main())
