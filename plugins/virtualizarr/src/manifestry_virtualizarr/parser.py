"""VirtualiZarr's parsers as sources: what one of them says of a file, through the same gate as everything else."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import virtualizarr.parsers
from manifestry.errors import OptionError, UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext
from manifestry.model.files import SourceFile
from manifestry.model.tree import VirtualGroup
from manifestry.storage.source import Source
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
            There is no such parser, it does not take these arguments, or there is no such group.
        UnsupportedFeatureError
            The parser says that it cannot do this.
        """
        made = _make(options)
        if not source.is_prefix:
            _ = source.file  # a file that is not there is told by us, not by whatever the parser does then
        try:
            store = made(url=source.url, registry=SharedStores(source.registry))
        except NotImplementedError as error:
            raise UnsupportedFeatureError(
                f"{options.parser}: {str(error) or 'what this file needs'}", source.url
            ) from error
        group = _descend(_group(store, options.parser), context.group, source)
        return convert_group(group, context, lambda path: _describe(path, source))


def _make(options: VirtualizarrOptions) -> Callable[..., Any]:
    """The parser that the options name."""
    kind = _find(options.parser)
    try:
        inspect.signature(kind).bind(**options.arguments)
    except TypeError as error:
        raise OptionError(f"arguments of {options.parser}: {error}") from error
    made: Callable[..., Any] = kind(**options.arguments)
    return made


def _find(name: str) -> Any:
    known = sorted(virtualizarr.parsers.__all__)
    if name in known:
        return getattr(virtualizarr.parsers, name)
    module, _, attribute = name.rpartition(".")
    if not module:
        raise OptionError(
            f"{name or 'no parser'!r} is not in virtualizarr.parsers (there are: {', '.join(known)}); "
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
        raise TypeError(f"{name} returned {type(store).__name__}, and a VirtualiZarr parser returns a ManifestStore")
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
    named = unknown_file(path)
    beside = Source.at(named.url, source.registry)
    return beside.file if beside.local_path is not None and beside.exists() else named
