"""One reference of a document, in the form that is decoded fastest: no list, and nothing for the garbage collector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from manifestry.errors import MalformedFileError

__all__ = ["ABSENT", "Reference", "reference_of"]

ABSENT: Final = -1


class Reference(msgspec.Struct, array_like=True, gc=False, frozen=True, forbid_unknown_fields=True):
    """``[url]``, the whole of a file, or ``[url, offset, length]``.

    Attributes
    ----------
    url
        Location as the document has it; None: the target that the reader was told.
    offset, length
        In bytes; `ABSENT` for a whole file.
    """

    url: str | None
    offset: int = ABSENT
    length: int = ABSENT


def reference_of(value: Sequence[Any], where: str) -> Reference:
    """A reference that is a list, as the kerchunk package has it in memory.

    Raises
    ------
    MalformedFileError
        It is none.
    """
    try:
        found = msgspec.convert(list(value), Reference)
    except (msgspec.ValidationError, OverflowError) as error:
        raise MalformedFileError(f"{where}: {str(list(value))[:100]} is no reference: {error}") from error
    if len(value) > 1 and min(found.offset, found.length) < 0:
        raise MalformedFileError(f"{where}: {str(list(value))[:100]} is no reference: a negative number")
    return found
