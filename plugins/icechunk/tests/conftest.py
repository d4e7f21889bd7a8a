"""Outputs are read in another process that cannot import manifestry, by the lines that the report prints."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest


class FreshReader:
    """One interpreter with icechunk, zarr and xarray, which runs the lines of reports in empty namespaces.

    The result of each is ``{"arrays": {path: (values, dims, attributes)}, "groups": {path: attributes}}``, with the
    values that xarray decodes under ``"decoded"``, or ``{"error": ...}``.
    """

    def __init__(self, directory):
        self.answer = directory / "answer.pickle"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", Path(__file__).with_name("fresh_reader.py"), self.answer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "ICECHUNK_LOG": "error"},
        )

    def read(self, *reports, env=None):
        lines = [report if isinstance(report, str) else report.reader for report in reports]
        self.process.stdin.write(json.dumps({"lines": lines, "env": env or {}}) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"
        results = pickle.loads(self.answer.read_bytes())
        return results[0] if len(reports) == 1 else results

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    reader = FreshReader(tmp_path_factory.mktemp("reader"))
    yield reader
    reader.close()


@pytest.fixture(scope="session", autouse=True)
def _quiet_icechunk():
    import icechunk

    icechunk.set_logs_filter("error")
