"""Files and directories that appear at once or not at all.

Local outputs are written beside their target under a name of their own, made durable, and renamed. Remote ones are
written to local scratch and uploaded at the end: an object appears when its upload is complete. Several objects cannot
appear at once: where some are replaced, all are uploaded beside them first, and copied by the store itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import obstore

from manifestry.errors import SourceError, TargetExistsError, WriteError
from manifestry.formats.targets import Mode, Target
from manifestry.publishing.claims import Claim, remove_leftovers, staging_path
from manifestry.storage.errors import source_errors
from manifestry.storage.objects import list_objects
from manifestry.storage.retrying import retry
from manifestry.storage.source import Source

__all__ = ["StagedDirectory", "StagedFile"]

_MULTIPART_BYTES: Final = 16 << 20
_PARTIAL: Final = "partial"
"""Ending of what is staged, and removed by the next writer when its own no longer runs."""
_PREVIOUS: Final = "previous"
"""Ending of what was there, while it is being replaced; nobody removes it."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


@contextmanager
def _write_errors(target: Target) -> Iterator[None]:
    """Inside, what the operating system says becomes `WriteError` naming the target."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"{target}: could not be written: {reason}; what was there is unchanged") from error


@contextmanager
def _write_durably(path: Path) -> Iterator[BinaryIO]:
    """A new file to write to, whose content is on the disk when the block ends."""
    with path.open("xb") as handle:
        yield handle
        handle.flush()
        os.fsync(handle.fileno())


def _place(target: Target) -> Path | None:
    """Where a local output really lies: what a link points at is replaced, not the link."""
    path = target.local_path
    return path if path is None or not path.is_symlink() else Path(os.path.realpath(path))


class _Staged:
    """What an output that appears at once has, a file or a directory.

    Parameters
    ----------
    target, mode
        Where it goes, and whether it may replace something.
    """

    def __init__(self, target: Target, mode: Mode) -> None:
        self._target, self._mode = target, mode
        self._place = _place(target)
        self._staged: Path | None = None
        self._claim: Claim | None = None

    def check(self, title: str, is_output: Callable[[Source], bool]) -> None:
        """Refuse a target that the mode does not allow to touch; to be asked before anything is staged.

        Parameters
        ----------
        title
            What an output of the format is called, for the message.
        is_output
            Whether something that exists is an output of the format.

        Raises
        ------
        TargetExistsError
            Something is there and may not be replaced.
        WriteError
            The directory that the target lies in does not exist.
        """
        target = self._target
        source = Source.at(target.url, target.stores)
        exists = source.exists() or source.is_prefix
        if exists and self._mode is Mode.CREATE:
            raise TargetExistsError(f"{target}: exists already; replace it with overwrite=True (--overwrite)")
        if exists and not is_output(source):
            raise TargetExistsError(f"{target}: is not a {title}, and is not replaced; choose another target")
        if self._place is not None and not self._place.parent.is_dir():
            raise WriteError(f"{target}: the directory {self._place.parent} does not exist")


class StagedFile(_Staged):
    """One file on its way to a target: `open` and write it, then `publish` it, or `discard` it.

    Parameters
    ----------
    target, mode
        Where it goes, and whether it may replace something.
    """

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file to write to; durable when the block ends."""
        path = self._place
        with _write_errors(self._target):
            if path is not None:
                remove_leftovers(path, _PARTIAL)
            self._staged = staging_path(path, _PARTIAL) if path is not None else Path(tempfile.mkdtemp()) / "output"
            with _write_durably(self._staged) as handle:
                self._claim = Claim(self._staged)
                yield handle

    def publish(self) -> None:
        """Put the file where it belongs, at once.

        Raises
        ------
        TargetExistsError
            Something has appeared there in the meantime.
        WriteError, SourceError
            It could not be done; what was there is unchanged.
        """
        assert self._staged is not None
        path = self._place
        if path is None:
            _upload(self._staged, self._target.url, self._target)
        else:
            with _write_errors(self._target):
                _move_file(self._staged, path, self._mode)
        self.discard()

    def discard(self) -> None:
        """Forget what was staged."""
        if self._claim is not None:
            self._claim.release()
        if self._staged is not None:
            with contextlib.suppress(OSError):  # on a file system that is read-only, even where it was never made
                self._staged.unlink()
            if self._place is None:
                shutil.rmtree(self._staged.parent, ignore_errors=True)
            self._staged = None


class StagedDirectory(_Staged):
    """A directory of files on its way to a target: write to files of it, then `publish` it, or `discard` it.

    Parameters
    ----------
    target, mode
        Where it goes, and whether it may replace something.
    last
        Name of the file that makes the directory an output: the last one uploaded to a remote target. Local ones need
        none.
    """

    def __init__(self, target: Target, mode: Mode, last: str = "") -> None:
        super().__init__(target, mode)
        self._last = last

    @property
    def path(self) -> Path:
        """The directory to write to; made when first asked for."""
        if self._staged is None:
            path = self._place
            with _write_errors(self._target):
                if path is None:
                    self._staged = Path(tempfile.mkdtemp())
                else:
                    remove_leftovers(path, _PARTIAL)
                    self._staged = staging_path(path, _PARTIAL)
                    self._staged.mkdir(parents=True)
                    self._claim = Claim(self._staged)
        return self._staged

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A new file of the directory to write to, at a path below it; durable when the block ends."""
        path = self.path / name
        with _write_errors(self._target):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _write_durably(path) as handle:
                yield handle

    def publish(self) -> None:
        """Put the directory where it belongs, a local one at once.

        A remote one has no content until its last file is there. What it replaces is there until the whole of the new
        one has been uploaded.

        Raises
        ------
        TargetExistsError
            Something has appeared there in the meantime.
        WriteError, SourceError
            It could not be done; a local target is unchanged.
        """
        path = self._place
        if path is None:
            self._upload()
        else:
            with _write_errors(self._target):
                _sync_directories(self.path)
                _move_directory(self.path, path, self._mode)
        self.discard()

    def discard(self) -> None:
        """Forget what was staged."""
        if self._claim is not None:
            self._claim.release()
        if self._staged is not None:
            shutil.rmtree(self._staged, ignore_errors=True)
            self._staged = None

    def _upload(self) -> None:
        """The last file comes last, and goes first when something is replaced, so that no reader mixes old and new."""
        root, url = self.path, self._target.url.rstrip("/")
        names = sorted(f.relative_to(root).as_posix() for f in root.rglob("*") if f.is_file())
        names.sort(key=lambda name: name == self._last)
        replaces = self._mode is Mode.OVERWRITE
        parent, _, base = url.rpartition("/")
        place = f"{parent}/.{base}.{secrets.token_hex(6)}.{_PARTIAL}" if replaces else url
        try:
            for name in names:
                _upload(root / name, f"{place}/{name}", self._target)
            if replaces:
                _delete_below(url, self._target, self._last)
                for name in names:
                    _copy(f"{place}/{name}", f"{url}/{name}", self._target)
        finally:
            if replaces:
                with contextlib.suppress(SourceError):  # what went wrong before counts
                    _delete_below(place, self._target, self._last)


def _move_file(staged: Path, path: Path, mode: Mode) -> None:
    if mode is Mode.OVERWRITE:
        staged.replace(path)
    else:
        _link(staged, path)
    _sync(path.parent)


def _link(staged: Path, path: Path) -> None:
    """Rename that never replaces; a hard link where there are such, since it fails when the name is taken."""
    try:
        path.hardlink_to(staged)
    except FileExistsError:
        raise TargetExistsError(f"{path}: has appeared while it was being written; it is unchanged") from None
    except OSError:
        if path.exists():
            raise TargetExistsError(f"{path}: has appeared while it was being written; it is unchanged") from None
        staged.replace(path)


def _move_directory(staged: Path, path: Path, mode: Mode) -> None:
    if mode is not Mode.OVERWRITE or not path.exists():
        try:
            staged.rename(path)  # takes the place of an empty directory, and of nothing else
        except OSError as error:
            if path.exists():
                raise TargetExistsError(f"{path}: has appeared while it was being written; it is unchanged") from error
            raise
        _sync(path.parent)
        return
    if _exchange(staged, path):
        _sync(path.parent)
        return
    old = staging_path(path, _PREVIOUS)
    path.rename(old)
    try:
        staged.rename(path)
    except OSError:
        old.rename(path)
        raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places at once, where the system can (Linux, on most file systems)."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _sync_directories(root: Path) -> None:
    for directory, _, _ in os.walk(root):
        _sync(Path(directory))


def _sync(path: Path) -> None:
    """Make the names in a directory durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _upload(staged: Path, url: str, target: Target) -> None:
    store, key = target.stores.resolve(url)
    with source_errors(url), staged.open("rb") as handle:

        def put() -> None:
            handle.seek(0)
            obstore.put(store, key, handle, use_multipart=staged.stat().st_size > _MULTIPART_BYTES)

        retry(url, target.stores.policy_of(url), put)


def _copy(url: str, to: str, target: Target) -> None:
    """Copy an object, inside the store."""
    store, key = target.stores.resolve(url)
    other = target.stores.resolve(to)[1]
    retry(to, target.stores.policy_of(to), lambda: obstore.copy(store, key, other))


def _delete_below(url: str, target: Target, first: str) -> None:
    store, key = target.stores.resolve(url)
    paths = [entry["path"] for entry in list_objects(url, target.stores)]
    for path in sorted(paths, key=lambda path: path != f"{key}/{first}"):
        retry(url, target.stores.policy_of(url), partial(obstore.delete, store, path))
