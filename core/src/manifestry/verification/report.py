"""VerifyReport: what was compared, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from manifestry.formats.report import pluralise

__all__ = ["ArrayCheck", "Difference", "Oracle", "SourceCheck", "VerifyReport"]

SCHEMA_VERSION: Final = 1


class Oracle(StrEnum):
    """What an array of the output was compared with."""

    NATIVE = "native"
    """The library of the source's own format."""
    PARSED_AFRESH = "parsed afresh"
    """The format has no such reader, so the source was parsed again and read through Zarr: references and codecs are
    compared, the parser itself is not checked."""
    NONE = "none"
    """Nothing."""


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """One source of the output: ``unchanged`` as far as size, entity tag and time tell, ``changed`` or ``missing``."""

    url: str
    status: Literal["unchanged", "changed", "missing"]
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the output says otherwise than its source: renamed, changed by `preprocess` or by combining, or lost.

    Attributes
    ----------
    path
        Of the array or group in the output.
    what
        ``"attribute NAME"``, ``"dimensions"`` or ``"data type"``.
    found, expected
        What the output says, and what the source does.
    alters
        Whether it changes what stored values mean, so that the output is wrong.
    """

    path: str
    what: str
    found: str
    expected: str
    alters: bool = False

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.what} is {self.found}, in the source {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayCheck:
    """One array of the output.

    Attributes
    ----------
    chunks
        Chunks of its grid.
    compared, skipped
        Sampled chunks that were compared, and those for which no region of a source could be named.
    mismatches
        Coordinates of the chunks whose values differ.
    oracle
        What they were compared with.
    message
        Why something could not be compared, or differs beyond its values.
    failed
        Whether the array is wrong or cannot be read.
    differences
        Attributes, dimensions and data type that are not those of the source of its first chunk that was compared.
    """

    path: str
    chunks: int
    compared: int
    skipped: int
    mismatches: tuple[str, ...]
    oracle: Oracle
    message: str = ""
    failed: bool = False
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What `verify` found.

    Attributes
    ----------
    target, format
        The output.
    sources, arrays
        What was found of each.
    groups
        Attributes of groups that are not those of the first source.
    """

    target: str
    format: str
    sources: tuple[SourceCheck, ...]
    arrays: tuple[ArrayCheck, ...]
    groups: tuple[Difference, ...] = ()

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All that the output says otherwise than its sources, besides values."""
        return (*self.groups, *(difference for array in self.arrays for difference in array.differences))

    @property
    def changed(self) -> tuple[SourceCheck, ...]:
        """Sources that are not what was parsed, or are gone."""
        return tuple(source for source in self.sources if source.status != "unchanged")

    @property
    def wrong(self) -> tuple[ArrayCheck, ...]:
        """Arrays whose values, or what says what these mean, differ, or that cannot be read."""
        return tuple(array for array in self.arrays if array.failed)

    @property
    def compared(self) -> int:
        """Number of chunks that were compared."""
        return sum(array.compared for array in self.arrays)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong: no value differs, and every source is what was parsed."""
        return not self.changed and not self.wrong

    def problems(self) -> Iterator[str]:
        """Each thing that is wrong, in a line."""
        for array in self.wrong:
            chunks = ", ".join(array.mismatches[:5]) + (", …" if len(array.mismatches) > 5 else "")
            found = [array.message.removeprefix(f"{array.path}: ")] if array.message else []
            found += [f"values differ in {pluralise(len(array.mismatches), 'chunk')}: {chunks}"] if chunks else []
            found += [str(difference) for difference in array.differences if difference.alters]
            yield f"wrong: {array.path}: {'; '.join(found)}"
        for source in self.changed:
            yield f"{source.status}: {source.url}: {source.message}"

    def summary(self) -> str:
        """The report in one line."""
        done = (
            f"{pluralise(self.compared, 'chunk')} of {pluralise(len(self.arrays), 'array')} compared, "
            f"{pluralise(len(self.sources), 'source')} looked at"
        )
        if self.ok:
            skipped = sum(array.skipped for array in self.arrays)
            left = f"; {pluralise(skipped, 'chunk')} could not be compared" if skipped else ""
            other = (
                f"; {pluralise(len(self.differences), 'difference')} in attributes or names" if self.differences else ""
            )
            return f"verified: {done}{left}{other}"
        parts = [
            f"{pluralise(len(failing), noun)} {what}"
            for failing, noun, what in (
                (self.wrong, "array", "wrong or unreadable"),
                (self.changed, "source", "changed"),
            )
            if failing
        ]
        return f"NOT verified: {', '.join(parts)}; {done}"

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, with the version of its layout."""
        return {"schema_version": SCHEMA_VERSION, "ok": self.ok, **asdict(self)}
