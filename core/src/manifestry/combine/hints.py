"""What may help where trees cannot be combined, and trying whether it does: only what helps is advised.

A place that refuses names candidates (`ConflictError`). Whoever runs the whole tries each of them on the same trees, together
with what the next refusal asks for, and raises an error with those that get through (`with_advice`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from manifestry.errors import IncompatibleArraysError, ManifestryError
from manifestry.hints import Hint

__all__ = ["EFFECTS", "TRIED_BYTES", "ConflictError", "MeaningLostError", "limit_hints", "remedy", "with_advice"]

EFFECTS: Final = {
    ("on_conflict", "harmonise"): "copies small arrays in the form of the first source",
    ("on_conflict", "drop"): "leaves out the variables that do not fit",
    ("missing", "fill"): "reads as missing values where a source lacks a variable, and keeps one without the dimension",
    ("missing", "drop"): "leaves out the variables that some sources lack",
    ("attributes", "first"): "keeps the attributes of the first source",
    ("attributes", "drop"): "leaves out the attributes that differ",
    ("compat", "close"): "takes the values of the first source where others differ by rounding only",
    ("partial", "inline"): "copies the chunks that end inside the dimension",
    ("inline_limit", None): "allows that many bytes of an array to be read or copied",
    ("stack", None): "gives variables the combined dimension, so that each source keeps its own values",
    ("concat_dim", None): "joins the sources along that dimension",
}
"""Everything that is ever advised: option and value (None: it depends on the sources), and what it does to the data."""

TRIED_BYTES: Final = 64 << 20
"""How much is copied at most to see whether an option helps."""

_ATTEMPTS: Final = 24


def limit_hints(size: int, limit: int) -> list[Hint]:
    """The limit that lets an array of `size` bytes through, where that is not more than is tried."""
    return [remedy("inline_limit", size)] if limit < size <= TRIED_BYTES else []


def remedy(option: str, value: Any) -> Hint:
    """A candidate: an option of `EFFECTS` with its value."""
    effect = EFFECTS.get((option, value)) if isinstance(value, str) else None
    return Hint({option: value}, effect or EFFECTS[option, None])


class ConflictError(IncompatibleArraysError):
    """Trees cannot be combined with these options; `remedies` may help, and are not shown before they were tried.

    Parameters
    ----------
    message
        See `IncompatibleArraysError`.
    remedies
        Candidates, those that lose something last.
    """

    def __init__(self, message: str, remedies: Sequence[Hint] = ()) -> None:
        super().__init__(message)
        self.remedies = tuple(remedies)


class MeaningLostError(ConflictError):
    """What would be left out gives what is kept its meaning.

    Parameters
    ----------
    lacks
        What that would lack, by the path of what would be left out (see `manifestry.combine.compatibility.meaning.lost_meaning`).
    remedies
        What may keep it, by its path.
    """

    def __init__(self, lacks: Mapping[str, str], remedies: Mapping[str, Sequence[Hint]]) -> None:
        super().__init__("; ".join(f"without {path}, {lacks[path]}" for path in sorted(lacks)))
        self.remedies = tuple(hint for path in lacks for hint in remedies.get(path, ()))


type Attempt = Callable[[Mapping[str, Any]], Sequence[str]]
"""Combines the same trees with some options in place of those that were given; the paths of what these leave out."""


def with_advice(error: IncompatibleArraysError, attempt: Attempt) -> IncompatibleArraysError:
    """The error with those of its remedies that get through."""
    trials = _Trials(attempt)
    ways = [way for hint in getattr(error, "remedies", ()) if (way := trials.complete(hint)) is not None]
    found: list[Hint] = []
    for way in sorted(ways, key=lambda way: len(way.options)):
        if not any(known.options.items() <= way.options.items() for known in found):
            found.append(way)
    if not found and trials.needed:
        return IncompatibleArraysError(
            f"{error.message}; it cannot just be left out: {trials.needed}. Make it the same in all sources (sorted or "
            "regridded), or combine those that agree by themselves"
        )
    return IncompatibleArraysError(error.message, found)


@dataclass(slots=True)
class _Trials:
    """Attempts at combining the same trees."""

    attempt: Attempt
    left: int = _ATTEMPTS
    needed: str = ""

    def complete(self, hint: Hint) -> Hint | None:
        """A hint, with what else it takes, that gets through; None where nothing does."""
        if not self.left:
            return None
        self.left -= 1
        try:
            lost = self.attempt(hint.options)
        except ConflictError as conflict:
            if isinstance(conflict, MeaningLostError):
                self.needed = self.needed or conflict.message
            more = sorted(conflict.remedies, key=lambda other: not other.options.keys() <= hint.options.keys())
            further = (_combine_hints(hint, other) for other in more)
            ways = (self.complete(wider) for wider in further if wider is not None)
            return next((way for way in ways if way is not None), None)
        except ManifestryError:
            return None
        return Hint(hint.options, f"{hint.effect} ({', '.join(lost)})") if lost else hint


def _combine_hints(hint: Hint, other: Hint) -> Hint | None:
    """Two hints as one; None where they contradict each other or the second adds nothing."""
    options = dict(hint.options)
    for name, value in other.options.items():
        known = options.get(name)
        if known is None:
            options[name] = value
        elif isinstance(known, tuple) and not set(value) <= set(known):
            options[name] = (*known, *(one for one in value if one not in known))
        elif isinstance(known, int) and value > known:
            options[name] = value
        else:
            return None
    effects = dict.fromkeys((*hint.effect.split("; "), other.effect))
    return Hint(options, "; ".join(effects))
