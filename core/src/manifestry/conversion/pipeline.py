"""One run of `convert`: batches parsed on workers, gathered into slabs, each slab one commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import batched, pairwise
from time import perf_counter
from typing import Final

import msgspec

from manifestry.conversion.batches import Batch, BatchJob, BatchResult, CoordinateTask, array_paths, template_of
from manifestry.conversion.existing import Existing, read_existing
from manifestry.conversion.order import Coordinate, Kept, OnDuplicate, Order, coordinate_of, decide_order
from manifestry.conversion.output import Output
from manifestry.conversion.report import ConvertReport, SourceReport
from manifestry.conversion.slabs import OrderWatch, Slab, index_chunk, slabs_of
from manifestry.errors import (
    IncompatibleArraysError,
    ManifestryError,
    OptionError,
    SourceError,
    TargetExistsError,
    WriteError,
)
from manifestry.formats.loading import installed_formats
from manifestry.formats.targets import Mode
from manifestry.issues import Issue
from manifestry.model.files import relocate_url
from manifestry.model.tree import VirtualGroup
from manifestry.parallel import ATTEMPTS, ExecutorLike, Lost, Workers, choose_workers, must_travel, run_tasks
from manifestry.parallel.processes import Processes
from manifestry.progress import Progress, SilentProgress
from manifestry.storage.source import Source

__all__ = ["Run"]

_BATCH_SIZE: Final = 32
"""The most sources in a task: enough to make a process worth its messages, few enough to show progress."""

_TASKS_PER_WORKER: Final = 8
"""The least number of tasks for each worker, where there are enough sources: so all end at about the same time."""

_ASSUMED_WORKERS: Final = 32  # where it is not known how many there are


@dataclass(slots=True, kw_only=True)
class Run:
    """One call of `manifestry.convert`.

    Attributes
    ----------
    job
        The task of workers.
    output
        Where it goes.
    progress
        Receives how far the run has come.
    reports
        What became of the sources so far, by URL.
    seconds
        Time taken by each stage.
    like
        The tree that decides what all sources must be like: the first source, or the output that is continued.
    urls
        All sources.
    left_out
        Paths of the arrays that the options dropped in some source: no later commit has them.
    existing
        The output that is continued.
    sort, on_duplicate
        As for `manifestry.convert`.
    kept
        What goes into the output of those sources of which not all does, by URL.
    issues
        What was decided about the order of sources.
    order
        Checks the order of the combined coordinate.
    """

    job: BatchJob
    output: Output
    progress: Progress
    reports: dict[str, SourceReport] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    like: VirtualGroup | None = None
    urls: Sequence[str] = ()
    left_out: frozenset[str] = frozenset()
    existing: Existing = field(default_factory=Existing)
    sort: bool = False
    on_duplicate: OnDuplicate = "keep"
    kept: Mapping[str, Kept] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    order: OrderWatch = field(init=False)

    def __post_init__(self) -> None:
        self.order = OrderWatch(self.job.dim)

    def __call__(
        self,
        sources: Sequence[Source],
        executor: ExecutorLike,
        slab_files: int | None,
        *,
        continued: bool,
        must_exist: bool,
    ) -> ConvertReport:
        """Convert.

        Parameters
        ----------
        continued
            Leave out what the output holds already, and append the rest.
        must_exist
            There is an output to continue.
        """
        where = str(self.output.target)
        self.urls = [source.url for source in sources]
        self.output.check_urls(self.urls)
        new = self._continue(sources, must_exist=must_exist) if continued else list(sources)
        workers = choose_workers(executor, len(new))
        with nullcontext() if workers is None else workers:
            if workers is not None:
                self._send(workers, new)
            if new and (self.sort or self.on_duplicate != "keep"):
                new = self._in_order(new, workers)
            try:
                self._convert(new, workers, slab_files)
            except IncompatibleArraysError as error:
                advised = self._limit_advice(error, tuple(s.url for s in new), workers, slab_files)
                raise advised from (None if advised is error else error)
            except TargetExistsError as error:
                if not continued or self.output.mode is Mode.APPEND:
                    raise
                raise WriteError(
                    f"{where}: another run has created it in the meantime; run the command again"
                ) from error
        source_reports = tuple(self.reports[source.url] for source in sources)
        written = (
            None
            if self.output.written is None
            else self.output.written.with_issues([*self.issues, *self.order.issues()])
        )
        return ConvertReport(
            target=where, written=written, sources=source_reports, seconds=self.seconds, dry_run=self.output.dry_run
        )

    def _send(self, workers: Workers, sources: Sequence[Source]) -> None:
        """Make sure that everything can be sent to workers, and have them load what they will need."""
        if workers.separate:
            must_travel("the stores", self.job.stores, "give stores of a remote service, or convert in this process")
        if isinstance(workers, Processes):
            must_travel("the task", self.job, "preprocess is a function of a module that workers can import")
            workers.warm_up(self.job.warm_up, sources[0].url)

    def _limit_advice(
        self, error: IncompatibleArraysError, urls: tuple[str, ...], workers: Workers | None, slab_files: int | None
    ) -> IncompatibleArraysError:
        """The error with hints that help with all sources, as long as those are few enough to be combined at once.

        What an earlier commit has, a later one neither leaves out nor fills in another way.
        """
        if error.hints and len(urls) <= _BATCH_SIZE:
            try:
                next(run_tasks(self.job, [self._batch(urls)], workers))
            except IncompatibleArraysError as whole:
                error = whole
            except ManifestryError:
                error = IncompatibleArraysError(error.message)
        slabs = self.output.divisible and slab_files is not None and slab_files < len(urls)
        if not self.job.continued and (slabs or self.output.written is not None):
            sure = [hint for hint in error.hints if not {"drop", "fill"} & set(hint.options.values())]
            error = IncompatibleArraysError(error.message, sure)
        return error

    def _convert(self, sources: Sequence[Source], workers: Workers | None, slab_files: int | None) -> None:
        self.progress.start("parse", len(sources))
        results = self._parse_batches(sources, workers, slab_files)
        for slab, last in slabs_of(results, slab_files, divide=self.output.divisible):
            self._write(slab, last=last)
        self.progress.finish()

    def _in_order(self, sources: Sequence[Source], workers: Workers | None) -> list[Source]:
        """The sources from which something is appended, in order; what replaces elements of the output does so here."""
        dim = self.job.dim
        assert dim is not None
        with self.timing("order"):
            batches = [Batch(urls) for urls in batched((source.url for source in sources), _BATCH_SIZE)]
            found: list[Coordinate] = []
            for result in run_tasks(CoordinateTask(self.job), batches, workers):
                if isinstance(result, Lost):
                    raise SourceError(f"{sources[0].url}: workers died while they read coordinates: {result.reason}")
                found += result
            stored = None
            if self.existing.tree is not None:
                stored = coordinate_of(str(self.output.target), self.existing.tree, dim, self.job.stores)
            order = decide_order(found, stored, sort=self.sort, on_duplicate=self.on_duplicate, dim=dim)
        self.kept, self.issues = order.kept, order.issues(dim)
        by_url = {source.url: source for source in sources}
        others = by_url.keys() - set(order.names)  # they fail when they are parsed
        if order.replaced:
            self.output.check_region()
        for url in order.replaced:
            self._replace(url, order)
        done = {url for url in order.replaced if not order.kept[url][1]}
        return [by_url[url] for url in (*order.names, *(u for u in by_url if u in others)) if url not in done]

    def _replace(self, url: str, order: Order) -> None:
        """Put elements of a source in the place of those of the output."""
        length, appended = order.kept[url]
        for part in order.replaced[url]:
            tree = self.job.parse(url, (length, [(part.start, part.stop)]))
            folded = self.job.fold([tree], self.like)
            assert folded is not None
            report = SourceReport.of(url, folded)
            folded = folded.with_(provenance=()) if appended else folded  # until all of it is there
            self.output.replace(folded, part.at, part.stop - part.start)
            if not appended:
                self.reports[url] = report

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Inside, time counts for a stage."""
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - began

    def _continue(self, sources: Sequence[Source], *, must_exist: bool) -> list[Source]:
        """Look at the output, and leave out the sources that it holds."""
        with self.timing("look"):
            output = self.output
            given = {relocate_url(url, output.relocate) for url in self.urls}
            existing = read_existing(
                output.target, output.format, installed_formats(), output.options, self.job.dim, given=given
            )
        if existing.tree is None:
            if must_exist:
                self.output.mode = Mode.APPEND  # the writer says that there is nothing
            return list(sources)
        missing, present = existing.split(sources, self.output.relocate, self.job.dim, self.job.parse)
        self.reports |= {report.url: report for report in present}
        original = {new: old for old, new in self.output.relocate.items()}  # sources are read where they are
        self.like = template_of(existing.tree.relocate(original) if original else existing.tree, self.job.dim)
        self._chunk_index_like(self.like)
        if missing:
            existing.check_known(self.job.dim, str(self.output.target))
            self.order.begin(existing.tree.relocate(original), self.job, str(self.output.target))
        self.existing = existing
        self.output.mode, self.output.state = Mode.APPEND, existing.state
        self.job = replace(self.job, continued=True)
        return missing

    def _chunk_index_like(self, tree: VirtualGroup) -> None:
        """From now on, the combined coordinate gets chunks as it has them in a tree."""
        assert self.job.dim is not None
        size = index_chunk(tree, self.job.dim)
        if size is not None:
            self.job = replace(self.job, combine=msgspec.structs.replace(self.job.combine, index_chunk=size))

    def _parse_batches(
        self, sources: Sequence[Source], workers: Workers | None, slab_files: int | None
    ) -> Iterator[BatchResult]:
        """Batches in order. The first source alone decides what all others must be like, so that no batch differs."""
        urls = [source.url for source in sources]
        while self.like is None and urls and self.job.dim is not None:
            for result in self._run([self._batch((urls.pop(0),))], workers):
                if result.tree is not None:
                    self.like = template_of(result.tree, self.job.dim)
                yield result
        done = len(sources) - len(urls)
        at_once = 1 if workers is None else workers.count or _ASSUMED_WORKERS
        size = min(_BATCH_SIZE, max(1, -(-len(urls) // (_TASKS_PER_WORKER * at_once))))
        batches = [self._batch(part) for part in _parts(urls, size, slab_files, done)]
        yield from self._run(batches, workers)

    def _batch(self, urls: tuple[str, ...]) -> Batch:
        return Batch(urls, self.like, {url: self.kept[url] for url in urls if url in self.kept})

    def _run(self, batches: Sequence[Batch], workers: Workers | None) -> Iterator[BatchResult]:
        results = run_tasks(self.job, batches, workers)
        with self.timing("look"):
            self.output.check()  # workers are at work already
        for result in self._recover_lost(batches, results, workers):
            yield self._report_batch(result)

    def _recover_lost(
        self, batches: Sequence[Batch], results: Iterator[BatchResult | Lost], workers: Workers | None
    ) -> Iterator[BatchResult]:
        """The results of batches; one that workers died on is parsed source by source, to find the one that kills them."""
        for batch in batches:
            with self.timing("parse"):
                result = next(results)
            if not isinstance(result, Lost):
                yield result
            elif len(batch.urls) > 1:
                for url in batch.urls:
                    alone = [Batch((url,), batch.like, batch.kept)]
                    yield from self._recover_lost(alone, run_tasks(self.job, alone, workers), workers)
            else:
                yield self._fatal(batch.urls[0], result)

    def _fatal(self, url: str, lost: Lost) -> BatchResult:
        """What becomes of a source that workers die on."""
        error = SourceError(f"{url}: {ATTEMPTS} workers died while they read it: {lost.reason}")
        if self.job.on_error == "raise":
            raise error
        return BatchResult({}, (SourceReport.of_error(url, error),))

    def _report_batch(self, result: BatchResult) -> BatchResult:
        self.reports |= {report.url: report for report in result.reports}
        described = sum(report.described_bytes for report in result.reports)
        self.progress.advance(len(result.reports), result.references, described)
        return result

    def _check_relocation(self, tree: VirtualGroup) -> None:
        """A misspelt prefix must not pass: the output would refer to where the sources are now."""
        for prefix in self.output.relocate:
            if not any(url.startswith(prefix) for url in (*self.urls, *tree.files.urls)):
                raise OptionError(
                    f"relocate: no source is at {prefix!r}; prefixes are compared literally, and the first source is "
                    f"at {self.urls[0]!r}"
                )

    def _leave_out(self, paths: frozenset[str], tree: VirtualGroup) -> None:
        """Arrays that the options drop: from all commits, so not from one that follows others."""
        present = min(paths - self.left_out, default=None)
        if present is not None and self.output.mode is Mode.APPEND and present in array_paths(self.like):
            reason = next((issue.message for issue in tree.issues if issue.path == present), "some sources lack it")
            raise IncompatibleArraysError(
                f"{present}: the output has it already, so it cannot be left out of what is added: {reason}"
            )
        self.left_out |= paths

    def _write(self, slab: Slab, *, last: bool) -> None:
        """Combine a slab and commit it."""
        with self.timing("combine"):
            added = self.output.mode is Mode.APPEND
            tree = slab.tree(replace(self.job, continued=added), self.like, self.left_out)
            if tree is None:
                return
            self._check_relocation(tree)
            self._leave_out((slab.paths() | array_paths(self.like)) - array_paths(tree), tree)
            if not last and self.output.written is None:
                self._chunk_index_like(tree)  # whole slabs are whole chunks of the coordinate
            self.order.look(tree, self.job, slab.following)
            if not self.existing.complete:
                relocated = tree.relocate(self.output.relocate)
                self.existing.check_named(relocated, self.job.dim, str(self.output.target))
        if alone := last and self.output.written is None:
            self.progress.finish()
            self.progress.start("write")
        with self.timing("write"):
            self.output.last = last
            self.output.added = array_paths(tree) - array_paths(self.like) if added else frozenset()
            self.output.adding = frozenset(relocate_url(url, self.output.relocate) for url in slab.lengths)
            self.output.write(tree, self.progress if alone else SilentProgress())
        if not last and self.job.dim is not None:
            self.like = template_of(tree, self.job.dim)  # what follows continues what was written


def _parts(urls: Sequence[str], size: int, slab: int | None, done: int) -> Iterator[tuple[str, ...]]:
    """URLs in batches of `size` that end where slabs end, when `done` sources came before."""
    if slab is None:
        yield from batched(urls, size)
        return
    ends = [*range(slab - done % slab, len(urls), slab), len(urls)]
    for start, stop in pairwise([0, *ends]):
        yield from batched(urls[start:stop], size)
