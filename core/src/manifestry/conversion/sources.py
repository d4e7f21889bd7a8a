"""The sources of a run: paths, URLs, glob patterns, listings of prefixes, and text files of URLs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from re import compile as compile_pattern, escape, split

from manifestry.errors import OptionError, SourceError, one_line
from manifestry.formats.detection import matches
from manifestry.formats.loading import installed_formats
from manifestry.storage.errors import source_errors
from manifestry.storage.objects import list_objects
from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.storage.source import Source
from manifestry.storage.urls import canonical_url

__all__ = ["SourceLike", "expand_sources"]

type SourceLike = str | os.PathLike[str] | Source

_WILD = "*?["


def expand_sources(given: SourceLike | Iterable[SourceLike], stores: Stores = None) -> list[Source]:
    """Every source that is meant, in order.

    Parameters
    ----------
    given
        One or several of: a path or URL; a pattern with ``*``, ``?`` or ``[...]`` in the last segments (``**`` matches
        any depth), in natural order (``f2.nc`` before ``f10.nc``); ``@list.txt``, a text file with one of these in each line (empty lines and
        lines that begin with ``#`` do not count); a prefix with a slash at the end, all objects below it; a `Source`.
    stores
        Object stores by URL prefix, as for `manifestry.parse`.

    Raises
    ------
    SourceError
        A pattern or prefix matches nothing, or cannot be listed.
    OptionError
        Nothing was given, or a source occurs twice.
    """
    registry = StoreRegistry.of(stores)
    several = [given] if isinstance(given, str | os.PathLike | Source) else given
    found = [source for one in several for source in _expand(one, registry)]
    if not found:
        raise OptionError("no source was given")
    seen: set[str] = set()
    for source in found:
        if source.url in seen:
            raise OptionError(f"{source.url} is among the sources twice")
        seen.add(source.url)
    return found


def _expand(given: SourceLike, registry: StoreRegistry) -> Iterator[Source]:
    if isinstance(given, Source):
        yield given
        return
    text = os.fspath(given)
    if text.startswith("@") and not os.path.lexists(text):
        for line in _lines(text[1:], registry):
            yield from _expand(line, registry)
    elif text.endswith("/"):
        yield from _listing(text, registry)
    elif _is_pattern(text, registry):
        yield from _matching(text, registry)
    else:
        yield Source(text, registry)


def _lines(name: str, registry: StoreRegistry) -> Iterator[str]:
    source = Source(name, registry)
    path = registry.local_path(source.url)
    with source_errors(source.url):  # a path may be a pipe, which has no size
        data = source.range(0, source.size) if path is None else path.read_bytes()
    text = data.decode(errors="surrogateescape")
    entries = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not entries or "\0" in text:
        raise SourceError(f"{one_line(source.url)}: {'is not a text file' if entries else 'lists no source'}")
    yield from entries


def _is_pattern(text: str, registry: StoreRegistry) -> bool:
    """Whether wildcards are meant: not where an object has that very name, nor in a URL with a query."""
    if not any(mark in text for mark in _WILD):
        return False
    source = Source(text, registry)
    return not (source.url.startswith("http") and not registry.serves(source.url)) and not source.exists()


def _listing(prefix: str, registry: StoreRegistry) -> Iterator[Source]:
    """All objects below a prefix; a directory that is one source of a format (a Zarr store, say) stays one."""
    whole = Source(prefix.rstrip("/") or "/", registry)
    listable = registry.serves(whole.url) or not whole.url.startswith("http")
    if listable and matches(whole, installed_formats()):
        yield whole
        return
    found = _objects(whole.url.rstrip("/") + "/", registry)
    if not found:
        raise SourceError(f"{prefix}: there is nothing below this prefix")
    for url in found:
        yield Source.at(url, registry)


def _matching(pattern: str, registry: StoreRegistry) -> Iterator[Source]:
    """The objects that match a pattern: what comes before the first wildcard is listed, the rest compared."""
    url = canonical_url(pattern)
    first = min(url.find(mark) for mark in _WILD if mark in url)
    below = url[: url.rfind("/", 0, first) + 1]
    wanted = compile_pattern(_glob_to_regex(url))
    found = [candidate for candidate in _objects(below, registry) if wanted.fullmatch(candidate)]
    if not found:
        raise SourceError(f"{pattern}: no source matches this pattern")
    for candidate in found:
        yield Source.at(candidate, registry)


def _glob_to_regex(pattern: str) -> str:
    """A shell pattern in which ``*`` and ``?`` stay inside a segment, and a segment ``**`` matches any depth."""
    parts = []
    for token in split(r"(\*\*/|\*|\?|\[[^\]]+\])", pattern):
        match token:
            case "**/":
                parts.append("(?:.*/)?")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if token.startswith("[") and len(token) > 2:
                parts.append("[^" + token[2:] if token[1] == "!" else token)
            case _:
                parts.append(escape(token))
    return "".join(parts)


def _objects(below: str, registry: StoreRegistry) -> list[str]:
    """URLs of all objects whose URL begins with `below` (which ends with a slash), in natural order."""
    path = registry.local_path(below)
    if path is not None:
        found = (f"file://{top.rstrip('/')}/{name}" for top, _, names in os.walk(path) for name in names)
        return sorted(found, key=_natural)
    if below.startswith("http") and not registry.serves(below):
        raise SourceError(f"{below}: plain HTTP cannot be listed; give the URLs, or a text file of them as @list.txt")
    key = registry.resolve(below.rstrip("/"))[1]
    prefix = f"{key.rstrip('/')}/" if key else ""
    return sorted((below + meta["path"].removeprefix(prefix) for meta in list_objects(below, registry)), key=_natural)


def _natural(url: str) -> tuple[list[list[tuple[str, int, int]]], str]:
    """What URLs are sorted by: segment by segment, numbers by their value and all else as text."""
    return [_words(segment) for segment in url.split("/")], url


def _words(segment: str) -> list[tuple[str, int, int]]:
    parts = split(r"([0-9]+)", segment)
    words = zip(parts[::2], [*parts[1::2], ""], strict=True)
    return [(word, int(digits or -1), len(digits)) for word, digits in words]
