"""Every Python block of the README and of the docs runs, page by page, in a directory that holds the samples.

A block with ``title="path"`` is a file that the page describes: it is put there instead. A page that has a
``pyproject.toml`` describes a package, which is then importable from ``src`` with its entry points.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> str:
    """The page as one program: all blocks at the lines where they stand; `no-run` in the fence needs a reason there."""
    text = page.read_text()
    program = [""] * (text.count("\n") + 1)
    for match in BLOCK.finditer(text):
        if "title=" in match[1]:
            continue
        if "no-run" in match[1]:
            assert "reason=" in match[1], f"{page}: no-run without a reason"
            continue
        first = text.count("\n", 0, match.start(2))
        lines = match[2].splitlines()
        program[first : first + len(lines)] = lines
    return "\n".join(program)


def put_files(page: Path, place: Path) -> None:
    """Write the files that a page describes, and what an installer would write for its package."""
    for name, content in FILE.findall(page.read_text()):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    if (place / "pyproject.toml").exists():
        project = tomllib.loads((place / "pyproject.toml").read_text())["project"]
        info = place / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        lines = [
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items())
            for group, e in project["entry-points"].items()
        ]
        info.joinpath("entry_points.txt").write_text("\n".join(lines))


RUNNABLE = [page for page in PAGES if blocks(page).strip()]


def test_there_are_pages_to_run():
    assert ROOT / "README.md" in RUNNABLE


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page, tmp_path):
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    put_files(page, tmp_path)
    program = tmp_path / f"{page.stem.replace('-', '_')}_page.py"
    # A page is a program that may start processes, which import it again: the guard that every script needs.
    body = "\n".join("    " + line if line else "" for line in blocks(page).splitlines())
    program.write_text(f"if __name__ == '__main__':\n{body}\n")
    done = subprocess.run(
        [sys.executable, program.name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
