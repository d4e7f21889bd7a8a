"""A directory of Kerchunk Parquet, and whether something is one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from manifestry.plugin import MalformedFileError, Source, translated

__all__ = ["METADATA", "is_store", "read_json", "read_metadata"]

METADATA: Final = ".zmetadata"
_OWN_FILE: Final = re.compile(
    r"(?:.*/)?(?:\.z(?:metadata|group|attrs|array)|refs\.\d+\.parq|\.manifestry/provenance\.json)",
    re.DOTALL,  # a line feed may be part of a name
)


def read_metadata(source: Source) -> dict[str, Any]:
    """``.zmetadata`` of a store.

    Raises
    ------
    MalformedFileError
        It has no metadata or no record size.
    """
    child = source.child(METADATA)
    document = read_json(child)
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise MalformedFileError(f"{child.url}: has no metadata")
    record_size = document.get("record_size")
    if not isinstance(record_size, int) or record_size < 1:
        raise MalformedFileError(
            f"{child.url}: record_size is {record_size!r}, and must be a whole number of at least 1"
        )
    return document


def read_json(document: Source) -> Any:
    """A document of a store.

    Raises
    ------
    MalformedFileError
        It is no JSON.
    """
    with translated((ValueError, RecursionError), MalformedFileError, f"{document.url}: is not JSON"):
        return json.loads(document.range(0, document.size))


def is_store(source: Source) -> bool:
    """Whether something that exists is such a store and holds nothing else, so that it may be replaced."""
    if not source.is_prefix or METADATA not in source.list():
        return False
    try:
        read_metadata(source)
    except MalformedFileError:
        return False
    return source.local_path is None or _holds_only_own_files(source.local_path)


def _holds_only_own_files(root: Path) -> bool:
    files = (path for path in root.rglob("*") if path.is_symlink() or not path.is_dir())
    return all(_OWN_FILE.fullmatch(path.relative_to(root).as_posix()) for path in files)
