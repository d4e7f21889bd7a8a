"""Every deliberate error of manifestry.

::

    ManifestryError
    ├── SourceError               a source or target cannot be reached or read
    ├── UnknownFormatError        no installed plugin speaks the format
    ├── AmbiguousFormatError      several unrelated plugins claim the same source
    ├── OptionError               an option is unknown, or its value is not allowed
    ├── MalformedFileError        the source violates its own format
    ├── UnsupportedFeatureError   valid, but not expressible exactly: refused by name
    ├── ManifestError             a manifest that contradicts its array or its files
    ├── IncompatibleArraysError   arrays that cannot be combined without changing values
    ├── TargetExistsError         there is something at the target already
    ├── WriteError                writing failed; what was there before is intact
    └── PluginError               the plugin asked for is broken or blocked

Each class carries the exit code that the command line ends with (``exit_code``). Errors travel between processes:
the positional arguments of each constructor are kept in ``args``, so the default pickling works.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from manifestry.credentials import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from manifestry.hints import Hint
    from manifestry.issues import Issue

__all__ = [
    "AmbiguousFormatError",
    "IncompatibleArraysError",
    "MalformedFileError",
    "ManifestError",
    "ManifestryError",
    "OptionError",
    "PluginError",
    "SourceError",
    "TargetExistsError",
    "UnknownFormatError",
    "UnsupportedFeatureError",
    "WriteError",
    "first_line",
    "one_line",
    "printable",
    "translated",
]


class ManifestryError(Exception):
    """Base of all errors that manifestry raises on purpose.

    Attributes
    ----------
    source
        URL of the source that was being parsed; ``""`` where there was none.
    """

    exit_code: ClassVar[int] = 1
    source: str = ""

    def __str__(self) -> str:
        text, source = printable(self._text()), one_line(self.source)
        return text if source in text else f"{source}: {text}"

    def __repr__(self) -> str:
        return without_credentials(super().__repr__())

    def _text(self) -> str:
        return super().__str__()


class SourceError(ManifestryError):
    """A source or target cannot be reached, read or listed: missing file, credentials, network."""

    exit_code = 5


class UnknownFormatError(ManifestryError):
    """No installed plugin recognises the source, or none has the name that was asked for."""

    exit_code = 3


class AmbiguousFormatError(ManifestryError):
    """Several plugins, none of which refines another, claim the same source."""

    exit_code = 3


class OptionError(ManifestryError):
    """An option does not exist, or its value is not allowed."""

    exit_code = 2


class MalformedFileError(ManifestryError):
    """The source violates its own format; the message names the structure and its address."""


class UnsupportedFeatureError(ManifestryError):
    """A valid feature that cannot be expressed exactly, and is therefore refused.

    Parameters
    ----------
    feature
        Short stable name of the feature, for example ``"filter 305 (lzo)"``.
    where
        Path of the array, group or attribute inside the source.
    hint
        What the caller can do about it.
    issues
        All refusals of a file, when there is more than one.
    """

    exit_code = 4

    def __init__(self, feature: str, where: str = "", hint: str = "", issues: Sequence[Issue] = ()) -> None:
        super().__init__(feature, where, hint, tuple(issues))
        self.feature = feature
        self.where = where
        self.hint = hint
        self.issues = tuple(issues)

    def _text(self) -> str:
        if self.issues:
            lines = "".join(f"\n  {issue}" for issue in self.issues)
            return f"{self.feature}:{lines}" + (f"\n{self.hint}" if self.hint else "")
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.feature}" + (f" ({self.hint})" if self.hint else "")


class ManifestError(ManifestryError):
    """A manifest contradicts the array that it belongs to, the files it points into, or a limit."""


class IncompatibleArraysError(ManifestryError):
    """Arrays cannot be combined, appended or placed without changing what their values mean.

    Parameters
    ----------
    message
        Which arrays, of which sources, and what is not alike.
    hints
        What the caller can do about it: options that were tried on these sources and help.
    """

    def __init__(self, message: str = "", hints: Sequence[Hint] = ()) -> None:
        super().__init__(message, tuple(hints))
        self.message = message
        self.hints = tuple(hints)

    def _text(self) -> str:
        return "; ".join([self.message, *map(str, self.hints)])


class TargetExistsError(ManifestryError):
    """There is something at the target already, and the caller did not ask to replace it."""

    exit_code = 5


class WriteError(ManifestryError):
    """Writing failed. What was at the target before is still there."""

    exit_code = 5


class PluginError(ManifestryError):
    """The plugin that was asked for is broken, incompatible, in conflict or blocked."""

    exit_code = 6


def one_line(text: str) -> str:
    """A name or URL of a source for a message: in one line, without credentials, what would steer a terminal escaped."""
    text = without_credentials(text)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(text: str) -> str:
    """Lines that hold names of a source, as a terminal, a log or a page may show them: each as `one_line` has it."""
    return without_credentials(text) if text.isprintable() else "\n".join(map(one_line, text.split("\n")))


def first_line(error: BaseException) -> str:
    """The first line of the message of an error, or the name of its type when it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def translated(
    kinds: type[Exception] | tuple[type[Exception], ...], into: Callable[[str], ManifestryError], doing: str = ""
) -> Iterator[None]:
    """Inside, exceptions of other libraries become errors of ours.

    Parameters
    ----------
    kinds
        The exceptions that are translated; all others pass.
    into
        Makes the error from its message.
    doing
        What the message says before the first line of the exception: the place, or what failed.

    Examples
    --------
    >>> with translated(ValueError, OptionError, "depth"):
    ...     int("deep")
    Traceback (most recent call last):
        ...
    manifestry.errors.OptionError: depth: invalid literal for int() with base 10: 'deep'
    """
    try:
        yield
    except kinds as error:
        raise into(f"{doing}: {first_line(error)}" if doing else first_line(error)) from error
