"""What parsers and writers are given, and what they must return.

Frozen with interface version 1.0: a plugin that follows these contracts works with every core of the same major version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from manifestry.errors import (
    MalformedFileError,
    ManifestError,
    ManifestryError,
    UnsupportedFeatureError,
    printable,
)
from manifestry.formats.targets import Mode, OutputState, Placement, Target
from manifestry.issues import Issue
from manifestry.model.limits import Budget, Limits
from manifestry.model.selection import Selection
from manifestry.progress import Progress, SilentProgress

if TYPE_CHECKING:
    import numpy as np

    from manifestry.formats.report import WriteReport
    from manifestry.model.files import SourceFile
    from manifestry.model.tree import VirtualGroup
    from manifestry.storage.source import Source

__all__ = [
    "Isolation",
    "NativeReader",
    "OnUnsupported",
    "ParseContext",
    "Parser",
    "WriteContext",
    "WriteSession",
    "Writer",
]

OnUnsupported = Literal["raise", "skip"]

_REMEDY: Final = "leave out what is refused with on_unsupported='skip' or --on-unsupported skip"


@dataclass(slots=True, kw_only=True)
class ParseContext:
    """Options that mean the same for every format, and where a parser says what it left out.

    Attributes
    ----------
    group
        Path of the group to parse as the root; parsers read nothing outside it.
    selection
        Which arrays the caller wants; decided by `wants` before anything is read of an array.
    chunk_bytes
        Split uncompressed arrays into chunks of about this many bytes; None leaves the choice to the format.
    inline_below
        Copy chunks of arrays of fewer bytes than this into the manifest; None leaves the choice to the format.
    limits
        What the source may make us allocate.
    budget
        What has been taken of those limits that hold for the source as a whole.
    on_unsupported
        ``"raise"``: the core turns the refusals that were collected into one error. Parsers do the same for both.
    progress
        Receives what happens.
    files
        What was read beside the source; what chunks refer to need not be there. Provenance names them as sources.
    issues
        What was refused or reported so far.

    Examples
    --------
    A refusal costs one array, never the file:

    >>> context = ParseContext(on_unsupported="skip")
    >>> with context.isolate("group/array"):
    ...     raise UnsupportedFeatureError("filter 305 (lzo)", "group/array", "repack with h5repack")
    >>> [(issue.path, issue.feature) for issue in context.issues]
    [('group/array', 'filter 305 (lzo)')]
    """

    group: str = ""
    selection: Selection = field(default_factory=Selection)
    chunk_bytes: int | None = None
    inline_below: int | None = None
    limits: Limits = field(default_factory=Limits)
    on_unsupported: OnUnsupported = "raise"
    progress: Progress = field(default_factory=SilentProgress)
    files: list[SourceFile] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    failures: list[ManifestryError] = field(default_factory=list)
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits)

    @classmethod
    def of(
        cls, *, group: str = "", include: Sequence[str] = (), exclude: Sequence[str] = (), **more: Any
    ) -> ParseContext:
        """A context for reading what no caller of `manifestry.parse` gave: what is in memory, for example.

        Parameters
        ----------
        include, exclude
            Names, paths or shell patterns of arrays and groups.
        **more
            The other attributes.
        """
        return cls(group=group.strip("/"), selection=Selection(tuple(include), tuple(exclude)), **more)

    def complete(self, tree: VirtualGroup) -> VirtualGroup:
        """A tree that was read in this context, validated, with the issues; for callers that read without `parse`.

        Raises
        ------
        ManifestryError
            Something was refused and is not to be left out, or an array contradicts itself.
        """
        from manifestry.model.validation import validate_tree  # noqa: PLC0415 numpy is slow to import

        self.raise_refusals()
        validate_tree(tree, self.limits)
        return tree.with_(issues=tuple(self.issues))

    def wants(self, path: str) -> bool:
        """Whether the array at `path` (relative to `group`) is to be parsed."""
        return self.selection.array(path)

    def wants_group(self, path: str) -> bool:
        """Whether the group at `path` may hold arrays that are wanted."""
        return self.selection.group(path)

    def isolate(self, path: str) -> Isolation:
        """Inside, a refused or malformed array costs itself only: the error becomes an issue of `path`."""
        return Isolation(self, path)

    def record(self, path: str, error: ManifestryError) -> None:
        """Keep an error as the issue, or issues, of `path`."""
        failure = error
        match error:
            case UnsupportedFeatureError() if error.issues:
                self.issues += error.issues
            case UnsupportedFeatureError():
                place = error.where if error.where != path else ""
                self.issues.append(Issue(path=path, feature=error.feature, message=place, hint=error.hint))
                failure = UnsupportedFeatureError(error.feature, error.where or path, error.hint or _REMEDY)
            case MalformedFileError() | ManifestError():
                message = str(error).removeprefix(f"{printable(path)}: ")
                feature = "malformed" if isinstance(error, MalformedFileError) else "contradictory references"
                self.issues.append(Issue(path=path, feature=feature, message=message))
                failure = type(error)(f"{path}: {message}" if path else message)
        if failure is not error:
            failure.__cause__ = error
        self.failures.append(failure)

    def refuse(self, path: str, feature: str, message: str = "", hint: str = "") -> None:
        """Record that `path` is left out, without leaving the current function."""
        self.issues.append(Issue(path=path, feature=feature, message=message, hint=hint))
        self.failures.append(UnsupportedFeatureError(feature, path, hint))

    def raise_refusals(self) -> None:
        """Raise what was refused, all in one error, unless the caller wants that left out.

        Raises
        ------
        UnsupportedFeatureError, MalformedFileError, ManifestError
            What was refused; with all issues in it where there are several.
        """
        if self.on_unsupported == "skip" or not self.failures:
            return
        if len(self.failures) == 1:
            raise self.failures[0]
        refused = [issue for issue in self.issues if issue.severity == "refused"]
        raise UnsupportedFeatureError(
            f"{len(refused)} parts cannot be expressed exactly", "", _REMEDY, refused
        ) from self.failures[0]

    def report(self, path: str, feature: str, message: str = "", hint: str = "") -> None:
        """Record something worth knowing that changes no value of any array."""
        self.issues.append(Issue(path=path, feature=feature, message=message, hint=hint, severity="reported"))


class Isolation:
    """What `ParseContext.isolate` returns: a context that keeps refusals of one array from costing the file."""

    def __init__(self, context: ParseContext, path: str) -> None:
        self._context = context
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        if not isinstance(error, UnsupportedFeatureError | MalformedFileError | ManifestError):
            return False
        self._context.record(self._path, error)
        return True


class NativeReader(Protocol):
    """Arrays of a source read by the format's own library: the oracle of `verify`."""

    def read(self, path: str, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """The raw (undecoded) elements of a region of the array at `path` of the parsed tree."""
        ...

    def close(self) -> None:
        """Release the source."""
        ...


class Parser(Protocol):
    """Reads a format's metadata and says where every chunk is.

    A parser that declares `Capability.NATIVE` also has ``open_native(source, options) -> NativeReader``.

    Examples
    --------
    A parser for files that are nothing but little-endian float64 numbers:

    >>> import numpy as np
    >>> from manifestry.model.manifest import ChunkManifest
    >>> from manifestry.model.codecs import serializer
    >>> from manifestry.model.metadata import ArrayMetadata, RegularGrid
    >>> from manifestry.model.tree import VirtualArray, VirtualGroup
    >>> class RawParser:
    ...     def parse(self, source, options, context):
    ...         n = source.size // 8
    ...         metadata = ArrayMetadata(
    ...             (n,), np.dtype("f8"), RegularGrid((n,)), (serializer(np.dtype("f8")),), 0.0, ("i",)
    ...         )
    ...         manifest = ChunkManifest.single(source.file, 0, 8 * n, (1,))
    ...         return VirtualGroup({"values": VirtualArray(metadata, manifest)})
    """

    def parse(self, source: Source, options: Any, context: ParseContext) -> VirtualGroup:
        """The tree of `source`.

        Raises
        ------
        MalformedFileError
            The source as a whole violates its format.
        UnsupportedFeatureError
            The source as a whole cannot be expressed. What concerns one array goes through ``context.isolate``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteContext:
    """What means the same for every writer.

    Attributes
    ----------
    on_unsupported
        The core calls `WriteSession.check` first; with ``"skip"`` it then leaves out what was refused.
    limits
        What may be copied into the output.
    progress
        Receives what happens.
    state
        What the caller read of the output, the order of its coordinate included; None: nothing was read.
    sources
        URLs of the sources, kept with what is written. Refused where others have added one of them since `state`.
    last
        Whether no commit of the same run follows: a tag, for example, goes with the last one.
    """

    on_unsupported: OnUnsupported = "raise"
    limits: Limits = field(default_factory=Limits)
    progress: Progress = field(default_factory=SilentProgress)
    state: OutputState | None = None
    sources: frozenset[str] = frozenset()
    last: bool = True


class WriteSession(Protocol):
    """One transaction: nothing is visible at the target before `commit`, and `abort` leaves it as it was.

    A session is used once: ``check``, then any number of ``write``, then ``commit`` or ``abort``.
    """

    def check(self, tree: VirtualGroup, at: Placement | None = None) -> Sequence[Issue]:
        """What of `tree` the format cannot hold, with the array and the codec or type named. Writes nothing."""
        ...

    def write(self, tree: VirtualGroup, at: Placement | None = None) -> None:
        """Stage a tree that `check` has nothing against."""
        ...

    def commit(self, metadata: Mapping[str, Any]) -> WriteReport:
        """Make what was staged visible at once, with `metadata` (JSON; provenance among it) stored with it."""
        ...

    def abort(self) -> None:
        """Forget what was staged. May be called at any time, also after a failed `commit`."""
        ...


class Writer(Protocol):
    """Stores trees in a format.

    One whose outputs others may continue at once also has ``state(target, options, dim) -> OutputState | None``: what an
    append along `dim` would continue, if anything. The ``details`` of its reports have the version of a commit as
    ``"snapshot"``, and the version that it follows as ``"base"``.

    Examples
    --------
    A writer that keeps what it is given in a list:

    >>> from manifestry.formats.report import WriteReport
    >>> class ListSession:
    ...     def __init__(self, target):
    ...         self.target, self.staged = target, []
    ...     def check(self, tree, at=None):
    ...         return []
    ...     def write(self, tree, at=None):
    ...         self.staged.append(tree)
    ...     def commit(self, metadata):
    ...         self.target.object.extend(self.staged)
    ...         return WriteReport.of(str(self.target), "list", self.staged)
    ...     def abort(self):
    ...         self.staged.clear()
    >>> class ListWriter:
    ...     def open(self, target, mode, options, context):
    ...         return ListSession(target)
    """

    def open(self, target: Target, mode: Mode, options: Any, context: WriteContext) -> WriteSession:
        """Begin a transaction; touches nothing yet.

        Raises
        ------
        TargetExistsError
            Something is there and `mode` does not allow to replace it, or it is no output of this format.
        """
        ...
