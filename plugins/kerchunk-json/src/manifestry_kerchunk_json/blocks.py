"""A document in blocks: some thousand references at a time, so that never all of them are Python objects.

A block of members is decoded as a JSON object of its own. It ends where a comma follows a list or a text; whether that
is the end of a member shows the decoding, since a member that is cut anywhere else is not JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from manifestry_kerchunk_json.reference import Reference

__all__ = ["MemberBlocks"]

_BLOCK: Final = 1 << 19
"""Bytes of a block: some thousand references."""

_HEAD: Final = 1 << 16
"""Bytes among which ``refs`` begins, where a document has it: ``version`` and ``templates`` may come before."""

_ENDS: Final = (b"],", b'",')
_BLANK: Final = re.compile(r"[ \t\n\r]*")

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Reference | str | dict[str, Any]])


@dataclass(slots=True, kw_only=True)
class MemberBlocks:
    """The members of ``refs``, or of a document without it.

    Attributes
    ----------
    data
        The document.
    block
        Bytes that are decoded together.
    around
        The other members of the document, complete when all blocks have been taken.
    has_refs
        Whether the document has ``refs``.
    """

    data: bytes
    block: int = _BLOCK
    around: dict[str, Any] = field(default_factory=dict)
    has_refs: bool = False
    _start: int = 0

    def __post_init__(self) -> None:
        """Find the first reference."""
        if not self._find_refs():
            self.around, self._start = {}, len(self.data) - len(self.data.lstrip()) + 1

    def blocks(self) -> Iterator[Mapping[str, Any]]:
        """References by key: `Reference` or list, text, or JSON object.

        Raises
        ------
        ValueError
            The document is not a JSON object.
        """
        if not self.data.lstrip().startswith(b"{"):
            raise ValueError("the document is not an object")
        at = self._start
        while (block := self._block(at)) is not None:
            at, members = block
            yield members
        yield self._last(at)

    def _find_refs(self) -> bool:
        """Whether the document begins with the members of version 1 up to ``refs``, which are read."""
        head = self.data[:_HEAD].decode("utf-8", "ignore")
        decoder = json.JSONDecoder()
        at = _after_blanks(head, 0)
        try:
            while head[at] in "{,":
                key, at = decoder.raw_decode(head, _after_blanks(head, at + 1))
                at = _after_blanks(head, at)
                if not isinstance(key, str) or head[at] != ":":
                    return False
                at = _after_blanks(head, at + 1)
                if key == "refs" and head[at] == "{":
                    self.has_refs, self._start = True, len(head[: at + 1].encode())
                    return True
                self.around[key], at = decoder.raw_decode(head, at)
                at = _after_blanks(head, at)
        except (ValueError, IndexError, RecursionError):
            return False
        return False

    def _block(self, start: int) -> tuple[int, Mapping[str, Any]] | None:
        """Where the next block ends, and its members; None when what is left is the last one."""
        size = self.block
        while start + size < len(self.data):
            for end in _ENDS:
                at = self.data.rfind(end, start, start + size)
                if at < 0:
                    continue
                try:
                    return at + len(end), _MEMBERS.decode(b"{" + self.data[start : at + 1] + b"}")
                except msgspec.DecodeError:
                    continue
            size *= 4
        return None

    def _last(self, start: int) -> Mapping[str, Any]:
        """The members that are left, and what follows ``refs``; NaN in them, which others write, is understood."""
        text = "{" + self.data[start:].decode("utf-8")
        members, end = json.JSONDecoder().raw_decode(text)
        rest = text[end:].strip(" \t\n\r")
        if self.has_refs:
            more = json.loads("{" + rest.removeprefix(","))
            if bool(more) != rest.startswith(","):
                raise ValueError("there is text after refs")
            self.around |= more
        elif rest:
            raise ValueError("there is text after the document")
        last: dict[str, Any] = members
        return last


def _after_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at
