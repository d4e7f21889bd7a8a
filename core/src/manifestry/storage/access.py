"""What a caller says of strangers' documents: where they may point beyond what the rule lets them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from manifestry.errors import OptionError
from manifestry.storage.urls import canonical_url

__all__ = ["Access", "canonical_prefix"]


@dataclass(frozen=True, slots=True)
class Access:
    """Which files documents may point at; `manifestry.storage.policy` has the rule.

    Attributes
    ----------
    allow
        URL prefixes, canonical, each ending where a segment of the path does; None for the rule.
    untrusted
        Whether documents on this computer came from elsewhere: then they may point at what is beside and below them.
    named
        URLs that the caller has named in another place, and directories that end with a slash: allowed in any case.
    """

    allow: tuple[str, ...] | None = None
    untrusted: bool = False
    named: frozenset[str] = frozenset()

    @classmethod
    def of(cls, allow: Sequence[str] | None, *, untrusted: bool = False) -> Self | None:
        """What a caller means; None where nothing is said.

        Raises
        ------
        OptionError
            `allow` holds something other than texts.
        SourceError
            A prefix is no path, and no URL that is known.
        """
        if allow is None and not untrusted:
            return None
        prefixes = (allow,) if isinstance(allow, str) else allow
        if prefixes is not None and not all(isinstance(prefix, str) for prefix in prefixes):
            raise OptionError(f"allow={allow!r} is not allowed; expected URL prefixes")
        return cls(None if prefixes is None else tuple(map(canonical_prefix, prefixes)), untrusted)

    def covers(self, url: str) -> bool:
        """Whether a canonical URL begins with one of the prefixes, or is named in another place."""
        allowed = any(url == prefix.removesuffix("/") or url.startswith(prefix) for prefix in self.allow or ())
        return allowed or self.names(url)

    def names(self, url: str) -> bool:
        """Whether a canonical URL, or a directory that it is in, is named in another place."""
        if not self.named:
            return False
        ends = (at + 1 for at, letter in enumerate(url) if letter == "/")
        return url in self.named or any(url[:end] in self.named for end in ends)

    def naming(self, urls: Iterable[str]) -> Access:
        """The same, and what the caller names in another place."""
        return replace(self, named=self.named | frozenset(urls))


def canonical_prefix(prefix: str) -> str:
    """A prefix that ends where a segment of the path does."""
    url = canonical_url(prefix)
    return url if url.endswith("/") else url + "/"
