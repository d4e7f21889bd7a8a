"""ConvertReport: what became of every source of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from manifestry.errors import ManifestryError
from manifestry.formats.report import REPORT_SCHEMA_VERSION, WriteReport
from manifestry.issues import Issue
from manifestry.model.tree import VirtualGroup

__all__ = ["ConvertReport", "SourceReport", "SourceStatus"]

SourceStatus = Literal["written", "checked", "present", "changed", "failed"]
"""``written``: in the output now. ``checked``: would be (dry run). ``present``: was in the output before this run.
``changed``: was in the output before, and has another size, etag or time since. ``failed``: left out, see the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What became of one source.

    Attributes
    ----------
    url
        Canonical URL.
    status
        See `SourceStatus`.
    arrays, references, inlined, described_bytes
        What was parsed of it: arrays, references to its bytes, chunks copied out of it, bytes described.
    issues
        What of it was left out or is worth knowing.
    error
        Why it failed, with the type of the error; ``""`` otherwise.
    """

    url: str
    status: SourceStatus
    arrays: int = 0
    references: int = 0
    inlined: int = 0
    described_bytes: int = 0
    issues: tuple[Issue, ...] = ()
    error: str = ""

    @classmethod
    def of(cls, url: str, tree: VirtualGroup) -> SourceReport:
        """The report of a source that was parsed and is to be written."""
        counts = WriteReport.of("", "", [tree])
        return cls(
            url=url,
            status="written",
            arrays=counts.arrays,
            references=counts.references,
            inlined=counts.inlined,
            described_bytes=counts.described_bytes,
            issues=tree.issues,
        )

    @classmethod
    def of_error(cls, url: str, error: ManifestryError) -> SourceReport:
        """The report of a source that is left out because of an error."""
        return cls(url=url, status="failed", error=f"{type(error).__name__}: {str(error).removeprefix(f'{url}: ')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport:
    """What a run did.

    Attributes
    ----------
    target
        Where the output is.
    written
        What was written, summed over all commits; of a dry run what would be; None when there was nothing to write.
    sources
        Every source of the run, in order.
    seconds
        Time taken by each stage.
    dry_run
        Whether nothing was written on purpose.
    verified
        The report of `verify`, when it was asked for.
    """

    target: str
    written: WriteReport | None
    sources: tuple[SourceReport, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    dry_run: bool = False
    verified: Any = None

    @property
    def failed(self) -> tuple[SourceReport, ...]:
        """The sources that were left out because of an error."""
        return tuple(source for source in self.sources if source.status == "failed")

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What was left out of the output or is worth knowing about it."""
        return () if self.written is None else self.written.issues

    def count(self, status: SourceStatus) -> int:
        """How many sources have a status."""
        return sum(source.status == status for source in self.sources)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, with the version of its layout."""
        return {
            "schema_version": REPORT_SCHEMA_VERSION,
            "target": self.target,
            "written": None if self.written is None else self.written.to_json(),
            "sources": [asdict(source) for source in self.sources],
            "seconds": dict(self.seconds),
            "dry_run": self.dry_run,
            "verified": None if self.verified is None else self.verified.to_json(),
        }
