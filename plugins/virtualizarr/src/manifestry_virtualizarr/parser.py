"""VirtualiZarr's parsers as sources: what one of them says of a file, through the same gate as everything else."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import virtualizarr.parsers
from manifestry.plugin import (
    OptionError,
    ParseContext,
    ReferencePolicy,
    Source,
    SourceFile,
    UnsupportedFeatureError,
    VirtualGroup,
)
from virtualizarr.manifests import ManifestGroup, ManifestStore

from manifestry_virtualizarr.groups import convert_group, unknown_file
from manifestry_virtualizarr.options import VirtualizarrOptions
from manifestry_virtualizarr.stores import SharedStores

__all__ = ["VirtualizarrParser"]


class VirtualizarrParser:
    """Calls a parser of VirtualiZarr, and takes over what it found.

    The size, entity tag and time of the source itself are kept, and of local files beside it: every reference into them
    is checked against the size. VirtualiZarr says nothing of other files, so they are known by their URLs only.
    """

    def parse(self, source: Source, options: VirtualizarrOptions, context: ParseContext) -> VirtualGroup:
        """The tree of what the parser found.

        Raises
        ------
        OptionError
            VirtualiZarr has no such parser, it does not take these arguments, or the group does not exist.
        UnsupportedFeatureError
            The parser says that it cannot do this.
        """
        parser = _make_parser(options)
        if not source.is_prefix:
            _ = source.file  # a missing file is our error, not whatever the parser makes of it
        try:
            store = parser(url=source.url, registry=SharedStores(source.registry))
        except NotImplementedError as error:
            raise UnsupportedFeatureError(
                f"{options.parser}: {str(error) or 'what this file needs'}", source.url
            ) from error
        group = _descend(_group(store, options.parser), context.group, source)
        return convert_group(group, context, lambda path: _describe(path, source))


def _make_parser(options: VirtualizarrOptions) -> Callable[..., Any]:
    """The parser that the options name."""
    factory = _find_parser(options.parser)
    try:
        inspect.signature(factory).bind(**options.arguments)
    except TypeError as error:
        raise OptionError(f"arguments of {options.parser}: {error}") from error
    parser: Callable[..., Any] = factory(**options.arguments)
    return parser


def _find_parser(name: str) -> Any:
    names = sorted(virtualizarr.parsers.__all__)
    if name in names:
        return getattr(virtualizarr.parsers, name)
    module, _, attribute = name.rpartition(".")
    if not module:
        raise OptionError(
            f"{name or 'no parser'!r} is not in virtualizarr.parsers (there are: {', '.join(names)}); "
            "give its module too (package.Parser) for one of another package"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise OptionError(f"the parser {name} cannot be imported: {error}") from error


def _group(store: Any, name: str) -> ManifestGroup:
    """What a parser found.

    VirtualiZarr 2.8 has no public way from a store to its groups but through xarray, which loses arrays without
    dimension names and whatever lies in subgroups.
    """
    if not isinstance(store, ManifestStore):
        raise TypeError(f"{name} returned {type(store).__name__}: a VirtualiZarr parser must return a ManifestStore")
    return store._group  # noqa: SLF001 see above


def _descend(group: ManifestGroup, path: str, source: Source) -> ManifestGroup:
    for part in filter(None, path.split("/")):
        if part not in group.groups:
            raise OptionError(f"there is no group {path!r} in {source.url}")
        group = group.groups[part]
    return group


def _describe(path: str, source: Source) -> SourceFile:
    """What is known of the file at a path of a manifest."""
    if path == source.url and not source.is_prefix:
        return source.file
    file = unknown_file(path)
    other = ReferencePolicy.of(source).source(file.url)
    return other.file if other.local_path is not None and other.exists() else file
