"""Outputs are read in fresh processes that cannot import manifestry, by the lines that the report prints."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

READER = Path(__file__).with_name("fresh_reader.py")


class FreshReader:
    """Runs the lines of reports in one new interpreter and brings back every array of each store.

    The result of each is ``{"arrays": {path: (values, dims, attributes)}, "groups": {path: attributes}}``, with the
    values of ``ds`` or ``tree`` of xarray under ``"decoded"``.
    """

    def __init__(self, directory):
        self.directory = directory

    def read(self, *reports, env=None):
        answer = self.directory / "answer.pickle"
        jobs = json.dumps([report if isinstance(report, str) else report.reader for report in reports])
        done = subprocess.run(
            [sys.executable, "-W", "ignore", READER, answer],
            input=jobs,
            text=True,
            capture_output=True,
            check=False,
            env={**os.environ, "ICECHUNK_LOG": "error", **(env or {})},
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results = pickle.loads(answer.read_bytes())
        return results[0] if len(reports) == 1 else results


@pytest.fixture(scope="session")
def reader_class():
    return FreshReader


@pytest.fixture
def fresh(tmp_path):
    return FreshReader(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _quiet_icechunk():
    import icechunk

    icechunk.set_logs_filter("error")
