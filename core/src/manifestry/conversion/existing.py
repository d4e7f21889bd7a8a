"""Which sources an existing output holds already.

The provenance that every commit carries says it. Where commits no longer exist (Icechunk's `expire_snapshots`) or other
programs have committed, the references say it too, provided that every step of the dimension has one: a source of which all
was copied would be missing. A file that is named by references alone is parsed: it counts when all of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.conversion.covering import References, virtual_chunks
from manifestry.conversion.report import SourceReport
from manifestry.errors import ManifestryError, SourceError, UnsupportedFeatureError
from manifestry.formats.loading import FormatRegistry
from manifestry.formats.targets import OutputState, Target
from manifestry.model.files import SourceFile, relocate_url
from manifestry.model.metadata import RegularGrid
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.reading import parse_source
from manifestry.storage.source import Source
from manifestry.writing import output_state

__all__ = ["Existing", "read_existing"]

_INCOMPLETE: Final = "appending to an output that does not say which sources it has"
_CONVERT_AGAIN: Final = "convert all sources again with overwrite=True (--overwrite)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """An output that is continued.

    Attributes
    ----------
    tree
        What it holds, None when there is no output yet.
    sources
        The files it was made from, by the URL that it has for them.
    state
        The state that was read, None when the writer knows no states.
    named
        URLs of the files that its references along the dimension name.
    unconfirmed
        Those of them that nothing else names.
    """

    tree: VirtualGroup | None = None
    sources: Mapping[str, SourceFile] = field(default_factory=dict)
    state: OutputState | None = None
    named: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether `sources` names all."""
        return self.state is None or self.state.complete

    def split(
        self,
        sources: Iterable[Source],
        relocated: Mapping[str, str],
        dim: str | None,
        parse: Callable[[str], VirtualGroup],
    ) -> tuple[list[Source], list[SourceReport]]:
        """The sources that are new, and a report of each that is in the output already.

        Parameters
        ----------
        relocated
            Prefixes under which the output has the sources.
        dim
            The dimension that sources are appended along.
        parse
            Gives the prepared tree of a source by its URL.

        Raises
        ------
        UnsupportedFeatureError
            A part of a source is in the output.
        """
        new, known = [], []
        held: References | None = None
        for source in sources:
            url = relocate_url(source.url, relocated)
            then = self.sources.get(url)
            if then is None:
                new.append(source)
            elif url not in self.unconfirmed or self.tree is None:
                known.append(_report_present(source, then))
            else:
                held = held or References(self.tree, dim)
                known.append(_report_by_references(source, held, url, (dim, parse)))
        return new, known

    def check_known(self, dim: str | None, where: str) -> None:
        """Make sure that a source that is not among `sources` is not in the output.

        Raises
        ------
        UnsupportedFeatureError
            Nothing says it.
        """
        if not self.complete and self.tree is not None and not _every_step_is_named(self.tree, dim):
            raise UnsupportedFeatureError(
                _INCOMPLETE,
                where,
                f"commits were expired, amended or made by other programs, and some steps of {dim} are copies that "
                f"refer to no file; {_CONVERT_AGAIN}",
            )

    def check_named(self, tree: VirtualGroup, dim: str | None, where: str) -> None:
        """Make sure that what is to be appended refers to no file that the output refers to already.

        Raises
        ------
        UnsupportedFeatureError
            It does, and nothing says under which name the output has it.
        """
        both = None if self.complete else min(self.named & _files_along(tree, dim), default=None)
        if both is not None:
            raise UnsupportedFeatureError(
                _INCOMPLETE,
                where,
                f"commits were expired, amended or made by other programs, and it refers to {both} already, as a source "
                f"to append does; {_CONVERT_AGAIN}",
            )


def _report_present(source: Source, then: SourceFile) -> SourceReport:
    if then == SourceFile(then.url):  # nothing is known to compare, of a directory for example
        return SourceReport(url=source.url, status="present")
    try:
        now = replace(source.file, url=then.url)
    except SourceError as error:
        return SourceReport(url=source.url, status="changed", error=str(error))
    changes = [
        f"{name} was {before}, is {after}"
        for name in ("size", "etag", "last_modified")
        if (before := getattr(then, name)) is not None and before != (after := getattr(now, name))
    ]
    if changes:
        return SourceReport(url=source.url, status="changed", error="since it was written: " + ", ".join(changes))
    return SourceReport(url=source.url, status="present")


def _report_by_references(
    source: Source, held: References, url: str, how: tuple[str | None, Callable[[str], VirtualGroup]]
) -> SourceReport:
    """The report of a source that an output names `url`, provided that it has all of it."""
    dim, parse = how
    try:
        tree = parse(source.url)
    except ManifestryError as error:
        return SourceReport(url=source.url, status="changed", error=str(error))
    if held.hold(References(tree, dim), source.url, here=url):
        return SourceReport(url=source.url, status="present")
    raise UnsupportedFeatureError(
        _INCOMPLETE,
        source.url,
        f"commits were expired, amended or made by other programs, and it refers to a part of this source only, or to "
        f"other bytes of it than it has now; {_CONVERT_AGAIN}",
    )


def read_existing(
    target: Target,
    fmt: str,
    formats: FormatRegistry,
    options: Mapping[str, Any],
    dim: str | None,
    *,
    given: Collection[str] = (),
) -> Existing:
    """The output at a target, as a writer with these options would continue it.

    Parameters
    ----------
    given
        URLs of sources that the caller names: the output may point at them, and at what is in their directories.

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
    places = {*given, *(url.partition("?")[0].rpartition("/")[0] + "/" for url in given)}
    source = source.with_access(source.registry.access.naming(places))
    state = output_state(target, fmt, options, dim, formats)
    if state is None and (_knows_states(fmt, formats) or not (source.is_prefix or source.exists())):
        return Existing()
    parser_options = {
        **(state.options if state is not None else {}),
        **({"group": target.group} if target.group else {}),
    }
    tree = parse_source(source, fmt, "skip", parser_options, formats=formats)
    if not tree.provenance:
        raise UnsupportedFeatureError(
            "an output without provenance", str(target), "only what manifestry wrote says what it was made from"
        )
    if state is None:
        return Existing(tree=tree, sources=_files(tree.provenance))
    named = _files_along(tree, dim)
    itself = state.options.items()  # without any provenance, the output itself is named as what it was made from
    said = [part for part in tree.provenance if not itself <= part.options.items()]
    urls = state.sources if state.complete else state.sources | named
    files = _files(said)
    unconfirmed = urls - state.sources - files.keys()
    sources = {url: SourceFile(url) for url in urls} | files
    return Existing(tree=tree, sources=sources, state=state, named=named, unconfirmed=unconfirmed)


def _knows_states(fmt: str, formats: FormatRegistry) -> bool:
    return hasattr(formats.writer(fmt).load(), "state")


def _files(parts: Iterable[Provenance]) -> dict[str, SourceFile]:
    return {file.url: file for part in parts for file in part.sources}


def _files_along(tree: VirtualGroup, dim: str | None) -> frozenset[str]:
    """URLs of the files that the references of the arrays along a dimension name."""
    found: set[str] = set()
    for _, array in tree.walk_arrays():
        if dim in (array.dims or ()):
            index = np.broadcast_to(array.manifest.file_index, (array.manifest.size,))
            rows = np.unique(index[virtual_chunks(array.manifest)])
            found.update(array.manifest.files.urls[row] for row in rows.tolist())
    return frozenset(found)


def _every_step_is_named(tree: VirtualGroup, dim: str | None) -> bool:
    """Whether references name the file of every step along a dimension; arrays of one length have the same steps."""
    named: dict[int, NDArray[np.bool_]] = {}
    for _, array in tree.walk_arrays():
        for axis, name in enumerate(array.dims or ()):
            if name == dim:
                steps = _named_steps(array, axis)
                named[steps.size] = steps | named.get(steps.size, False)
    return bool(named) and all(steps.all() for steps in named.values())


def _named_steps(array: VirtualArray, axis: int) -> NDArray[np.bool_]:
    """Whether each element along an axis lies in a chunk with a reference to a file."""
    grid = array.metadata.chunk_grid
    others = tuple(i for i in range(array.metadata.ndim) if i != axis)
    columns = virtual_chunks(array.manifest).reshape(array.manifest.grid_shape).any(axis=others)
    lengths = grid.chunk_shape[axis] if isinstance(grid, RegularGrid) else grid.edges[axis]
    return np.repeat(columns, lengths)[: array.shape[axis]]
