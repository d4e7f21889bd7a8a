r"""Coordinates that are not in the data but in the name of a file or in an attribute.

Texts that are ISO 8601 dates or moments become times. Written as ``NAME=regex:PATTERN``, ``NAME=attribute:NAME`` or ``NAME=attribute:PATH@NAME``. A time has its format after
the name: ``time:%Y%m%d=regex:S2_(\d{8})``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np

from manifestry.combine.values import inline_array
from manifestry.errors import OptionError, UnsupportedFeatureError, translated
from manifestry.model.tree import VirtualArray, VirtualGroup

__all__ = ["CoordinateRule"]

_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,6}0*)?)?\s*(Z|[+-]\d{2}(:?\d{2})?)?)?"
    r"|\d{8}T\d{4}(\d{2}([.,]\d{1,6}0*)?)?(Z|[+-]\d{2}(:?\d{2})?)?",
    re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CoordinateRule:
    """Where the value of a coordinate is found for each source.

    Attributes
    ----------
    name
        Name of the coordinate.
    origin
        ``"regex"``: in the URL; the first group of the pattern, or all that it matches. ``"attribute"``: an attribute.
    where
        The pattern, or the attribute: ``name`` of the root, or ``path@name`` of a group or array.
    format
        `datetime.strptime` format of a time; ``""``: a whole number, a decimal number or text, whatever it looks like;
        ISO 8601 dates and moments with their separators become times.
    """

    name: str
    origin: Literal["regex", "attribute"]
    where: str
    format: str = ""

    @classmethod
    def parse(cls, text: str) -> CoordinateRule:
        """The rule that a text says (see the module).

        Raises
        ------
        OptionError
            It is no rule.
        """
        name, equals, rest = text.partition("=")
        origin, colon, where = rest.partition(":")
        name, _, form = name.partition(":")
        if not (name and equals and colon and where) or origin not in ("regex", "attribute"):
            raise OptionError(
                f"{text!r} is not a coordinate rule; expected NAME[:FORMAT]=regex:PATTERN or NAME[:FORMAT]=attribute:[PATH@]NAME"
            )
        if origin == "regex":
            with translated(re.error, OptionError, f"{where!r} is not a regular expression"):
                re.compile(where)
        return cls(name, "regex" if origin == "regex" else "attribute", where, form)

    def array(self, url: str, tree: VirtualGroup, dim: str) -> VirtualArray:
        """The coordinate of one source: one element along `dim`.

        Raises
        ------
        UnsupportedFeatureError
            The source has no value for it, or one that is not in the format.
        """
        found = self._find(url, tree)
        if found is None:
            raise UnsupportedFeatureError(
                f"no value for the coordinate {self.name!r}",
                url,
                self._advice(tree) or f"{self.where!r} finds nothing there",
            )
        if self.format:
            return self._time(url, str(found), dim)
        when = _iso_moment(found)
        if when is not None:
            return _time_array(when, dim, fine=when.microsecond > 0)
        return inline_array([_number(found)], (dim,))

    def _find(self, url: str, tree: VirtualGroup) -> Any:
        if self.origin == "regex":
            match = re.search(self.where, url)
            return None if match is None else match[1] if match.re.groups else match[0]
        path, _, name = self.where.rpartition("@")
        try:
            node = tree[path] if path else tree
        except KeyError:
            return None
        value = node.attributes.get(name)
        return value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else value

    def _advice(self, tree: VirtualGroup) -> str:
        """Where else an attribute of the name is."""
        if self.origin == "regex":
            return ""
        name = self.where.rpartition("@")[2]
        nodes: list[tuple[str, VirtualGroup | VirtualArray]] = [*tree.walk(), *tree.walk_arrays()]
        found = [f"{path}@{name}".removeprefix("@") for path, node in nodes if name in node.attributes]
        return f"{self.where!r} is not there, but {', '.join(found[:5])}" if found else ""

    def _time(self, url: str, text: str, dim: str) -> VirtualArray:
        try:
            when = datetime.strptime(text.strip(), self.format)  # noqa: DTZ007 without a zone it is UTC
        except ValueError as error:
            raise UnsupportedFeatureError(f"no value for the coordinate {self.name!r}", url, str(error)) from error
        return _time_array(when, dim, fine="%f" in self.format)


def _iso_moment(found: Any) -> datetime | None:
    """A text that is a date or moment of ISO 8601, or a NumPy moment; None for all others.

    Digits without separators stay a number: whether they are a date, only a format says.
    """
    if isinstance(found, np.datetime64):
        found = str(found)
    if not isinstance(found, str) or not _ISO.fullmatch(found.strip()):
        return None
    try:
        return datetime.fromisoformat(re.sub(r"\s+(?=[Z+-])", "", found.strip()))
    except ValueError:
        return None


def _time_array(when: datetime, dim: str, *, fine: bool) -> VirtualArray:
    """A moment as a coordinate; without a zone it is UTC."""
    moment = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    count = (moment - _EPOCH) // timedelta(microseconds=1 if fine else 1_000_000)
    units = f"{'microseconds' if fine else 'seconds'} since 1970-01-01"
    attributes = {"standard_name": "time", "units": units, "calendar": "proleptic_gregorian"}
    return inline_array(np.array([count], "i8"), (dim,), attributes)


def _number(value: Any) -> Any:
    """A text as the number it looks like."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[+-]?\d{1,18}", value):
        return int(value)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?", value):
        return float(value)
    return value
