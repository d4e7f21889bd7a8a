"""What a document that points at other files may point at: one rule for every format.

A document that came from elsewhere must not decide which of our files or internal hosts are read:

============================  ======================================================================================
the document is remote        its own host or bucket
the document is local         regular local files, object stores, and hosts that are public
it is local and `untrusted`   its own directory and what is below, links followed
in every case                 what the caller gives `stores` for
`allow` is given              what begins with one of its prefixes, and what the caller gives `stores` for
============================  ======================================================================================

Dots in a path, encoded or not, lead out of none of these. Symbolic links may do so for local documents that are trusted.
Where servers redirect us to is judged when they are asked (`manifestry.storage.redirects`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from manifestry.errors import SourceError, one_line
from manifestry.model.files import FileTable, NamedBy
from manifestry.storage.access import Access, canonical_prefix
from manifestry.storage.hosts import is_private, without_dots
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source
from manifestry.storage.urls import canonical_url, join_url, local_path, split_url

__all__ = ["ReferencePolicy"]

_OF_THE_SYSTEM: Final = ("/dev/", "/proc/", "/sys/")
_IN_MEMORY: Final = "/dev/shm/"  # noqa: S108 nothing is written there


@dataclass(frozen=True, slots=True)
class ReferencePolicy:
    """Turns the locations of a document into canonical URLs, and refuses those it may not point at.

    Attributes
    ----------
    base
        The document, or None for references that were made in memory: those may point anywhere.
    registry
        The caller's stores, and what the caller allows.
    """

    base: Source | None
    registry: StoreRegistry

    @classmethod
    def of(
        cls, base: Source | None, registry: StoreRegistry | None = None, *, allow: Sequence[str] | None = None
    ) -> ReferencePolicy:
        """The policy of a document, with its own registry where none is given.

        Parameters
        ----------
        allow
            URL prefixes, where the registry does not say already what the caller allows.
        """
        known = registry or (StoreRegistry() if base is None else base.registry)
        return cls(base, StoreRegistry.of(known, Access.of(allow)))

    @property
    def restricted(self) -> bool:
        """Whether the caller says where documents may point."""
        return self.registry.access.allow is not None or self.registry.access.untrusted

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
        reason = self._reason_against(url)
        if reason:
            document = "the references" if self.base is None else one_line(self.base.url)
            raise SourceError(f"{document}: points at {one_line(url)}, {reason}{self.allow_hint(url)}")
        return url

    def permits(self, url: str) -> bool:
        """Whether the document may point at a canonical URL."""
        return not self._reason_against(url)

    def source(self, url: str) -> Source:
        """The source at a canonical URL.

        Raises
        ------
        SourceError
            The document may not point there.
        """
        return Source.at(self.permit(url), self.registry, named_by=self.named_by(url))

    def named_by(self, url: str) -> NamedBy:
        """Who named a canonical URL that references refer to."""
        if self.base is None or not url.startswith("http"):
            return NamedBy.CALLER
        if url == self.base.url or url.startswith(self.base.url.rstrip("/") + "/"):
            return NamedBy.CALLER
        by = self.registry.named_by(self.base.url, url)
        # What the document may not name is what an option of the caller's has put in its place.
        return by if by is NamedBy.TRUSTED or self.permits(url) else NamedBy.TRUSTED

    def mark(self, files: FileTable) -> FileTable:
        """The files that references refer to, each with who named it."""
        if not any(url.startswith("http") for url in files.urls):
            return files
        return files.named(np.fromiter(map(self.named_by, files.urls), "u1", len(files)))

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
        if not f"{meant}/".startswith(canonical_prefix(needed[0])):  # dots lead to another place
            needed.append(_narrowest(meant))
        return f"; if you trust it, add allow={needed}"

    def is_near(self, url: str) -> bool:
        """Whether a URL lies in the bucket or on the host of the document, or in a store of the caller's."""
        assert self.base is not None
        return split_url(url)[0] == split_url(self.base.url)[0] or self.registry.serves(url)

    def _reason_against(self, url: str) -> str:
        """Why the document may not point at a canonical URL; ``""`` where it may."""
        meant = url if url.startswith("file://") else without_dots(url)  # those of local paths are canonical already
        if meant is None:
            return _NOT_ALLOWED
        return self._against(url) or ("" if meant == url else self._against(meant))

    def _against(self, url: str) -> str:
        access, base = self.registry.access, self.base
        if self.registry.serves(url) or access.names(url):
            return ""
        is_local = base is not None and base.url.startswith("file://")
        if access.allow is not None:
            # A link in what is allowed leads out of it where the document does not lie beside it.
            covered = access.covers(url) and (is_local or base is None or access.covers(_real(url)))
            return "" if covered else _NOT_ALLOWED
        if base is None:
            return ""
        if not is_local:
            return "" if self.is_near(url) else _NOT_ALLOWED
        if access.untrusted:
            return _against_outside(base.url, url)
        if url.startswith("file://"):
            return _against_file(url)
        return _NOT_ALLOWED + ", for its host is not public" if url.startswith("http") and is_private(url) else ""


_NOT_ALLOWED: Final = "which is not allowed"


def _real(url: str) -> str:
    """A local URL with its links followed; any other as it is."""
    path = local_path(url)
    return url if path is None else "file://" + os.path.realpath(path)


def _against_outside(document: str, url: str) -> str:
    """Why a URL is not below the directory of a local document; ``""`` where it is."""
    directories = {place.rpartition("/")[0] + "/" for place in (document, _real(document))}
    directories |= {place.rstrip("/") + "/" for place in (document, _real(document))}  # a document may be a directory
    below = all(any(place.startswith(directory) for directory in directories) for place in (url, _real(url)))
    return _against_file(url) if below else _NOT_ALLOWED + ", for the document is untrusted"


def _against_file(url: str) -> str:
    """Why the file of a local URL is none that lies on a disk; what links lead to is seen when it is opened."""
    path = url.removeprefix("file://")
    system = path.startswith(_OF_THE_SYSTEM) and not path.startswith(_IN_MEMORY)
    return _NOT_ALLOWED + ", for it is no file of a disk" if system else ""


def _narrowest(url: str) -> str:
    path = url.partition("?")[0].partition("#")[0] if url.startswith("http") else url
    directory = path.rpartition("/")[0] + "/"
    prefix = url if directory == split_url(url)[0] + "/" else directory
    return prefix.removeprefix("file://") if "%" in prefix else prefix  # what is given as a URL would be decoded
