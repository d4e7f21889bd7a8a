"""Which files there are beside a TIFF, by the names under which GDAL looks for them; nobody else is asked for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from manifestry.plugin import MalformedFileError, ParseContext, ReferencePolicy, Source, SourceError, translated

from manifestry_tiff.sidecars.pam import parse_pam
from manifestry_tiff.sidecars.world_file import parse_world_file
from manifestry_tiff.structure.beside import Beside

__all__ = ["Sidecars", "find_sidecars", "mention_sidecars"]

_SUFFIXES: Final = {
    "metadata": (".aux.xml",),
    "mask": (".msk",),
    "mask_overviews": (".msk.ovr",),
    "overviews": (".ovr",),
}
_NEEDED: Final = {"mask_overviews": "mask"}
"""Files that are asked for where another kind is wanted, and are not a kind themselves."""

_TEXTS: Final = ("metadata", "world_file")

_MAX_TEXT: Final = 16 << 20
_MAX_WORLD: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecars:
    """What files beside a TIFF say.

    Attributes
    ----------
    beside
        Of metadata and place; None where there is no such file.
    overviews, mask, mask_overviews
        Files with images.
    """

    beside: Beside | None = None
    overviews: Source | None = None
    mask: Source | None = None
    mask_overviews: Source | None = None


def find_sidecars(source: Source, wanted: Collection[str], context: ParseContext) -> Sidecars:
    """The files beside a TIFF that are wanted, as far as there are some.

    Parameters
    ----------
    wanted
        Kinds: the option ``sidecars``.

    Raises
    ------
    SourceError
        A file is there and cannot be read, or it cannot be said whether it is there.
    """
    kinds = {"metadata", "mask", "overviews", "world_file"} if "all" in wanted else set(wanted)
    kinds |= {kind for kind, other in _NEEDED.items() if other in kinds}
    places = {kind: list(_urls(source, kind)) for kind in sorted(kinds)}
    policy = ReferencePolicy.of(source)
    candidates = [policy.source(url) for urls in places.values() for url in urls]
    if source.local_path is None and candidates:
        with ThreadPoolExecutor(len(candidates)) as pool:
            there = list(pool.map(_is_there, candidates))
    else:
        there = [_is_there(candidate) for candidate in candidates]
    known = {one.url: one for one, is_there in zip(candidates, there, strict=True) if is_there}
    found = {kind: known[url] for kind, urls in places.items() for url in reversed(urls) if url in known}
    context.files += [one.file for kind, one in found.items() if kind in _TEXTS]  # chunks refer to the others
    beside = _read_metadata(found, context)
    return Sidecars(
        beside=beside,
        overviews=found.get("overviews"),
        mask=found.get("mask"),
        mask_overviews=found.get("mask_overviews") if "mask" in found else None,
    )


def mention_sidecars(source: Source, wanted: Collection[str], context: ParseContext) -> None:
    """Report the files beside a local TIFF that are not asked for; of remote ones nobody is asked whether they are there."""
    if source.local_path is None or "all" in wanted:
        return
    for kind in ("metadata", "mask", "overviews", "world_file"):
        if kind in wanted:
            continue
        for url in _urls(source, kind):
            one = Source.at(url, source.registry)
            if one.local_path is not None and one.local_path.is_file():
                message = f"{one.name} is not read, as GDAL would read it"
                context.report("", "file beside the image", message, f"read it with sidecars={kind!r}")
                break


def _urls(source: Source, kind: str) -> Iterator[str]:
    """Where files of a kind may be, the first one counts; names in capitals are asked for on this machine only."""
    base, mark, query = source.url.partition("?") if source.url.startswith("http") else (source.url, "", "")
    suffixes: tuple[str, ...] = _SUFFIXES.get(kind, ())
    if not suffixes:
        base, dot, extension = base.rpartition(".")
        if not dot or "/" in extension or not extension:
            return
        capital = extension.isupper()
        suffixes = (f".{extension[0]}{extension[-1]}w", f".{extension}w", ".wld")
        suffixes = tuple(dict.fromkeys(s.upper() if capital else s for s in suffixes))
    if source.local_path is not None:
        suffixes = tuple(dict.fromkeys(s for suffix in suffixes for s in (suffix, suffix.lower(), suffix.upper())))
    for suffix in suffixes:
        yield f"{base}{suffix}{mark}{query}"


def _is_there(source: Source) -> bool:
    """Whether there is an object: its first bytes, which are needed then, and no further request."""
    if source.local_path is not None:
        return source.local_path.is_file()
    try:
        source.head()
    except SourceError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    return True


def _read_metadata(found: Mapping[str, Source], context: ParseContext) -> Beside | None:
    """What the files with text say; one that cannot be read is refused."""
    beside: Beside | None = None
    if "metadata" in found:
        with context.isolate(""), translated(ValueError, MalformedFileError, found["metadata"].url):
            beside, unread = parse_pam(_text(found["metadata"], _MAX_TEXT))
            if unread:
                name = found["metadata"].name
                context.report("", "metadata left out", f"{name}: {', '.join(unread)}")
    if "world_file" in found:
        with context.isolate(""), translated(ValueError, MalformedFileError, found["world_file"].url):
            world = parse_world_file(_text(found["world_file"], _MAX_WORLD))
            beside = replace(beside or Beside(), world=world)
    return beside


def _text(source: Source, limit: int) -> str:
    if source.size > limit:
        raise MalformedFileError(f"{source.url}: {source.size} bytes are more than the limit of {limit}")
    data = source.range(0, source.size)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
