"""`convert`: sources parsed, combined and written, slab after slab."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from manifestry.combine.options import CombineOptions
from manifestry.conversion.batches import BatchJob
from manifestry.conversion.coordinates import CoordinateRule
from manifestry.conversion.order import OnDuplicate
from manifestry.conversion.output import Output
from manifestry.conversion.pipeline import Run
from manifestry.conversion.preparation import Preparation
from manifestry.conversion.report import ConvertReport
from manifestry.conversion.sources import SourceLike, expand_sources
from manifestry.errors import OptionError
from manifestry.formats.contracts import OnUnsupported
from manifestry.formats.loading import installed_formats
from manifestry.formats.targets import Mode, Target
from manifestry.model.limits import Limits
from manifestry.model.tree import VirtualGroup
from manifestry.parallel import ExecutorLike
from manifestry.progress import Progress, SilentProgress
from manifestry.reading import with_selection
from manifestry.storage.access import Access
from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.storage.source import Source
from manifestry.writing import output_state

if TYPE_CHECKING:
    from manifestry.verification.report import VerifyReport

__all__ = ["convert"]


def convert(
    sources: SourceLike | Iterable[SourceLike],
    target: str | os.PathLike[str] | object,
    *,
    format: str | None = None,  # noqa: A002 the field's word, and only a keyword
    to: str | None = None,
    group: str = "",
    stores: Stores = None,
    read: Mapping[str, Any] | None = None,
    write: Mapping[str, Any] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    preprocess: Callable[[VirtualGroup], VirtualGroup] | None = None,
    coords: Sequence[str] = (),
    concat_dim: str | Sequence[str] | None = None,
    stack: Sequence[str] = (),
    combine: Mapping[str, Any] | CombineOptions | None = None,
    relocate: Mapping[str, str] | None = None,
    overwrite: bool = False,
    append_dim: str | None = None,
    resume: bool = False,
    on_unsupported: OnUnsupported = "raise",
    on_error: Literal["raise", "skip"] = "raise",
    executor: ExecutorLike = None,
    slab_files: int | None = None,
    sort: bool = False,
    on_duplicate: OnDuplicate = "keep",
    dry_run: bool = False,
    verify: int | Literal["all"] | None = None,
    limits: Limits | None = None,
    allow_signed_urls: bool = False,
    allow: Sequence[str] | None = None,
    untrusted: bool = False,
    isolate: bool = False,
    progress: Progress | None = None,
) -> ConvertReport:
    r"""Convert sources into one virtual store.

    Parameters
    ----------
    sources
        One or several paths, URLs, patterns, prefixes, ``@lists`` or `Source` objects (see `expand_sources`).
    target
        Path or URL of the output, or an open object of its format.
    format, to
        Formats of the sources and of the output; found from content and ending when not given.
    group
        Path of the group inside the output that becomes the root.
    stores
        Object stores by URL prefix. They travel to workers, with their credentials.
    read, write
        Options by name: for reading, those that `manifestry.parse` takes; for writing, those of the format
        (``manifestry formats NAME`` lists both).
    include, exclude
        Names, paths or patterns of arrays and groups of every source.
    rename
        New names of arrays, groups and dimensions, as for `VirtualGroup.rename`.
    preprocess
        A function of each tree. Workers that are processes must be able to import it.
    coords
        Coordinates from names or attributes of the sources, for example ``r"time:%Y%m%d=regex:S2_(\d{8})"``: sources
        without the dimension become one step of it.
    concat_dim
        The dimension along which several sources are combined; without one they are merged. Further dimensions may follow:
        sources lie along them by the values of their coordinates. Sources of other variables with equal coordinates are put
        side by side.
    stack
        Names or paths of variables without the dimension that get it, so that each source keeps its own values:
        coordinates of swaths, for example. The same as the option of `combine`.
    combine
        What to do where sources differ: `CombineOptions` by name, ``{"on_conflict": "harmonise"}``.
    relocate
        Prefixes under which the output shall have the sources, ``{old: new}``.
    overwrite
        Replace what is at the target, if it is an output of this format.
    append_dim
        Continue the output at the target along this dimension. Sources that it holds already are left out.
    resume
        As `append_dim` along `concat_dim`, or a new output when there is none: goes on where a run was ended.
    on_unsupported
        ``"raise"``, or ``"skip"`` to leave out the arrays that cannot be expressed exactly.
    on_error
        ``"raise"``, or ``"skip"`` to leave out the sources that cannot be read or do not fit the others.
    executor
        What parses: None (this process), a number of processes, ``"auto"`` (by cores, for many sources), a Dask client,
        or any ``concurrent.futures.Executor``. Workers that die are replaced, and their sources parsed again.
    slab_files
        Sources of one commit, where the format can be written in several; by default as many as fit into memory well.
    sort
        Combine the sources in the order of the coordinate of the dimension, not in the one in which they are given. The
        coordinate of each is read first.
    on_duplicate
        Values of the coordinate that occur twice, in sources or in what is continued: ``"keep"`` both and report it;
        ``"keep-first"`` leaves out the later ones; ``"replace"`` leaves out the earlier ones, also in the output; ``"raise"``.
    dry_run
        Check everything, write nothing.
    verify
        Compare that many chunks of each array (or ``"all"``) with the sources afterwards.
    limits
        What sources may make us allocate, and what may be copied.
    allow_signed_urls
        As for `manifestry.write`.
    allow, untrusted
        Which other files the sources, and an output that is continued, may point at, as for `manifestry.parse`.
    isolate
        Parse sources that are remote or untrusted in a process of their own, as `manifestry.parse` does; the command
        line does so. Workers that are processes are others in any case.
    progress
        Receives how far the run has come.

    Returns
    -------
    ConvertReport
        What became of every source, and what was written.

    Raises
    ------
    ManifestryError
        See `manifestry.errors`. Commits that were made before stay: ``resume=True`` goes on from there.

    Examples
    --------
    >>> convert("daily/*.nc", "cube.icechunk", concat_dim="time", executor=4)  # doctest: +SKIP
    """
    dims = () if concat_dim is None else (concat_dim,) if isinstance(concat_dim, str) else tuple(concat_dim)
    if append_dim is not None and dims and dims[0] != append_dim:
        raise OptionError(f"concat_dim={concat_dim!r} and append_dim={append_dim!r} are different dimensions")
    if len(set(dims)) < len(dims):
        raise OptionError(f"concat_dim={concat_dim!r} has a dimension twice")
    dim = append_dim or next(iter(dims), None)
    if resume and dim is None:
        raise OptionError("resume needs a concat_dim: the dimension along which the output is continued (--concat-dim)")
    if overwrite and (resume or append_dim is not None):
        raise OptionError("overwrite replaces the whole output and cannot be combined with append_dim or resume")
    if on_duplicate not in get_args(OnDuplicate.__value__):
        allowed = ", ".join(map(repr, get_args(OnDuplicate.__value__)))
        raise OptionError(f"on_duplicate is one of {allowed}, not {on_duplicate!r}")
    if dim is None and (sort or on_duplicate != "keep"):
        raise OptionError(
            "sort and on_duplicate need a concat_dim: the dimension whose coordinate is meant (--concat-dim)"
        )
    registry = StoreRegistry.of(stores, Access.of(allow, untrusted=untrusted))
    rules = tuple(CoordinateRule.parse(text) for text in coords)
    job = BatchJob(
        format=format,
        options=with_selection(read or {}, include, exclude),
        on_unsupported=on_unsupported,
        limits=limits,
        preparation=Preparation(rename or {}, preprocess, rules, dim, dims[1:]),
        dim=dim,
        others=dims[1:],
        combine=_with_stack(CombineOptions.of(combine), stack),
        stores=registry,
        on_error=on_error,
        isolate=isolate,
    )
    place = Target.of(os.fspath(target) if isinstance(target, os.PathLike) else target, group, registry)
    if verify is not None and place.object is not None:
        raise OptionError(
            "verify cannot read an open object; commit first, then call manifestry.verify with its path or URL"
        )
    mode = Mode.OVERWRITE if overwrite else Mode.CREATE
    output = Output(
        target=place,
        to=to,
        mode=mode,
        dim=dim,
        on_unsupported=on_unsupported,
        limits=limits,
        relocate=relocate or {},
        options=write or {},
        dry_run=dry_run,
        allow_signed_urls=allow_signed_urls,
    )
    run = Run(job=job, output=output, progress=progress or SilentProgress(), sort=sort, on_duplicate=on_duplicate)
    expanded = expand_sources(sources, registry)
    report = run(expanded, executor, slab_files, continued=append_dim is not None or resume, must_exist=not resume)
    if verify is None or dry_run or report.written is None:
        return report
    with run.timing("verify"):
        return replace(report, verified=_verify(output, verify, {source.url for source in report.sources}))


def _with_stack(options: CombineOptions, names: Sequence[str]) -> CombineOptions:
    more = (names,) if isinstance(names, str) else tuple(names)
    return msgspec.structs.replace(options, stack=tuple(dict.fromkeys((*options.stack, *more)))) if more else options


def _verify(output: Output, samples: int | Literal["all"], given: Collection[str]) -> VerifyReport:
    """What was written, where it was written, compared with its sources."""
    from manifestry.verification.comparing import verify_source  # noqa: PLC0415 zarr is slow to import

    target, formats = output.target, installed_formats()
    state = output_state(target, output.format, output.options, output.dim, formats)
    options = {} if state is None else state.options
    source = Source(target.url, target.stores)
    return verify_source(source, samples, output.format, formats=formats, options=options, given=given)
