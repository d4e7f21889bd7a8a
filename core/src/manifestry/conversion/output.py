"""The output of a run: where slabs go, one commit after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from manifestry.conversion.slabs import add_reports
from manifestry.formats.contracts import OnUnsupported
from manifestry.formats.descriptors import Capability
from manifestry.formats.loading import installed_formats
from manifestry.formats.report import WriteReport
from manifestry.formats.targets import Mode, OutputState, Placement, Target
from manifestry.model.files import relocate_url
from manifestry.model.limits import Limits
from manifestry.model.tree import VirtualGroup
from manifestry.progress import Progress
from manifestry.writing import check_target, choose_writer, refuse_credentials, write_tree

__all__ = ["Output"]


@dataclass(slots=True, kw_only=True)
class Output:
    """Where slabs go, and how the next one is written.

    Attributes
    ----------
    target, to
        Where, and the format; found from the target when None.
    mode
        Of the next commit.
    dim
        The dimension that later commits continue.
    on_unsupported, limits, relocate, options, dry_run, allow_signed_urls
        As for `manifestry.convert`.
    written
        What the commits so far have written.
    format
        Name of the format.
    divisible
        Whether the output can be written in several commits.
    checked
        Whether the target was checked.
    state
        What is continued: the state that was read, or that of the last commit.
    adding, last
        URLs, as the output has them, of the sources of the next commit, and whether no other follows.
    added
        Paths of arrays of the next commit that the output does not have.
    """

    target: Target
    to: str | None
    mode: Mode
    dim: str | None
    on_unsupported: OnUnsupported
    limits: Limits | None
    relocate: Mapping[str, str]
    options: Mapping[str, Any]
    dry_run: bool
    allow_signed_urls: bool = False
    written: WriteReport | None = None
    format: str = ""
    divisible: bool = False
    checked: bool = False
    state: OutputState | None = None
    adding: frozenset[str] = frozenset()
    last: bool = True
    added: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        descriptor = choose_writer(self.target, self.to, installed_formats()).descriptor
        self.format = descriptor.name
        able = {Capability.SLABS, Capability.APPEND} <= descriptor.capabilities
        self.divisible = able and self.target.object is None and self.dim is not None and not self.dry_run

    @property
    def _place(self) -> Placement | None:
        return Placement(self.dim, added=self.added) if self.mode is Mode.APPEND else None

    def check_urls(self, urls: Iterable[str]) -> None:
        """Check that the output may name sources as it would, before they are read."""
        if not self.allow_signed_urls:
            refuse_credentials(relocate_url(url, self.relocate) for url in urls)

    def check(self) -> None:
        """Check, once, whether commits can be made: nobody waits for many sources to learn that the target exists."""
        if not self.checked:
            check_target(self.target, self.format, self.mode, self._place, self.options)
            self.checked = True

    def write(self, tree: VirtualGroup, progress: Progress) -> None:
        """Make one commit of a tree; later ones are appended.

        Arrays without the dimension were found equal to those of the output when the tree was combined: they are not
        appended, and need not be readable under the URLs that the output has for them.
        """
        if self.mode is Mode.APPEND:
            tree = tree.map_arrays(
                lambda path, array: array if self.dim in (array.dims or ()) or path in self.added else None
            )
        self._commit(tree, self.mode, self._place, progress=progress, sources=self.adding, last=self.last)

    def check_region(self) -> None:
        """Check whether elements of the output can be replaced."""
        check_target(self.target, self.format, Mode.APPEND, Placement(region={self.dim or "": (0, 1)}), self.options)

    def replace(self, tree: VirtualGroup, start: int, length: int) -> None:
        """Make one commit of a tree that takes the place of elements of the output along the dimension."""
        assert self.dim is not None
        tree = tree.map_arrays(lambda _, array: array if self.dim in (array.dims or ()) else None)
        self._commit(tree, Mode.APPEND, Placement(region={self.dim: (start, start + length)}))

    def _commit(self, tree: VirtualGroup, mode: Mode, at: Placement | None, **more: Any) -> None:
        """Write a tree; `more` is what `write_tree` takes besides what holds for all commits."""
        report = write_tree(
            tree.relocate(self.relocate) if self.relocate else tree,
            self.target,
            self.format,
            mode=mode,
            at=at,
            on_unsupported=self.on_unsupported,
            options=self.options,
            limits=self.limits,
            allow_signed_urls=self.allow_signed_urls,
            dry_run=self.dry_run,
            state=self.state,
            **more,
        )
        self.written = add_reports(self.written, report)
        self._go_on(report)

    def _go_on(self, report: WriteReport) -> None:
        """Continue the commit that was made; where others committed before it, later sources are sought there too."""
        self.mode = Mode.APPEND
        version, base = report.details.get("snapshot"), report.details.get("base")
        if version and (self.state is None or self.state.version == base):
            self.state = OutputState(str(version))
