"""What goes wrong on the command line: one line that says what to do, an exit code, and nothing written."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from manifestry.combine.options import CombineOptions
from manifestry.formats.loading import installed_formats
from manifestry.formats.options import describe_options

VALUES = np.arange(40, dtype="i4").reshape(10, 4)


def state_of(directory: Path) -> dict:
    """Every path below a directory with its content."""
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(directory.rglob("*"))}


def directory_of_nothing(tmp_path: Path, _toy) -> Path:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "readme.txt").write_text("hello")
    return tmp_path / "dir"


def made(name: str, data: bytes):
    def make(tmp_path: Path, _toy) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return make


def raw(**header):
    return lambda tmp_path, toy: toy.raw_file(tmp_path / "a.raw", VALUES, **header)


def truncated(tmp_path: Path, toy) -> Path:
    path = toy.raw_file(tmp_path / "a.raw", VALUES)
    os.truncate(path, path.stat().st_size - 1)
    return path


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        (lambda tmp_path, _: tmp_path / "missing.raw", 5, "missing.raw: does not exist"),
        (directory_of_nothing, 3, "a directory of no known format; tried: box, crate, plain, raw"),
        (made("empty.raw", b""), 5, "empty.raw: the file is empty"),
        (made("notes.raw", b"just text\n" * 9), 3, "no known format; it begins with 6a 75 .*choose one with .*--from"),
        (made("x.nc", b"\x89HDF\r\n\x1a\n" + bytes(600)), 3, "this is hdf5, .*pip install manifestry-hdf5"),
        (made("bad.raw", b"RAWF{no json\n"), 1, "bad.raw: the header at byte 4 is no JSON"),
        (truncated, 1, r"truncated: \d+ of \d+ bytes"),
        (raw(refuse=["w"]), 4, r"w: wobble coding \(rewrite it without\)"),
        (raw(crash=True), 6, "the parser unknown:raw 0 failed: KeyError: 'boom'"),
        (raw(interrupt=True), 130, "interrupted"),
        (lambda *_: "ftp://host/x.raw", 5, "no store for ftp:// URLs"),
        (lambda *_: "memory://x/y.raw", 5, "no store was given"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_sources_that_cannot_be_had(cli, toy_formats, tmp_path, command, source, code, message):
    given = source(tmp_path, toy_formats)
    before = state_of(tmp_path)
    target = [tmp_path / "out.box"] if command == "convert" else ["--on-unsupported", "raise"]
    found, out, err = cli(command, given, *target)
    assert (found, out) == (code, "")
    assert re.search(message, err)
    lines = err.removeprefix("\n").splitlines()  # click ends the line on which a terminal shows ^C
    assert len(lines) == 1
    assert lines[0].startswith("manifestry: ")
    assert state_of(tmp_path) == before


def test_several_refusals_are_all_listed(cli, toy_formats, tmp_path):
    path = raw(refuse=["w", "z"])(tmp_path, toy_formats)
    code, _, err = cli("convert", path, tmp_path / "out.box")
    assert code == 4
    assert "  w: wobble coding" in err
    assert "  z: wobble coding" in err
    assert "--on-unsupported skip" in err
    code, out, _ = cli("convert", path, tmp_path / "out.box", "--json")
    error = json.loads(out)["error"]
    assert (code, error["type"], [i["path"] for i in error["issues"]]) == (4, "UnsupportedFeatureError", ["w", "z"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--oo", "row=2"], 2, "raw has no option 'row'; did you mean 'rows'?; there are: name, rows"),
        (["--oo", "rows=two"], 2, "raw: rows: Expected `int`, got `str`; it takes integer"),
        (["--oo", "rows=0"], 2, "raw: rows: Expected `int` >= 1"),
        (
            ["--oo", "inline_belov=2"],
            2,
            "raw has no option 'inline_belov'; did you mean 'inline_below'?; there are: name",
        ),
        (["--oo", "include=v", "--include", "v"], 2, "include: is given twice"),
        (
            ["--oo", "format=raw"],
            2,
            "raw has no option 'format'; there are: name, rows; for every format: allow, chunk_bytes, ",
        ),
        (["--co", "level=2"], 2, "box has no option 'level'; it has none"),
        (
            ["--combine", "compat=near"],
            2,
            "--combine: compat: Invalid enum value 'near'; it takes 'close' or 'equals' or",
        ),
        (["--combine", "on-conflict=drop"], 2, "--combine has no option 'on-conflict'; did you mean 'on_conflict'?"),
        (["--include", "nothing"], 2, "include: 'nothing' matches no array"),
        (["--from", "hdf5"], 3, "no parser named 'hdf5'"),
        (["--to", "icechunk"], 3, "no writer named 'icechunk'"),
    ],
)
def test_options_that_are_not_allowed(cli, toy_formats, tmp_path, arguments, code, message):
    path = raw()(tmp_path, toy_formats)
    before = state_of(tmp_path)
    found, out, err = cli("convert", path, tmp_path / "out.box", *arguments)
    assert (found, out) == (code, "")
    assert re.search(message.replace("?", r"\?"), err)
    assert err.count("\n") == 1
    assert state_of(tmp_path) == before


def test_the_target_is_what_is_missing(cli, toy_formats, tmp_path):
    code, _, err = cli("convert", raw()(tmp_path, toy_formats))
    assert code == 2
    assert "Missing argument 'DST': sources come first" in err


def test_usage_errors_are_documents_too(cli):
    code, out, err = cli("convert", "--json", "--frob")
    error = json.loads(out)["error"]
    assert (code, error["type"]) == (2, "NoSuchOption")
    assert error["message"] in err


def test_combine_options_are_in_the_help(cli):
    text = " ".join(cli("convert", "--help")[1].split())
    for option in describe_options(CombineOptions):
        choice = option.default if isinstance(option.default, str) else ""
        assert f" {option.name}={choice}" in text
        assert f"{option.usage} {option.description.split()[0]}" in text


def test_traceback_only_when_asked_for(cli, toy_formats, tmp_path):
    path = raw(crash=True)(tmp_path, toy_formats)
    assert "Traceback" not in cli("inspect", path)[2]
    code, _, err = cli("inspect", path, "-v")
    assert code == 6
    assert "Traceback (most recent call last)" in err
    assert 'raise KeyError("boom")' in err
    assert err.splitlines()[-1].startswith("manifestry: ")


def test_a_defect_is_one_line_too(cli, toy_formats, tmp_path, monkeypatch):
    monkeypatch.setattr("manifestry.cli.inspect.describe", lambda *_: 1 // 0)
    path = raw()(tmp_path, toy_formats)
    code, out, err = cli("inspect", path)
    assert (code, out) == (1, "")
    assert (
        err
        == "manifestry: this is a defect of manifestry, please report it: ZeroDivisionError: integer division or modulo by zero\n"
    )
    assert "Traceback" in cli("inspect", path, "-v")[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ended_from_outside(toy_formats, tmp_path, number, code):
    source = raw(sleep=str(tmp_path / "reading"))(tmp_path, toy_formats)
    program = [sys.executable, Path(__file__).with_name("toy_formats.py"), "convert", source, tmp_path / "o.box"]
    with subprocess.Popen(list(map(str, program)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (tmp_path / "reading").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.strip() == (b"manifestry: interrupted" if code == 130 else b"")
    assert not (tmp_path / "o.box").exists()


WRITERS = {"icechunk": ".icechunk", "kerchunk-json": ".json", "kerchunk-parquet": ".parq"}


@pytest.fixture
def real_source(tmp_path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("v", data=VALUES, chunks=(2, 4))
    return tmp_path / "a.h5"


@pytest.fixture(params=WRITERS)
def real_writer(request) -> str:
    if request.param not in installed_formats().writers or "hdf5" not in installed_formats().parsers:
        pytest.skip("not installed")
    return request.param


def test_existing_target_of_every_writer(cli, real_source, real_writer, tmp_path):
    target = tmp_path / f"out{WRITERS[real_writer]}"
    assert cli("convert", real_source, target)[0] == 0
    before = state_of(target) if target.is_dir() else target.read_bytes()
    code, out, err = cli("convert", real_source, target)
    assert (code, out) == (5, "")
    assert "--overwrite" in err
    assert err.count("\n") == 1
    assert (state_of(target) if target.is_dir() else target.read_bytes()) == before


def test_target_that_is_something_else_is_never_replaced(cli, real_source, real_writer, tmp_path):
    target = tmp_path / f"out{WRITERS[real_writer]}"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    before = state_of(tmp_path)
    code, out, err = cli("convert", real_source, target, "--overwrite")
    assert (code, out) == (5, "")
    assert err.count("\n") == 1
    assert state_of(tmp_path) == before


def test_unwritable_target_of_every_writer(cli, real_source, real_writer, tmp_path):
    (tmp_path / "file").write_text("no directory")
    before = state_of(tmp_path)
    code, out, err = cli("convert", real_source, tmp_path / "file" / f"out{WRITERS[real_writer]}")
    assert (code, out) == (5, "")
    assert err.count("\n") == 1
    assert state_of(tmp_path) == before


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_damaged_hdf5(cli, real_source, tmp_path, damage):
    if "hdf5" not in installed_formats().parsers:
        pytest.skip("not installed")
    if damage == "text":
        real_source.write_text("just text\n" * 100)
    else:
        os.truncate(real_source, 1000)
    before = state_of(tmp_path)
    code, out, err = cli("convert", real_source, tmp_path / "out.json")
    assert (code, out) == ({"text": 3, "truncated": 1}[damage], "")
    assert str(real_source) in err
    assert err.count("\n") == 1
    assert state_of(tmp_path) == before
