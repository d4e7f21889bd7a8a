"""Files and directories that appear at once or not at all.

Local outputs are written beside their target under a name of their own, made durable, and renamed. Remote ones are
written to local scratch and uploaded at the end: an object appears when its upload is complete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import obstore

from manifestry.errors import TargetExistsError, WriteError
from manifestry.formats.contracts import Mode, Target
from manifestry.storage.faults import source_errors
from manifestry.storage.source import Source

__all__ = ["StagedDirectory", "StagedFile", "check_target", "write_durably", "write_errors"]

_MULTIPART_BYTES = 16 << 20


@contextmanager
def write_errors(target: Target) -> Iterator[None]:
    """Inside, what the operating system says becomes `WriteError` naming the target."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"{target}: could not be written: {reason}; what was there is unchanged") from error


@contextmanager
def write_durably(path: Path) -> Iterator[BinaryIO]:
    """A new file to write to, whose content is on the disk when the block ends."""
    with path.open("xb") as handle:
        yield handle
        handle.flush()
        os.fsync(handle.fileno())


def check_target(target: Target, mode: Mode, title: str, is_output: Callable[[Source], bool]) -> None:
    """Refuse a target that `mode` does not allow to touch.

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
    source = Source.at(target.url, target.stores)
    there = source.exists() or source.is_prefix
    if there and mode is Mode.CREATE:
        raise TargetExistsError(f"{target}: exists already; replace it with overwrite=True (--overwrite)")
    if there and not is_output(source):
        raise TargetExistsError(f"{target}: is no {title}, and is not replaced; choose another target")
    path = target.local_path
    if path is not None and not path.parent.is_dir():
        raise WriteError(f"{target}: the directory {path.parent} does not exist")


class StagedFile:
    """One file on its way to a target."""

    def __init__(self, target: Target, mode: Mode) -> None:
        self._target, self._mode = target, mode
        self._staged: Path | None = None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file to write to; durable when the block ends."""
        path = self._target.local_path
        with write_errors(self._target):
            self._staged = _sibling(path) if path is not None else Path(tempfile.mkdtemp()) / "output"
            with write_durably(self._staged) as handle:
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
        path = self._target.local_path
        if path is None:
            _upload(self._staged, self._target.url, self._target)
        else:
            with write_errors(self._target):
                _move_file(self._staged, path, self._mode)
        self.discard()

    def discard(self) -> None:
        """Forget what was staged."""
        if self._staged is not None:
            self._staged.unlink(missing_ok=True)
            if self._target.local_path is None:
                shutil.rmtree(self._staged.parent, ignore_errors=True)
            self._staged = None


class StagedDirectory:
    """A directory of files on its way to a target.

    Parameters
    ----------
    last
        Name of the file that makes the directory an output: the last one uploaded to a remote target.
    """

    def __init__(self, target: Target, mode: Mode, last: str) -> None:
        self._target, self._mode, self._last = target, mode, last
        self._staged: Path | None = None

    @property
    def path(self) -> Path:
        """The directory to write to; made when first asked for."""
        if self._staged is None:
            path = self._target.local_path
            with write_errors(self._target):
                if path is None:
                    self._staged = Path(tempfile.mkdtemp())
                else:
                    self._staged = _sibling(path)
                    self._staged.mkdir()
        return self._staged

    def publish(self) -> None:
        """Put the directory where it belongs. A remote output has no valid content until its last file is there.

        Raises
        ------
        TargetExistsError
            Something has appeared there in the meantime.
        WriteError, SourceError
            It could not be done; a local target is unchanged.
        """
        path = self._target.local_path
        if path is None:
            self._upload()
        else:
            with write_errors(self._target):
                _sync_directories(self.path)
                _move_directory(self.path, path, self._mode)
        self.discard()

    def discard(self) -> None:
        """Forget what was staged."""
        if self._staged is not None:
            shutil.rmtree(self._staged, ignore_errors=True)
            self._staged = None

    def _upload(self) -> None:
        """The last file goes first when something is replaced, so that no reader mixes old and new."""
        root, url = self.path, self._target.url.rstrip("/")
        names = sorted(f.relative_to(root).as_posix() for f in root.rglob("*") if f.is_file())
        if self._mode is Mode.OVERWRITE:
            _delete_below(url, self._target, self._last)
        for name in sorted(names, key=lambda name: name == self._last):
            _upload(root / name, f"{url}/{name}", self._target)


def _sibling(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.partial")


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
    if path.exists() and mode is not Mode.OVERWRITE:
        raise TargetExistsError(f"{path}: has appeared while it was being written; it is unchanged")
    if not path.exists():
        staged.rename(path)
        _sync(path.parent)
        return
    old = _sibling(path)
    path.rename(old)
    try:
        staged.rename(path)
    except OSError:
        old.rename(path)
        raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


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
        obstore.put(store, key, handle, use_multipart=staged.stat().st_size > _MULTIPART_BYTES)


def _delete_below(url: str, target: Target, first: str) -> None:
    store, key = target.stores.resolve(url)
    with source_errors(url):
        found = [entry["path"] for batch in obstore.list(store, prefix=f"{key}/") for entry in batch]
        for path in sorted(found, key=lambda path: path != f"{key}/{first}"):
            obstore.delete(store, path)
