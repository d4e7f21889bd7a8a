"""`write`: a tree through the writer of a format, checked before a byte is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from contextlib import ExitStack
from typing import Any

from manifestry.credentials import has_credentials
from manifestry.errors import OptionError, UnknownFormatError, UnsupportedFeatureError, one_line
from manifestry.formats.contracts import OnUnsupported, WriteContext, WriteSession
from manifestry.formats.descriptors import Capability, WriterDescriptor
from manifestry.formats.loading import Entry, FormatRegistry, installed_formats, writer_to_install
from manifestry.formats.options import make_options
from manifestry.formats.plugin_errors import PluginCall
from manifestry.formats.report import WriteReport
from manifestry.formats.targets import Mode, OutputState, Placement, Target
from manifestry.issues import Issue
from manifestry.model.limits import Limits
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualGroup, check_tree
from manifestry.model.validation import validate_tree
from manifestry.progress import Progress, SilentProgress
from manifestry.publishing.nesting import refuse_inside_output
from manifestry.storage.registry import Stores

__all__ = ["check_target", "choose_writer", "output_state", "refuse_credentials", "write", "write_tree"]


def write(
    tree: VirtualGroup,
    target: str | os.PathLike[str] | object,
    *,
    format: str | None = None,  # noqa: A002 the field's word, and only a keyword
    group: str = "",
    overwrite: bool = False,
    append_dim: str | None = None,
    region: Mapping[str, tuple[int, int]] | None = None,
    stores: Stores = None,
    on_unsupported: OnUnsupported = "raise",
    limits: Limits | None = None,
    allow_signed_urls: bool = False,
    **options: Any,
) -> WriteReport:
    """Store a tree as a virtual Zarr store.

    Parameters
    ----------
    tree
        What to store.
    target
        Path or URL, or an open object of the format (an Icechunk repository, session or store): then the caller
        commits.
    format
        Name of the format; found from the target when not given.
    group
        Path of the group inside the target that becomes the root of the tree.
    overwrite
        Replace what is at the target, if it is an output of this format. Otherwise an existing target is an error.
    append_dim
        Continue the existing output along this dimension.
    region
        Replace ``{dimension: (start, stop)}`` of the existing output.
    stores
        Object stores by URL prefix, for a remote target.
    on_unsupported
        ``"raise"``, or ``"skip"`` to leave out the arrays that the format cannot hold.
    limits
        What may be copied into the output.
    allow_signed_urls
        Whether references may hold credentials: passwords and signatures in URLs, which all readers see and which
        expire.
    **options
        Those of the format (``manifestry formats NAME`` lists them).

    Returns
    -------
    WriteReport
        What was written, and how to open it.

    Raises
    ------
    TargetExistsError, UnsupportedFeatureError, IncompatibleArraysError, WriteError, SourceError, OptionError,
    UnknownFormatError, PluginError
        See `manifestry.errors`. Whatever is raised, what was at the target is still there.
    """
    at = Placement(append_dim, region) if append_dim is not None or region is not None else None
    check_tree(tree)
    if at is not None and overwrite:
        raise OptionError("overwrite replaces the whole output; it does not go with append_dim or region")
    mode = Mode.APPEND if at is not None else Mode.OVERWRITE if overwrite else Mode.CREATE
    place = Target.of(os.fspath(target) if isinstance(target, os.PathLike) else target, group, stores)
    return write_tree(
        tree,
        place,
        format,
        mode=mode,
        at=at,
        on_unsupported=on_unsupported,
        options=options,
        limits=limits,
        allow_signed_urls=allow_signed_urls,
        call=write,
    )


def write_tree(
    tree: VirtualGroup,
    target: Target,
    fmt: str | None,
    *,
    mode: Mode,
    at: Placement | None,
    on_unsupported: OnUnsupported,
    options: Mapping[str, Any],
    limits: Limits | None = None,
    progress: Progress | None = None,
    formats: FormatRegistry | None = None,
    dry_run: bool = False,
    state: OutputState | None = None,
    sources: frozenset[str] = frozenset(),
    last: bool = True,
    allow_signed_urls: bool = False,
    call: Callable[..., Any] | None = None,
) -> WriteReport:
    """As `write`, for callers inside the core that have a target and a progress to tell.

    With `dry_run`, everything is checked and nothing written: the report says what would be. `state`, `sources` and
    `last` are those of `WriteContext`; `call` is the function that the options were given to beside its own keywords.
    """
    if on_unsupported not in ("raise", "skip"):
        raise OptionError(f"on_unsupported is 'raise' or 'skip', not {on_unsupported!r}")
    entry = choose_writer(target, fmt, formats or installed_formats())
    _check_capabilities(entry, at)
    own = make_options(entry.options_type(), options, entry.descriptor.name, call=call)
    bounds = limits or Limits()
    validate_tree(tree, bounds)
    if not allow_signed_urls:
        made = [url for one in tree.provenance for url in (*one.sources.urls, *map(str, one.options.values()))]
        refuse_credentials([*tree.files.urls, *made])
    context = WriteContext(
        on_unsupported=on_unsupported,
        limits=bounds,
        progress=progress or SilentProgress(),
        state=state,
        sources=sources,
        last=last,
    )
    refuse_inside_output(target)
    with _call_of(entry, target):
        session: WriteSession = entry.load().open(target, mode, own, context)
        with ExitStack() as undo:
            undo.callback(session.abort)
            allowed, issues = _leave_out(tree, session.check(tree, at), on_unsupported, entry)
            if dry_run:
                report = WriteReport.of(str(target), entry.descriptor.name, [allowed])
            else:
                session.write(allowed, at)
                report = session.commit({"manifestry": Provenance.to_json(tree.provenance)})
                undo.pop_all()  # committed: there is nothing left to undo
    return report if not issues else report.with_issues(issues)


def refuse_credentials(urls: Iterable[str]) -> None:
    """See that no URL that an output would have holds credentials.

    Raises
    ------
    UnsupportedFeatureError
        One does.
    """
    for url in urls:
        if has_credentials(url):
            raise UnsupportedFeatureError(
                "credentials in the URL of a source",
                one_line(url),
                "all readers would see them, and signatures expire: give them in `stores` or the environment, name the "
                "source without them by relocate (--relocate), or write them with allow_signed_urls=True "
                "(--allow-signed-urls)",
            )


def check_target(target: Target, fmt: str, mode: Mode, at: Placement | None, options: Mapping[str, Any]) -> None:
    """See whether a target can be written, ahead of the work on what shall be written; touches nothing.

    Raises
    ------
    TargetExistsError, UnsupportedFeatureError, WriteError, SourceError, OptionError, PluginError
        As `write`.
    """
    entry = installed_formats().writer(fmt)
    _check_capabilities(entry, at)
    own = make_options(entry.options_type(), options, entry.descriptor.name)
    refuse_inside_output(target)
    with _call_of(entry, target):
        entry.load().open(target, mode, own, WriteContext()).abort()


def output_state(
    target: Target, fmt: str, options: Mapping[str, Any], dim: str | None, formats: FormatRegistry
) -> OutputState | None:
    """What an append along `dim` would continue; None where nothing is there, or where the writer does not say.

    Raises
    ------
    SourceError, OptionError, PluginError
        The output cannot be looked at.
    """
    entry = formats.writer(fmt)
    own = make_options(entry.options_type(), options, entry.descriptor.name)
    with _call_of(entry, target):
        look = getattr(entry.load(), "state", None)
        found: OutputState | None = None if look is None else look(target, own, dim)
    return found


def _call_of(entry: Entry[WriterDescriptor], target: Target) -> PluginCall:
    return PluginCall(f"{target}: the writer {entry.label} {entry.version}")


def choose_writer(target: Target, fmt: str | None, formats: FormatRegistry) -> Entry[WriterDescriptor]:
    """The writer of a format, or the one that the target's name or type means.

    Raises
    ------
    UnknownFormatError
        Nothing or several are meant.
    """
    if fmt is not None:
        return formats.writer(fmt)
    entries = formats.writers.values()
    if target.object is not None:
        found = [e for e in entries if e.descriptor.accepts(target.object)]
    else:
        name = target.url.rstrip("/").lower()
        endings = {
            e.descriptor.name: max((x for x in e.descriptor.extensions if name.endswith(x)), key=len, default="")
            for e in entries
        }
        longest = max(map(len, endings.values()), default=0)
        found = [e for e in entries if longest and len(endings[e.descriptor.name]) == longest]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{e.descriptor.name} ({' '.join(e.descriptor.extensions)})" for e in entries) or "none"
    advice = "" if target.object is not None else writer_to_install(target.url, formats)
    raise UnknownFormatError(f"{target}: say which format to write with format= (--to); there are: {known}{advice}")


def _check_capabilities(entry: Entry[WriterDescriptor], at: Placement | None) -> None:
    needed = None if at is None else Capability.APPEND if at.append_dim is not None else Capability.REGION
    if needed is not None and needed not in entry.descriptor.capabilities:
        raise UnsupportedFeatureError(
            f"{needed} in {entry.descriptor.name}", "", "write the whole tree anew, or use a format that can (icechunk)"
        )


def _leave_out(
    tree: VirtualGroup, issues: Sequence[Issue], on_unsupported: OnUnsupported, entry: Entry[WriterDescriptor]
) -> tuple[VirtualGroup, tuple[Issue, ...]]:
    """The tree without what the format cannot hold, or one error that lists all of it."""
    refused = [issue for issue in issues if issue.severity == "refused"]
    if refused and on_unsupported == "raise":
        if len(refused) == 1:
            advice = "; ".join(filter(None, (refused[0].message, refused[0].hint)))
            raise UnsupportedFeatureError(refused[0].feature, refused[0].path, advice)
        raise UnsupportedFeatureError(
            f"{len(refused)} arrays have no exact form in {entry.descriptor.name}",
            "",
            "leave them out with on_unsupported='skip' (--on-unsupported skip)",
            refused,
        )
    return _without(tree, {issue.path for issue in refused}), tuple(issues)


def _without(group: VirtualGroup, paths: AbstractSet[str], prefix: str = "") -> VirtualGroup:
    """The tree without the arrays and groups at some paths."""
    arrays = {name: array for name, array in group.arrays.items() if prefix + name not in paths}
    groups = {
        name: _without(child, paths, f"{prefix}{name}/")
        for name, child in group.groups.items()
        if prefix + name not in paths
    }
    return group.with_(arrays=arrays, groups=groups)
