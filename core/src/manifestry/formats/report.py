"""What a run did: for people, and as JSON for pipelines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from manifestry.formats.opening import opening_lines
from manifestry.issues import Issue
from manifestry.model.tree import VirtualGroup
from manifestry.zarr_documents.requirements import reader_packages

__all__ = ["REPORT_SCHEMA_VERSION", "WriteReport", "pluralise"]

REPORT_SCHEMA_VERSION: Final = 1

_IMPORTED: Final = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)
"""What lines import: names of modules, each that of its distribution."""


def pluralise(count: int, noun: str) -> str:
    """A number of things in words: ``"1 array"``, ``"1,000 arrays"``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """What was written.

    Attributes
    ----------
    target, format
        Where, and as what.
    arrays, references, inlined
        Arrays, references to source files, and chunks stored in the output itself.
    described_bytes
        Bytes of the source files that the references describe.
    issues
        What was left out or is worth knowing.
    packages
        Distributions beyond zarr that a reader needs for the arrays.
    reader
        Lines of Python that open the output.
    requirements
        Distributions that a process needs in which these lines run.
    details
        What only this format has, for example the snapshot.
    """

    target: str
    format: str
    arrays: int = 0
    references: int = 0
    inlined: int = 0
    described_bytes: int = 0
    issues: tuple[Issue, ...] = ()
    packages: tuple[str, ...] = ()
    reader: str = ""
    requirements: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, target: str, fmt: str, trees: Sequence[VirtualGroup], **known: Any) -> WriteReport:
        """The report of some trees that were written: everything that can be counted is.

        Parameters
        ----------
        **known
            Attributes that the caller knows; `packages` is found out where it is not among them. To `requirements`
            come the packages, and what the lines of `reader` import.
        """
        if "packages" not in known:
            known["packages"] = reader_packages(trees)
        imported = _IMPORTED.findall(known.get("reader", ""))
        known["requirements"] = tuple(sorted({*known["packages"], *known.get("requirements", ()), *imported}))
        arrays = [array for tree in trees for _, array in tree.walk_arrays()]
        inlined = [int(array.manifest.inlined.sum()) for array in arrays]
        stored = sum(array.manifest.stored_count for array in arrays)
        described = sum(array.manifest.stored_bytes - len(array.manifest.inline) for array in arrays)
        return cls(
            target=target,
            format=fmt,
            arrays=len(arrays),
            references=stored - sum(inlined),
            inlined=sum(inlined),
            described_bytes=described,
            issues=tuple(issue for tree in trees for issue in tree.issues),
            **known,
        )

    @staticmethod
    def opening_lines(
        trees: Sequence[VirtualGroup], store: str, group: str = "", *, zarr_format: Literal[2, 3] | None = None
    ) -> tuple[str, str]:
        """The import and the last line of `reader`; see `manifestry.formats.opening.opening_lines`."""
        return opening_lines(trees, store, group, zarr_format=zarr_format)

    def with_issues(self, issues: Iterable[Issue]) -> WriteReport:
        """The same report with more issues."""
        return replace(self, issues=(*self.issues, *issues))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, with the version of its layout."""
        return {"schema_version": REPORT_SCHEMA_VERSION, **asdict(self)}
