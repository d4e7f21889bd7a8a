"""Which arrays of a source the caller wants: decided by path, before anything is read of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of names or paths; nothing included means everything.

    A pattern without a slash is looked for among the names at every level, one with a slash is compared with the path
    from the root on (``/t`` is the ``t`` of the root alone). A pattern that matches a group means all that is in
    it. A name that holds characters of patterns (``a[0]``) is found as it stands.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def array(self, path: str) -> bool:
        """Whether the array at `path` is wanted."""
        wanted = not self.include or any(_matches(pattern, path) for pattern in self.include)
        return wanted and not any(_matches(pattern, path) for pattern in self.exclude)

    def group(self, path: str) -> bool:
        """Whether the group at `path` may hold a wanted array: False lets a parser skip it unread."""
        return not any(_matches(pattern, path) for pattern in self.exclude)

    def check(self, paths: Iterable[str]) -> None:
        """Make sure that every pattern matches one of the array paths at least.

        Raises
        ------
        KeyError
            A pattern matches nothing; the message lists what there is.
        """
        known = list(paths)
        for pattern in (*self.include, *self.exclude):
            if not any(_matches(pattern, path) for path in known):
                there = ", ".join(sorted(known)[:20]) + (", …" if len(known) > 20 else "")
                raise KeyError(f"{pattern} matches no array; there are: {there}")


def _matches(pattern: str, path: str) -> bool:
    segments = path.strip("/").split("/")
    wanted = pattern.strip("/")
    if "/" not in pattern.rstrip("/"):
        return any(segment == wanted or fnmatchcase(segment, wanted) for segment in segments)
    start = "/".join(segments[: wanted.count("/") + 1])
    return start == wanted or fnmatchcase(start, wanted)
