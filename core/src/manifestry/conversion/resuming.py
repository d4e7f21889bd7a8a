"""Which sources an existing output holds already: said by the provenance that every commit carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from manifestry.conversion.report import SourceReport
from manifestry.errors import SourceError, UnsupportedFeatureError
from manifestry.formats.contracts import Target
from manifestry.formats.loading import FormatRegistry
from manifestry.model.files import SourceFile, relocate_url
from manifestry.model.tree import VirtualGroup
from manifestry.reading import parse_source
from manifestry.storage.source import Source

__all__ = ["Existing", "read_existing"]


@dataclass(frozen=True, slots=True)
class Existing:
    """An output that is continued.

    Attributes
    ----------
    tree
        What it holds, None when there is no output yet.
    sources
        The files it was made from, by the URL that it has for them.
    """

    tree: VirtualGroup | None = None
    sources: Mapping[str, SourceFile] = field(default_factory=dict)

    def split(self, sources: Iterable[Source], relocated: Mapping[str, str]) -> tuple[list[Source], list[SourceReport]]:
        """The sources that are new, and a report of each that is in the output already.

        Parameters
        ----------
        relocated
            Prefixes under which the output has the sources.
        """
        new, known = [], []
        for source in sources:
            then = self.sources.get(relocate_url(source.url, relocated))
            if then is None:
                new.append(source)
            else:
                known.append(_known(source, then))
        return new, known


def _known(source: Source, then: SourceFile) -> SourceReport:
    try:
        now = replace(source.file, url=then.url)
    except SourceError as error:
        return SourceReport(source.url, "changed", error=str(error))
    changes = [
        f"{name} was {before}, is {after}"
        for name in ("size", "etag", "last_modified")
        if (before := getattr(then, name)) is not None and before != (after := getattr(now, name))
    ]
    if changes:
        return SourceReport(source.url, "changed", error="since it was written: " + ", ".join(changes))
    return SourceReport(source.url, "present")


def read_existing(target: Target, fmt: str, formats: FormatRegistry, include: Sequence[str] = ()) -> Existing:
    """The output at a target, or only some arrays of it.

    Raises
    ------
    UnsupportedFeatureError
        The format has no parser, the output is an open object, or it does not say what it was made from.
    """
    if target.object is not None or fmt not in formats.parsers:
        raise UnsupportedFeatureError(
            f"continuing an output of the format {fmt}", str(target), "give the path or URL of an Icechunk repository"
        )
    source = Source.at(target.url, target.stores)
    if not (source.is_prefix or source.exists()):
        return Existing()
    options = {name: value for name, value in (("group", target.group), ("include", include)) if value}
    tree = parse_source(source, fmt, "skip", options, formats=formats)
    if not tree.provenance:
        raise UnsupportedFeatureError(
            "an output without provenance", str(target), "only what manifestry wrote says what it was made from"
        )
    return Existing(tree, {file.url: file for part in tree.provenance for file in part.sources})
