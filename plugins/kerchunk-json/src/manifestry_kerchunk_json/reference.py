"""One reference of a document, in the form that is decoded fastest: no list, and nothing for the garbage collector."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from manifestry.plugin import MalformedFileError
from msgspec import Meta

__all__ = ["ABSENT", "Reference", "reference_of", "with_references"]

ABSENT: Final = -1
_MAX_BYTES: Final = 2**63 - 1


class Reference(msgspec.Struct, array_like=True, gc=False, frozen=True, forbid_unknown_fields=True):
    """``[url]``, the whole of a file, or ``[url, offset, length]``.

    Attributes
    ----------
    url
        Location as the document has it; None: the option target.
    offset, length
        In bytes; `ABSENT` for a whole file.
    """

    url: str | None
    offset: Annotated[int, Meta(ge=0, le=_MAX_BYTES)] = ABSENT
    length: Annotated[int, Meta(ge=0, le=_MAX_BYTES)] = ABSENT


def reference_of(value: Sequence[Any], where: str) -> Reference:
    """A reference that is a list, as the kerchunk package has it in memory.

    Raises
    ------
    MalformedFileError
        It is none.
    """
    try:
        return msgspec.convert(list(value), Reference)
    except (msgspec.ValidationError, OverflowError) as error:
        raise MalformedFileError(f"{where}: {str(list(value))[:100]} is not a reference: {error}") from error


def with_references(values: Sequence[Any]) -> Sequence[Any]:
    """The values with `Reference` for every list that is one; the others stay as they are."""
    lists = [value for value in values if isinstance(value, list | tuple)]
    if not lists:
        return values
    with contextlib.suppress(msgspec.ValidationError, OverflowError):
        references = iter(msgspec.convert(lists, list[Reference]))
        return [next(references) if isinstance(value, list | tuple) else value for value in values]
    return [_reference_or_value(value) if isinstance(value, list | tuple) else value for value in values]


def _reference_or_value(value: Sequence[Any]) -> Any:
    try:
        return reference_of(value, "")
    except MalformedFileError:
        return value
