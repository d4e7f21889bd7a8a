"""What a document that points at other files may point at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manifestry.errors import SourceError
from manifestry.storage.hosts import is_private, without_dots
from manifestry.storage.source import Source
from manifestry.storage.urls import canonical_url, join_url, split_url

__all__ = ["ReferencePolicy"]


@dataclass(frozen=True, slots=True)
class ReferencePolicy:
    """Turns the locations of a document into canonical URLs, and refuses those it may not point at.

    A document that lies in a remote store may point into its own bucket or host and into the caller's stores; a local
    document may point anywhere. `allow` replaces that rule for both. Dots in a path, encoded or not, do not lead out of
    what is allowed.

    Attributes
    ----------
    base
        The document, or None for references that were made in memory.
    allow
        URL prefixes, for example ``"s3://bucket/data/"`` or ``"/data/"``; None for the rule above.
    public_hosts
        Whether a local document may point, of all hosts, at public ones only (and into the caller's stores).
    """

    base: Source | None
    allow: tuple[str, ...] | None = None
    public_hosts: bool = False

    @classmethod
    def of(cls, base: Source | None, allow: Sequence[str] | None, *, public_hosts: bool = False) -> ReferencePolicy:
        """The policy with its prefixes in canonical form."""
        return cls(base, None if allow is None else tuple(map(_canonical_prefix, allow)), public_hosts)

    def resolve(self, location: str) -> str:
        """The canonical URL of a location in the document.

        Raises
        ------
        SourceError
            The document may not point there, or no store knows such URLs.
        """
        if self.base is None or location.startswith("/"):  # an absolute path is local wherever the document lies
            return self.permit(canonical_url(location))
        return self.permit(join_url(self.base.url, location))

    def permit(self, url: str) -> str:
        """A URL that is canonical already, when the document may point there.

        Raises
        ------
        SourceError
            It may not.
        """
        if not self._may(url):
            document = "the references" if self.base is None else self.base.url
            raise SourceError(f"{document}: points at {url}, which is not allowed{self.allow_hint(url)}")
        return url

    @staticmethod
    def allow_hint(url: str) -> str:
        """How a caller allows a document to point at a canonical URL, and at no more than that needs.

        That is the directory of the file, or the file alone where the directory is a whole disk, bucket or host.

        Returns
        -------
        str
            The end of a message; ``""`` where nothing allows it.
        """
        meant = url if url.startswith("file://") else without_dots(url)
        if meant is None:
            return ""
        needed = [_narrowest(url)]
        if not f"{meant}/".startswith(_canonical_prefix(needed[0])):  # dots lead to another place
            needed.append(_narrowest(meant))
        return f"; if you trust it, add allow={needed}"

    def is_near(self, url: str) -> bool:
        """Whether a URL lies in the bucket or on the host of the document, or in a store of the caller's."""
        assert self.base is not None
        return split_url(url)[0] == split_url(self.base.url)[0] or self.base.registry.serves(url)

    def _may(self, url: str) -> bool:
        meant = url if url.startswith("file://") else without_dots(url)  # those of local paths are canonical already
        return meant is not None and self._covers(url) and (meant == url or self._covers(meant))

    def _covers(self, url: str) -> bool:
        if self.allow is not None:
            return any(url == prefix.removesuffix("/") or url.startswith(prefix) for prefix in self.allow)
        if self.base is None:
            return True
        if self.base.url.startswith("file://"):
            refused = self.public_hosts and url.startswith("http") and is_private(url)
            return not refused or self.base.registry.serves(url)
        return self.is_near(url)


def _narrowest(url: str) -> str:
    path = url.partition("?")[0].partition("#")[0] if url.startswith("http") else url
    directory = path.rpartition("/")[0] + "/"
    prefix = url if directory == split_url(url)[0] + "/" else directory
    return prefix.removeprefix("file://") if "%" in prefix else prefix  # what is given as a URL would be decoded


def _canonical_prefix(prefix: str) -> str:
    """A prefix that ends where a segment of the path does."""
    url = canonical_url(prefix)
    return url if url.endswith("/") else url + "/"
