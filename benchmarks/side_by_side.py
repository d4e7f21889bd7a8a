"""Running subjects side by side: each round in a fresh process, subjects in turn, so that all see the same machine.

A subject is an interpreter and a Python text with two parts, ``SETUP`` (imports, not timed) and the timed statement.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# The interpreter of the environment that the other tools live in; by default one beside the repository.
PEER_PYTHON = os.environ.get(
    "MANIFESTRY_PEER_PYTHON", str(Path(__file__).resolve().parents[2] / "peer-env" / "bin" / "python")
)

_RUNNER = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
{setup}
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, busy = time.perf_counter(), time.process_time()
{statement}
spent, busy = time.perf_counter() - start, time.process_time() - busy
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([spent, busy, peak / 1024, (peak - base) / 1024]))
"""


@dataclass
class Subject:
    """Something that is measured."""

    name: str
    setup: str
    statement: str
    python: str = sys.executable
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    added_mb: list[float] = field(default_factory=list)

    def run(self) -> None:
        text = _RUNNER.format(setup=self.setup, statement=self.statement)
        done = subprocess.run([self.python, "-c", text], capture_output=True, text=True, check=False, timeout=600)
        if not done.stdout.strip():  # a peer that has measured may still crash when its process ends
            raise RuntimeError(f"{self.name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        spent, busy, peak, added = json.loads(done.stdout.strip().splitlines()[-1])
        self.seconds.append(spent)
        self.busy.append(busy)
        self.peak_mb.append(peak)
        self.added_mb.append(added)


def compare(title: str, subjects: list[Subject], rounds: int = 5) -> str:
    """Measure all subjects and return a Markdown table; the first subject is ours.

    The ratio is that of processor time: others may be at work on the machine, and all subjects have one thread.
    """
    for _ in range(rounds):
        for subject in subjects:
            subject.run()
    ours = subjects[0]
    rows = [
        f"### {title}",
        "",
        "| | processor time (median) | slower by | wall clock (median) | peak memory | added by the work |",
        "|---|---|---|---|---|---|",
    ]
    for subject in subjects:
        busy = statistics.median(subject.busy)
        ratio = busy / statistics.median(ours.busy)
        rows.append(
            f"| {subject.name} | {busy * 1000:.0f} ms | {'' if subject is ours else f'{ratio:.1f} times'} "
            f"| {statistics.median(subject.seconds) * 1000:.0f} ms | {statistics.median(subject.peak_mb):.0f} MB "
            f"| {statistics.median(subject.added_mb):.0f} MB |"
        )
    return "\n".join(rows) + "\n"


def write_page(path: Path, heading: str, introduction: str, tables: list[str]) -> None:
    """The page of one format under docs/benchmarks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {heading}\n\n{introduction}\n\n" + "\n".join(tables))
    print(path.read_text())
