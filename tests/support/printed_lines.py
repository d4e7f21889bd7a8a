"""Runs the lines that reports print, in a process that cannot import manifestry: what do they open?

Run as a script: ``python printed_lines.py arrays|views JOBS RESULTS``. JOBS is a JSON object of lines by name. RESULTS
becomes a pickle of what `read_printed`, or `view_printed`, returns.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from other_process import ask

__all__ = ["Opened", "View", "answers", "read_printed", "view_of", "view_printed"]

type Opened = tuple[str, dict[str, tuple[tuple[str, ...], Any]]]
"""What the last line opens (``ds``, ``tree``, ``datasets`` or ``root``), and dimensions and values of arrays by path; of what
cannot be opened ``"error"`` and the text of the error."""


type View = dict[str, tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Any, dict[str, Any], bool]]]]
"""Of each group by its path the attributes, and by name the dimensions, values and attributes of each variable, and whether
it is a coordinate."""

_CODECS: Final = "manifestry_codecs"
"""The one package of ours that readers may need."""


def read_printed(lines: Mapping[str, str], scratch: Path) -> dict[str, Opened]:
    """Run lines in another process, each in a namespace of its own; those that register codecs in a new one."""
    found: dict[str, Opened] = _run("arrays", lines, scratch)
    return found


def view_printed(lines: Mapping[str, str], scratch: Path) -> dict[str, View | str]:
    """As `read_printed`: everything that xarray shows of what the lines open, or the text of the error."""
    found: dict[str, View | str] = _run("views", lines, scratch)
    return found


def view_of(opened: Any) -> View:
    """Everything that xarray shows of a dataset, of a tree, or of datasets by group, decoded and loaded."""
    if hasattr(opened, "subtree"):
        groups = {node.path: node.to_dataset(inherit=False) for node in opened.subtree}
    else:
        groups = {"/": opened} if hasattr(opened, "data_vars") else opened
    return {path: (dict(dataset.attrs), _variables(dataset.load())) for path, dataset in groups.items()}


def _variables(dataset: Any) -> dict[str, Any]:
    return {
        str(name): (tuple(map(str, one.dims)), one.values, dict(one.attrs), name in dataset.coords)
        for name, one in dataset.variables.items()
    }


def _run(what: str, lines: Mapping[str, str], scratch: Path) -> Any:
    register = {name: text for name, text in lines.items() if "codecs" in text}
    others = {name: text for name, text in lines.items() if name not in register}
    found = ask("printed_lines.answers", what, others, kept=_CODECS) if others else {}
    return found | (_run_anew(what, register, scratch) if register else {})


def _run_anew(what: str, lines: Mapping[str, str], scratch: Path) -> Any:
    """In a process that ends: codecs that lines register are not there for those that forget to."""
    jobs, results = scratch / "lines.json", scratch / "lines.pickle"
    jobs.write_text(json.dumps(lines), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", __file__, what, str(jobs), str(results)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return pickle.loads(results.read_bytes())


def answers(what: str, lines: Mapping[str, str]) -> dict[str, Any]:
    """What `read_printed` (``arrays``) or `view_printed` (``views``) says, from this process."""
    answer = {"arrays": _open, "views": _view}[what]
    return {name: answer(text) for name, text in lines.items()}


def _open(lines: str) -> Opened:
    found: dict[str, Any] = {}
    try:
        exec(lines, found)
        for name, walk in (("ds", _dataset), ("tree", _tree), ("datasets", _datasets), ("root", _root)):
            if name in found:
                return name, dict(walk(found[name]))
    except Exception as error:
        return "error", {f"{type(error).__name__}: {error}": ((), None)}
    return "error", {"the lines open nothing": ((), None)}


def _view(lines: str) -> View | str:
    found: dict[str, Any] = {}
    try:
        exec(lines, found)
        return view_of(next(found[name] for name in ("ds", "tree", "datasets") if name in found))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _dataset(dataset: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, variable in dataset.variables.items():
        yield f"{path}/{name}".lstrip("/"), (tuple(map(str, variable.dims)), variable.values)


def _tree(tree: Any) -> Iterator[tuple[str, Any]]:
    for node in tree.subtree:
        yield from _dataset(node.to_dataset(inherit=False), node.path.strip("/"))


def _datasets(datasets: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, dataset in datasets.items():
        yield from _dataset(dataset, path.strip("/."))


def _root(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, member in group.members():
        at = f"{path}/{name}".lstrip("/")
        if hasattr(member, "shape"):
            yield at, ((), member[...])
        else:
            yield from _root(member, at)


def _main(what: str, jobs: str, results: str) -> None:
    from hidden_packages import hide_our_packages  # a script finds what is beside it

    hide_our_packages(_CODECS)
    found = answers(what, json.loads(Path(jobs).read_text(encoding="utf-8")))
    assert "manifestry" not in sys.modules
    Path(results).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    _main(*sys.argv[1:])
