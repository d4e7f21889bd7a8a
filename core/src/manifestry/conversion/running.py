"""`convert`: sources parsed, combined and written, slab after slab."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from time import perf_counter
from typing import Any, Literal

from manifestry.combine.options import CombineOptions
from manifestry.conversion.report import ConvertReport, SourceReport
from manifestry.conversion.sources import SourceLike, expand_sources
from manifestry.errors import OptionError
from manifestry.formats.contracts import Mode, OnUnsupported, Placement, Target
from manifestry.model.limits import Limits
from manifestry.model.tree import VirtualGroup
from manifestry.progress import Progress, SilentProgress
from manifestry.reading import parse_source
from manifestry.storage.registry import StoreRegistry
from manifestry.writing import write_tree

__all__ = ["convert"]


def convert(
    sources: SourceLike | Iterable[SourceLike],
    target: str | os.PathLike[str] | object,
    *,
    format: str | None = None,  # noqa: A002 the field's word, and only a keyword
    to: str | None = None,
    group: str = "",
    stores: Any = None,
    open_options: Mapping[str, Any] | None = None,
    creation_options: Mapping[str, Any] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    preprocess: Callable[[VirtualGroup], VirtualGroup] | None = None,
    coords: Sequence[str] = (),
    concat_dim: str | None = None,
    combine: CombineOptions | None = None,
    relocate: Mapping[str, str] | None = None,
    overwrite: bool = False,
    append_dim: str | None = None,
    resume: bool = False,
    on_unsupported: OnUnsupported = "raise",
    on_error: Literal["raise", "skip"] = "raise",
    executor: Executor | int | Literal["auto"] | None = None,
    slab_files: int | None = None,
    dry_run: bool = False,
    verify: int | Literal["all"] | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> ConvertReport:
    """Convert sources into one virtual store."""
    watch = progress or SilentProgress()
    registry = stores if isinstance(stores, StoreRegistry) else StoreRegistry(stores)
    found = expand_sources(sources, registry)
    options = {**(open_options or {}), **_selection(include, exclude)}
    place = Target.of(os.fspath(target) if isinstance(target, os.PathLike) else target, group, registry)
    mode = Mode.APPEND if append_dim is not None else Mode.OVERWRITE if overwrite else Mode.CREATE
    at = Placement(append_dim) if append_dim is not None else None
    if len(found) > 1:
        raise OptionError("several sources need a concat_dim")
    began = perf_counter()
    watch.start("parse", len(found))
    tree = parse_source(found[0], format, on_unsupported, options, limits=limits, progress=watch)
    parsed = SourceReport.of(found[0].url, tree)
    watch.advance(1, parsed.references, parsed.described_bytes)
    watch.finish()
    middle = perf_counter()
    if relocate:
        tree = tree.relocate(relocate)
    written = write_tree(
        tree,
        place,
        to,
        mode,
        at,
        on_unsupported,
        creation_options or {},
        limits=limits,
        progress=watch,
        dry_run=dry_run,
    )
    seconds = {"parse": middle - began, "write": perf_counter() - middle}
    return ConvertReport(str(place), written, (parsed,), seconds, dry_run)


def _selection(include: Sequence[str], exclude: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {k: tuple(v) for k, v in (("include", include), ("exclude", exclude)) if v}
