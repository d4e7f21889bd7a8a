"""What a run did: for people, and as JSON for pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from manifestry.model.datatypes import ARRAY_FIELD, has_array_fields
from manifestry.model.issues import Issue
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.tree import VirtualGroup
from manifestry.zarr_v2.chains import CHAIN, distributions

__all__ = ["REPORT_SCHEMA_VERSION", "WriteReport", "counted", "reader_packages"]

REPORT_SCHEMA_VERSION: Final = 1

_PACKAGES = (("imagecodecs_", "imagecodecs-zarr"), ("manifestry.", "manifestry-codecs"))


def counted(count: int, noun: str) -> str:
    """A number of things in words: ``"1 array"``, ``"1,000 arrays"``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def reader_packages(trees: Iterable[VirtualGroup]) -> tuple[str, ...]:
    """The distributions beyond zarr that a reader needs for the codecs and data types of some trees, sorted."""
    metadata = [array.metadata for tree in trees for _, array in tree.walk_arrays()]
    names = {name for one in metadata for name in _names(one)}
    needed = {package for name in names for prefix, package in _PACKAGES if name.startswith(prefix)}
    chains = [codec for one in metadata for codec in one.codecs if codec.name == CHAIN]
    return tuple(sorted(needed.union(*map(distributions, chains))))


def _names(metadata: ArrayMetadata) -> Iterable[str]:
    if has_array_fields(metadata.dtype):
        yield ARRAY_FIELD
    for codec in metadata.codecs:
        yield codec.name
        for inner in codec.configuration.get("codecs", ()):  # sharding
            yield inner["name"]


@dataclass(frozen=True, slots=True)
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
        Distributions beyond zarr that a reader needs.
    reader
        Lines of Python that open the output.
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
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, target: str, fmt: str, trees: Sequence[VirtualGroup], **known: Any) -> WriteReport:
        """The report of some trees that were written: everything that can be counted is."""
        arrays = [array for tree in trees for _, array in tree.walk_arrays()]
        inlined = [int(array.manifest.inlined.sum()) for array in arrays]
        stored = sum(array.manifest.stored_count for array in arrays)
        described = sum(array.manifest.stored_bytes - len(array.manifest.inline) for array in arrays)
        return cls(
            target,
            fmt,
            len(arrays),
            stored - sum(inlined),
            sum(inlined),
            described,
            tuple(issue for tree in trees for issue in tree.issues),
            reader_packages(trees),
            **known,
        )

    def with_issues(self, issues: Iterable[Issue]) -> WriteReport:
        """The same report with more issues."""
        return replace(self, issues=(*self.issues, *issues))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, with the version of its layout."""
        return {"schema_version": REPORT_SCHEMA_VERSION, **asdict(self)}
