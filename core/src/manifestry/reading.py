"""`parse`: a source through the parser that speaks its format, and the validation gate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from manifestry.errors import MalformedFileError, ManifestryError, OptionError, SourceError, one_line, translated
from manifestry.formats.contracts import OnUnsupported, ParseContext
from manifestry.formats.descriptors import ParserDescriptor
from manifestry.formats.detection import detect
from manifestry.formats.isolation import call_isolated
from manifestry.formats.loading import Entry, FormatRegistry, installed_formats
from manifestry.formats.options import check_names, make_options, options_to_json
from manifestry.formats.plugin_errors import PluginCall
from manifestry.model.files import FileTable
from manifestry.model.limits import Budget, Limits
from manifestry.model.provenance import Provenance
from manifestry.model.selection import Selection
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.model.validation import validate_array, validate_names
from manifestry.progress import Progress, SilentProgress
from manifestry.storage.access import Access
from manifestry.storage.policy import ReferencePolicy
from manifestry.storage.registry import Stores
from manifestry.storage.source import Source

__all__ = [
    "TRUST_OPTIONS",
    "CommonOptions",
    "is_foreign",
    "marked",
    "parse",
    "parse_isolated",
    "parse_source",
    "trusting",
    "with_selection",
]


class CommonOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options that every parser understands."""

    group: Annotated[str, Meta(description="Path of the group that becomes the root.")] = ""
    include: Annotated[
        tuple[str, ...], Meta(description="Names, paths or shell patterns of the arrays and groups to keep.")
    ] = ()
    exclude: Annotated[
        tuple[str, ...], Meta(description="Names, paths or shell patterns of the arrays and groups to leave out.")
    ] = ()
    chunk_bytes: (
        Annotated[int, Meta(ge=1, description="Split uncompressed arrays into chunks of about this many bytes.")] | None
    ) = None
    inline_below: (
        Annotated[int, Meta(ge=0, description="Copy arrays of fewer bytes than this into the manifest.")] | None
    ) = None
    allow: (
        Annotated[
            tuple[str, ...],
            Meta(
                description="URL prefixes that the source may point at, in place of the rule: a remote source at its own "
                "host or bucket, a local one at local files, object stores and public hosts."
            ),
        ]
        | None
    ) = None
    untrusted: Annotated[
        bool,
        Meta(description="The source came from elsewhere: a local one may point at what is beside and below it only."),
    ] = False


TRUST_OPTIONS: Final = ("allow", "untrusted")
"""Options of the moment: what a store says of itself later must not widen what it may point at."""

_COMMON: Final = frozenset(CommonOptions.__struct_fields__)


def parse(
    source: str | os.PathLike[str] | Source,
    *,
    format: str | None = None,  # noqa: A002 the field's word, and only a keyword
    stores: Stores = None,
    on_unsupported: OnUnsupported = "raise",
    limits: Limits | None = None,
    allow: Sequence[str] | None = None,
    untrusted: bool = False,
    isolate: bool = False,
    **options: Any,
) -> VirtualGroup:
    """Read the metadata of an archive: which bytes hold which chunks. No data is copied.

    Parameters
    ----------
    source
        Path, URL or `Source`.
    format
        Name of the format; found from the content when not given. Some take a variant after a colon
        (``"virtualizarr:HDFParser"``).
    stores
        Object stores: a mapping of URL prefix to obstore store, or an ``ObjectStoreRegistry``. Others are made from the
        environment.
    on_unsupported
        ``"raise"``: everything that cannot be expressed exactly, in one error. ``"skip"``: leave those arrays out and
        list them in ``tree.issues``.
    limits
        What the source may make us allocate.
    allow
        URL prefixes that the source may point at, in place of the rule: a remote source at its own host or bucket and
        `stores`, a local one also at local files, object stores and public hosts.
    untrusted
        The source came from elsewhere: a local one may point at what is beside and below it only, and at `stores`.
    isolate
        Parse in a process of its own, with limits of memory and time: a file on which a library dies costs an error
        only. That process stays for the next call. Object stores in memory cannot be sent there.
    **options
        `CommonOptions`, and those of the format (``manifestry formats NAME`` lists them).

    Returns
    -------
    VirtualGroup
        The tree, validated.

    Raises
    ------
    SourceError, UnknownFormatError, AmbiguousFormatError, OptionError, MalformedFileError, UnsupportedFeatureError,
    ManifestError, PluginError
        See `manifestry.errors`.
    """
    given = source if isinstance(source, Source) else Source(source, stores)
    options |= trusting(allow, untrusted=untrusted)
    if isolate:
        return parse_isolated(given, format, on_unsupported, options, limits=limits)
    return parse_source(given, format, on_unsupported, options, limits=limits, call=parse)


def parse_source(
    source: Source,
    fmt: str | None,
    on_unsupported: OnUnsupported,
    options: Mapping[str, Any],
    *,
    limits: Limits | None = None,
    progress: Progress | None = None,
    formats: FormatRegistry | None = None,
    call: Callable[..., Any] | None = None,
) -> VirtualGroup:
    """As `parse`, for callers inside the core that have a source and a progress to tell.

    `call` is the function that the options were given to beside its own keywords.
    """
    if on_unsupported not in ("raise", "skip"):
        raise OptionError(f"on_unsupported is 'raise' or 'skip', not {on_unsupported!r}")
    registry = formats or installed_formats()
    carried: Mapping[str, Any] = {}
    if fmt is None:
        with _about(source):
            entry = detect(source, registry)
    else:
        entry, carried = registry.select(fmt)
    label = entry.descriptor.name
    for name in carried.keys() & options.keys():
        raise OptionError(f"{label}: the format {fmt!r} names the {name} already")
    options = {**carried, **options}
    check_names(options, entry.options_type(), label, common=CommonOptions, call=call)
    common = make_options(CommonOptions, {k: v for k, v in options.items() if k in _COMMON}, label)
    own = make_options(entry.options_type(), {k: v for k, v in options.items() if k not in _COMMON}, label)
    context = ParseContext(
        group=common.group.strip("/"),
        selection=Selection(common.include, common.exclude),
        chunk_bytes=common.chunk_bytes,
        inline_below=common.inline_below,
        limits=limits or Limits(),
        on_unsupported=on_unsupported,
        progress=progress or SilentProgress(),
    )
    context.budget = Budget(context.limits, lambda: 0 if source.is_prefix else source.size)
    source = source.with_access(Access.of(common.allow, untrusted=common.untrusted))
    with _about(source):
        tree = _gate(_call(entry, source, own, context), context)
        tree = marked(tree, source)
        _check_selection(tree, context)
        context.raise_refusals()
    shared = {name: value for name, value in options_to_json(common).items() if name not in TRUST_OPTIONS}
    origin = Provenance(label, entry.version, shared | options_to_json(own), _sources(tree, source, context))
    return tree.with_(issues=(*tree.issues, *context.issues), provenance=tree.provenance or (origin,))


def parse_isolated(
    source: Source,
    fmt: str | None,
    on_unsupported: OnUnsupported,
    options: Mapping[str, Any],
    *,
    limits: Limits | None = None,
) -> VirtualGroup:
    """As `parse_source`, in the process that is there for it.

    Raises
    ------
    MalformedFileError
        The process died, or took too long.
    """
    work = partial(parse_source, source, fmt, on_unsupported, dict(options), limits=limits, call=parse)
    tree = call_isolated(f"{one_line(source.url)}: parsing it", work)
    assert isinstance(tree, VirtualGroup)
    return tree


def is_foreign(source: Source, *, untrusted: bool) -> bool:
    """Whether a source is remote or untrusted: a library that dies of it should take another process with it."""
    return untrusted or source.local_path is None


def trusting(allow: Sequence[str] | None, *, untrusted: bool) -> dict[str, Any]:
    """What a caller said of strangers, as options; without what was not said."""
    given = {} if allow is None else {"allow": (allow,) if isinstance(allow, str) else tuple(allow)}
    return given | ({"untrusted": True} if untrusted else {})


def with_selection(options: Mapping[str, Any], include: Sequence[str], exclude: Sequence[str]) -> dict[str, Any]:
    """Options for reading, and the selection that was given beside them.

    Raises
    ------
    OptionError
        `options` are no mapping, or have a selection already.
    """
    if not isinstance(options, Mapping):
        raise OptionError(f"options for reading: expected a mapping of names to values, not {type(options).__name__}")
    given = {name: names for name, names in (("include", include), ("exclude", exclude)) if names}
    selection = {name: (names,) if isinstance(names, str) else tuple(names) for name, names in given.items()}
    for name in selection.keys() & options.keys():
        raise OptionError(f"{name}: is given twice, once among the options for reading; say all names in one place")
    return {**options, **selection}


@contextmanager
def _about(source: Source) -> Iterator[None]:
    """Inside, errors get the source that they are about, where they have none."""
    try:
        yield
    except ManifestryError as error:
        error.source = error.source or source.url
        raise


def _sources(tree: VirtualGroup, source: Source, context: ParseContext) -> FileTable:
    """What a tree was made from: the source itself first, then every other file that it refers to or was read for it."""
    own = [] if source.is_prefix else [source.file]
    with translated(ValueError, SourceError):
        return FileTable.union([FileTable(own), tree.files, *(FileTable([file]) for file in context.files)])[0]


def _call(entry: Entry[ParserDescriptor], source: Source, options: Any, context: ParseContext) -> VirtualGroup:
    """Run the parser; what it raises and is none of ours is a defect of the plugin, named as such."""
    parser = entry.load()
    with PluginCall(f"{source.url}: the parser {entry.label} {entry.version}"), _within_memory(source):
        tree = parser.parse(source, options, context)
        if not isinstance(tree, VirtualGroup):
            raise TypeError(f"parse returned {type(tree).__name__}, not VirtualGroup")
        return tree


@contextmanager
def _within_memory(source: Source) -> Iterator[None]:
    """Inside, what is too large, too deep or not there in memory is said of the source: no plugin is broken by it."""
    kinds = (MemoryError, RecursionError, OverflowError)
    with translated(kinds, MalformedFileError, f"{source.url}: describes more than can be read"):
        yield


def _gate(tree: VirtualGroup, context: ParseContext) -> VirtualGroup:
    """The tree without the arrays that contradict themselves: each costs itself only."""
    validate_names(tree, context.limits)

    def check(path: str, array: VirtualArray) -> VirtualArray | None:
        with context.isolate(path):
            validate_array(array, path, context.limits)
            return array
        return None

    return tree.map_arrays(check)


def marked(tree: VirtualGroup, source: Source) -> VirtualGroup:
    """The tree with, of each file, who named it: the caller or the source, which may be a stranger's."""
    policy = ReferencePolicy.of(source)
    tables: dict[int, FileTable] = {}

    def mark(_: str, array: VirtualArray) -> VirtualArray:
        files = array.manifest.files
        known = tables.get(id(files))
        if known is None:
            known = tables[id(files)] = policy.mark(files)
        return array if known is files else replace(array, manifest=replace(array.manifest, files=known))

    return tree.map_arrays(mark)


def _check_selection(tree: VirtualGroup, context: ParseContext) -> None:
    """A misspelt `include` must not pass as an empty result."""
    known = [path for path, _ in tree.walk_arrays()] + [issue.path for issue in context.issues]
    for pattern in context.selection.include:
        if not any(Selection((pattern,)).array(path) for path in known):
            raise OptionError(f"include: {pattern!r} matches no array of the source")
