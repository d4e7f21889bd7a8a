"""A plugin of pytest for `mutate.py`: which lines of our sources each test reaches, by sys.monitoring (PEP 669)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

ROOT = str(Path(__file__).resolve().parent.parent)
TOOL = 4
reached: dict[str, set[int]] = defaultdict(set)


def _line(code: CodeType, number: int) -> object:
    path = code.co_filename
    if path.startswith(ROOT) and "/src/manifestry" in path:
        reached[path].add(number)
    return sys.monitoring.DISABLE  # until the next test


def pytest_configure() -> None:
    """Listen from here on."""
    sys.monitoring.use_tool_id(TOOL, "record_lines")
    sys.monitoring.register_callback(TOOL, sys.monitoring.events.LINE, _line)
    sys.monitoring.set_events(TOOL, sys.monitoring.events.LINE)


def pytest_unconfigure() -> None:
    """Stop before the interpreter takes its modules down."""
    sys.monitoring.set_events(TOOL, sys.monitoring.events.NO_EVENTS)
    sys.monitoring.register_callback(TOOL, sys.monitoring.events.LINE, None)
    sys.monitoring.free_tool_id(TOOL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Write down what one test reaches."""
    reached.clear()
    sys.monitoring.restart_events()
    began = time.monotonic()
    result = yield
    row = [item.nodeid, time.monotonic() - began, {path: sorted(lines) for path, lines in reached.items()}]
    with Path(f"{os.environ['RECORDED_LINES']}.{os.getpid()}").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    return result
