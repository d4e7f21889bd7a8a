"""Several processes write one commit: the layout first, then each its own regions, then all of it at once.

A process cannot pickle a session that is being written, and a fork of a session with staged changes lacks them. So the
layout is stored as a snapshot that no branch points to, forks of the then clean session go to the processes, and the
branch moves when all forks are merged. Processes are spawned: icechunk's threads do not survive a fork of a process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import icechunk
from manifestry import Stores, write
from manifestry.plugin import (
    Issue,
    Mode,
    OptionError,
    Provenance,
    Target,
    UnsupportedFeatureError,
    VirtualGroup,
    WriteContext,
    WriteReport,
    canonical_url,
    make_options,
)

from manifestry_icechunk.options import IcechunkWriteOptions
from manifestry_icechunk.writer import IcechunkWriter

__all__ = ["Region", "write_parts"]

type Region = Mapping[str, tuple[int, int]]
"""Half-open element ranges by dimension."""


_OF_PARTS: Final = frozenset({"checksums", "relative", "rewrite_below", "sources"})
"""Options that mean something for a part; the others are the commit's."""


@dataclass(frozen=True)
class _Work[T]:
    """What every process does with its parts."""

    make: Callable[[T], tuple[VirtualGroup, Region]]
    group: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class _Filled:
    """What a process sends back."""

    fork: icechunk.Session
    provenance: tuple[Provenance, ...]
    reports: tuple[WriteReport, ...]


def write_parts[T](
    layout: VirtualGroup,
    target: Any,
    parts: Sequence[T],
    make: Callable[[T], tuple[VirtualGroup, Region]],
    *,
    sources: Sequence[str],
    group: str = "",
    overwrite: bool = False,
    executor: Executor | None = None,
    workers: int = 2,
    stores: Stores = None,
    **options: Any,
) -> WriteReport:
    """Write one commit from several processes.

    Parameters
    ----------
    layout
        All groups and arrays in their final shapes. What its arrays hold already (coordinates) is written with it;
        arrays that the parts fill have a ``ChunkManifest.missing``.
    target
        Path, URL or an open repository.
    parts
        What there is to do; each goes to `make`.
    make
        Gives the tree of a part and the region that it fills, which no other part does; called in another process,
        so a function of a module.
    sources
        Paths or URLs of directories that hold all sources: containers must be known before the work is handed out.
    executor
        Where the work is done; by default `workers` spawned processes.
    group, overwrite, stores, **options
        As for `manifestry.write`.

    Raises
    ------
    ManifestryError
        Of any part; nothing of any part is stored then.
    """
    own = make_options(IcechunkWriteOptions, options, "icechunk", call=write_parts)
    if own.on_conflict == "retry":
        raise OptionError("parts cannot be written again after a conflict; use on_conflict='raise'")
    place, mode = Target.of(target, group, stores), Mode.OVERWRITE if overwrite else Mode.CREATE
    session = IcechunkWriter().open(place, mode, own, WriteContext())
    with ExitStack() as undo:
        undo.callback(session.abort)
        _raise_refused(session.check(layout))
        begun = session.begin_parts(layout, [f"{canonical_url(s).rstrip('/')}/" for s in sources])
        work = _Work(make, group, {name: value for name, value in options.items() if name in _OF_PARTS})
        filled = _fill_all(begun, parts, work, executor, workers)
        session.merge(part.fork for part in filled)
        provenance = Provenance.merge([*layout.provenance, *(p for part in filled for p in part.provenance)])
        report = session.commit({"manifestry": Provenance.to_json(provenance)})
        undo.pop_all()
    return _total(report, [r for part in filled for r in part.reports])


def _raise_refused(issues: Iterable[Issue]) -> None:
    refused = [issue for issue in issues if issue.severity == "refused"]
    if refused:
        raise UnsupportedFeatureError("the layout has no exact form in icechunk", "", "", refused)


def _fill_all[T](
    layout: icechunk.Session, parts: Sequence[T], work: _Work[T], executor: Executor | None, workers: int
) -> list[_Filled]:
    if executor is None:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as own:
            return _fill_all(layout, parts, work, own, workers)
    shares = [parts[i::workers] for i in range(min(workers, len(parts)))]
    futures = [executor.submit(_fill, layout.fork(), some, work) for some in shares]
    return [future.result() for future in futures]


def _fill[T](fork: icechunk.Session, parts: Sequence[T], work: _Work[T]) -> _Filled:
    """The work of one process: some parts into one fork."""
    provenance: list[Provenance] = []
    reports = []
    for part in parts:
        tree, region = work.make(part)
        reports.append(write(tree, fork, format="icechunk", group=work.group, region=region, **work.options))
        provenance += tree.provenance
    return _Filled(fork, tuple(provenance), tuple(reports))


def _total(report: WriteReport, parts: Iterable[WriteReport]) -> WriteReport:
    for part in parts:
        report = replace(
            report,
            references=report.references + part.references,
            inlined=report.inlined + part.inlined,
            described_bytes=report.described_bytes + part.described_bytes,
            issues=(*report.issues, *part.issues),
        )
    return report
