"""The commands: what they print, as text, tables, JSON and HTML."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
from manifestry.cli.application import COMMANDS
from manifestry.cli.output import human_bytes
from manifestry.errors import printable
from manifestry.reading import CommonOptions

BY = "\N{MULTIPLICATION SIGN}"
VALUES = np.arange(40, dtype="i4").reshape(10, 4)


@pytest.fixture
def raw(toy_formats, tmp_path):
    """A raw file with attributes."""
    attributes = {"title": "Größe <b>bold</b>", "\x1b[31m": "steers the terminal"}
    return toy_formats.raw_file(tmp_path / "a.raw", VALUES, attributes=attributes, own={"units": "K", "n": [1, 2]})


def document(text: str) -> dict:
    found = json.loads(text)
    assert found.pop("schema_version") == 1
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(cli, command):
    code, out, err = cli(command, "--help")
    assert (code, err) == (0, "")
    assert "--json" in out
    assert "--verbose" in out


def test_program_help_lists_the_commands_and_exit_codes(cli):
    code, out, _ = cli("--help")
    assert code == 0
    assert [c for c in COMMANDS if re.search(rf"^  {c} ", out, re.MULTILINE)] == list(COMMANDS)
    assert "130 interrupted" in out
    assert cli("--version") == (0, f"manifestry, version {mf.__version__}\n", "")


def test_a_command_that_is_none_is_answered_with_the_one_that_was_meant(cli):
    assert cli("convrt")[0] == 2
    assert "No such command 'convrt'. Did you mean 'convert'?" in cli("convrt")[2]
    assert "Did you mean" not in cli("zzz")[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("manifestry ins", ["plain,inspect"]),
        ("manifestry convert --fr", ["plain,--from"]),
        ("manifestry convert --from plai", ["plain,plain"]),
        ("manifestry convert --to cr", ["plain,crate"]),
        ("manifestry verify --from bo", ["plain,box"]),
        ("manifestry inspect fil", ["file,fil"]),
        ("manifestry convert a.nc fil", ["file,fil"]),
    ],
)
def test_the_shell_completes(words, expected):
    place = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_MANIFESTRY_COMPLETE": "bash_complete"}
    with toy_process(env=os.environ | place, stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate()[0].split() == expected


class TestInfo:
    def test_versions_and_no_secrets(self, cli, monkeypatch):
        monkeypatch.setenv("MANIFESTRY_SECRET", "hidden")
        code, out, _ = cli("info")
        assert code == 0
        assert f"manifestry  {mf.__version__}" in out
        assert re.search(r"^  numpy +\d", out, re.MULTILINE)
        assert "MANIFESTRY_SECRET" in out
        assert "hidden" not in out
        found = document(cli("info", "--json")[1])
        assert found["system"]["manifestry"] == mf.__version__
        assert found["packages"]["numpy"] == np.__version__

    def test_the_module_is_the_program(self):
        done = subprocess.run(
            [sys.executable, "-m", "manifestry", "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"manifestry, version {mf.__version__}\n"


class TestConvert:
    def test_says_what_was_written_and_how_to_open_it(self, cli, raw, tmp_path):
        code, out, err = cli("convert", raw, tmp_path / "a.box")
        assert (code, err) == (0, "")
        assert out.startswith(f"{tmp_path}/a.box (box): wrote 1 array, 10 references to 160 B, 0 chunks inlined\n")
        assert out.endswith("open it with:\n\nopen(...)\n")
        assert mf.parse(tmp_path / "a.box").arrays["v"] == mf.parse(raw).arrays["v"]

    def test_json(self, cli, raw, tmp_path):
        code, out, err = cli("convert", raw, tmp_path / "a.box", "--json")
        assert (code, err) == (0, "")
        report = document(out)["report"]
        assert report["written"]["references"] == 10
        assert [source["status"] for source in report["sources"]] == ["written"]

    def test_options_reach_the_parser(self, cli, raw, tmp_path):
        assert cli("convert", raw, tmp_path / "a.box", "--oo", "rows=5", "--oo", "name=w=1", "--include", "w*")[0] == 0
        assert mf.parse(tmp_path / "a.box").arrays["w=1"].metadata.chunk_shape == (5, 4)

    def test_relocate(self, cli, raw, tmp_path):
        assert cli("convert", raw, tmp_path / "a.box", "--relocate", f"file://{tmp_path}=s3://bucket/x")[0] == 0
        assert mf.parse(tmp_path / "a.box").files.urls == ("s3://bucket/x/a.raw",)

    def test_dry_run_writes_nothing(self, cli, raw, tmp_path):
        before = sorted(tmp_path.iterdir())
        code, out, _ = cli("convert", raw, tmp_path / "a.box", "--dry-run")
        assert code == 0
        assert "(box): would write 1 array, 10 references" in out
        assert "open it with" not in out
        assert sorted(tmp_path.iterdir()) == before

    def test_overwrite(self, cli, raw, tmp_path):
        (tmp_path / "a.box").write_bytes(b"BOXF")
        assert cli("convert", raw, tmp_path / "a.box")[0] == 5
        assert cli("convert", raw, tmp_path / "a.box", "--overwrite")[0] == 0

    def test_skipping_lists_what_was_left_out(self, cli, toy_formats, tmp_path):
        source = toy_formats.raw_file(tmp_path / "a.raw", VALUES, refuse=["w"])
        code, out, _ = cli("convert", source, tmp_path / "a.box", "--on-unsupported", "skip")
        assert code == 0
        assert "refused: w: wobble coding (rewrite it without)" in out

    def test_sources_that_fail_are_left_out_on_request(self, cli, raw, toy_formats, tmp_path):
        bad = tmp_path / "b.raw"
        bad.write_bytes(b"RAWF{")
        given = ("convert", raw, bad, tmp_path / "a.box", "--concat-dim", "y")
        assert cli(*given)[0] == 1
        assert not (tmp_path / "a.box").exists()
        code, out, err = cli(*given, "--on-error", "skip")
        assert code == 1
        assert "wrote 1 array, 10 references" in out
        assert f"left out: file://{bad}: " in err

    def test_forced_formats(self, cli, raw, tmp_path):
        target = tmp_path / "no-ending"
        assert cli("convert", raw, target)[0] == 3
        assert cli("convert", raw, target, "--from", "plain", "--to", "box")[0] == 0
        assert mf.parse(target).provenance[0].parser == "plain"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--append", "--overwrite"], "exclude each other"),
            (["--append"], "--append needs --concat-dim"),
            (["-j", "2", "--dask", "tcp://nowhere:1"], "-j and --dask exclude each other"),
            (["-j", "0"], "-j"),
            (["--verify", "some"], "neither a number of chunks nor 'all'"),
            (["--verify", "0"], "neither a number of chunks nor 'all'"),
            (["--on-unsupported", "maybe"], "maybe"),
            (["--oo", "rows"], "--oo takes KEY=VALUE, not 'rows'"),
            (["--co", "=1"], "--co takes KEY=VALUE, not '=1'"),
            (["--relocate", "a=b", "--relocate", "a=c"], "--relocate a is given twice"),
            (["--combine", "hope=1"], "--combine has no option 'hope'"),
            (["--nonsense"], "No such option"),
        ],
    )
    def test_usage(self, cli, raw, tmp_path, arguments, message):
        code, out, err = cli("convert", raw, tmp_path / "a.box", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert not (tmp_path / "a.box").exists()


class TestInspect:
    def test_table(self, cli, raw):
        code, out, err = cli("inspect", raw)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0] == f"file://{raw}"
        assert lines[1].startswith("raw, 1 array in 1 file, ")
        header = next(i for i, line in enumerate(lines) if line.startswith("array "))
        assert " ".join(lines[header].split()) == "array dimensions type chunk shape encoding chunks stored ratio"
        assert " ".join(lines[header + 1].split()) == f"v y 10 {BY} x 4 int32 1 {BY} 4 10 160 B 1.0"
        assert lines[-1] == "4 attributes, shown by --attributes"
        code, out, err = cli("inspect", raw, "--attributes")
        lines = out.splitlines()
        assert (code, err) == (0, "")
        assert 'title = "Größe <b>bold</b>"' in out
        assert '  units = "K"' in lines
        assert "  n = [1, 2]" in lines
        assert "\x1b" not in out
        assert r"\x1b[31m" in out

    def test_what_stands_for_no_value_is_a_column(self, cli, toy_formats, tmp_path):
        source = toy_formats.raw_file(tmp_path / "a.raw", VALUES, own={"_FillValue": -9})
        lines = cli("inspect", source)[1].splitlines()
        (header,) = [line for line in lines if line.startswith("array ")]
        assert header.endswith("nodata")
        assert lines[lines.index(header) + 1].endswith(" -9")

    def test_systems_are_said_by_code_and_long_texts_once(self, cli, toy_formats, tmp_path):
        wkt = 'GEOGCRS["WGS 84",' + "x" * 200 + ',ID["EPSG",4326]]'
        source = toy_formats.raw_file(
            tmp_path / "a.raw", VALUES, attributes={"crs_wkt": wkt}, own={"spatial_ref": wkt, "proj:code": "EPSG:4326"}
        )
        code, out, _ = cli("inspect", source, "--attributes")
        assert code == 0
        assert out.splitlines()[2] == "coordinate system: EPSG:4326, WGS 84"
        assert out.count("GEOGCRS") == 1
        assert "  spatial_ref: as crs_wkt of /" in out.splitlines()

    def test_a_line_for_each_file(self, cli, raw, toy_formats, tmp_path):
        other = toy_formats.raw_file(tmp_path / "b.raw", VALUES, refuse=["w"], own={"_FillValue": 3})
        (tmp_path / "c.raw").write_bytes(b"no format")
        code, out, err = cli("inspect", "--short", raw, tmp_path / "c.raw", other)
        first, failed, second = map(json.loads, out.splitlines())
        assert (code, err) == (3, "")
        assert first["source"] == f"file://{raw}"
        assert first["arrays"]["v"]["shape"] == [10, 4]
        assert first["arrays"]["v"]["bytes_stored"] == 160
        assert "attributes" not in first["arrays"]["v"]
        assert failed["error"]["type"] == "UnknownFormatError"
        assert (second["refused"], second["arrays"]["v"]["nodata"]) == (1, 3)

    def test_several_files_need_short(self, cli, raw, tmp_path):
        code, _, err = cli("inspect", raw, raw)
        assert code == 2
        assert "--short" in err
        code, _, err = cli("inspect", raw, "--short", "--html", tmp_path / "a.html")
        assert code == 2
        assert not (tmp_path / "a.html").exists()

    def test_json(self, cli, raw):
        code, out, _ = cli("inspect", raw, "--json", "--oo", "rows=2")
        found = document(out)
        assert code == 0
        assert found["format"] == "raw"
        assert found["options"] == {"rows": 2}
        (array,) = found["arrays"]
        assert array["shape"] == [10, 4]
        assert array["dims"] == ["y", "x"]
        assert array["data_type"] == "int32"
        assert array["chunk_shape"] == [2, 4]
        assert array["chunks"] == array["chunks_stored"] == 5
        assert array["bytes"] == array["bytes_stored"] == 160
        assert array["ratio"] == 1.0
        assert array["codecs"] == [{"name": "bytes", "configuration": {"endian": "little"}}]
        assert array["attributes"] == {"units": "K", "n": [1, 2]}
        assert found["groups"][0]["attributes"]["title"].startswith("Größe")

    def test_chunks(self, cli, raw):
        code, out, _ = cli("inspect", raw, "--chunks", "v")
        first = mf.parse(raw).arrays["v"].manifest[0, 0]
        lines = out.splitlines()
        assert code == 0
        assert len(lines) == 11
        assert lines[1].split() == ["0.0", str(first.offset), "16", f"file://{raw}"]
        found = document(cli("inspect", raw, "--chunks", "v", "--json")[1])
        assert found["chunks"][9] == {
            "chunk": "9.0",
            "file": f"file://{raw}",
            "offset": first.offset + 144,
            "length": 16,
        }

    def test_chunks_of_no_array(self, cli, raw):
        code, _, err = cli("inspect", raw, "--chunks", "w")
        assert code == 2
        assert "--chunks: w is not an array of the source; there are: v" in err

    def test_what_was_refused_is_listed(self, cli, toy_formats, tmp_path):
        source = toy_formats.raw_file(tmp_path / "a.raw", VALUES, refuse=["w", "z"])
        code, out, _ = cli("inspect", source)
        assert code == 0
        assert "refused: w: wobble coding (rewrite it without)" in out
        assert cli("inspect", source, "--on-unsupported", "raise")[0] == 4
        assert [i["path"] for i in document(cli("inspect", source, "--json")[1])["issues"]] == ["w", "z"]

    def test_page_needs_nothing_and_escapes_everything(self, cli, raw, tmp_path):
        page = tmp_path / "page.html"
        code, out, err = cli("inspect", raw, "--html", page)
        text = page.read_text()
        assert (code, out) == (0, "")
        assert str(page) in err
        assert "Größe &lt;b&gt;bold" in text
        assert "<b>" not in text
        assert not re.search(r"(src|href)=|@import|url\(", text)
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []

    def test_page_that_cannot_be_written(self, cli, raw, tmp_path):
        code, _, err = cli("inspect", raw, "--html", tmp_path / "none" / "page.html")
        assert code == 5
        assert "could not be written" in err

    def test_page_replaces_only_a_page(self, cli, raw, tmp_path):
        page, other = tmp_path / "page.html", tmp_path / "other.raw"
        for _ in range(2):
            assert cli("inspect", raw, "--html", page)[0] == 0
        for content in (b"", b"<!doctype html>\n<p>mine", raw.read_bytes()):
            other.write_bytes(content)
            code, out, err = cli("inspect", raw, "--html", other)
            assert (code, out, other.read_bytes()) == (5, "", content)
            assert err == (
                f"manifestry: {other}: is not a page of manifestry inspect, and is not replaced; "
                "choose another file, or say --overwrite\n"
            )
        assert cli("inspect", raw, "--html", other, "--overwrite")[0] == 0
        assert other.read_bytes() == page.read_bytes()

    @pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
    def test_only_regular_files_are_replaced_by_a_page(self, cli, raw, tmp_path, overwrite):
        pipe, directory, link = tmp_path / "pipe", tmp_path / "directory", tmp_path / "link"
        os.mkfifo(pipe)
        directory.mkdir()
        link.symlink_to(pipe)
        for path in (pipe, directory, link, "/dev/null"):
            code, _, err = cli("inspect", raw, "--html", path, *overwrite)
            assert (code, "is not a regular file" in err) == (5, True), err
        assert pipe.is_fifo()

    def test_page_never_replaces_its_source(self, cli, raw, tmp_path):
        before = raw.read_bytes()
        symbolic, hard = tmp_path / "symbolic.html", tmp_path / "hard.html"
        symbolic.symlink_to(raw)
        hard.hardlink_to(raw)
        for page in (raw, symbolic, hard, tmp_path / "none" / ".." / raw.name):
            code, _, err = cli("inspect", raw, "--html", page, "--overwrite")
            assert (code, raw.read_bytes()) == (2, before)
            assert "is the source" in err

    def test_page_through_a_link(self, cli, raw, tmp_path):
        link, page = tmp_path / "link.html", tmp_path / "page.html"
        link.symlink_to(page)
        assert cli("inspect", raw, "--html", link)[0] == 0
        assert link.is_symlink()
        assert page.read_text().startswith("<!doctype html>")


class TestFormats:
    def test_list(self, cli, toy_formats):
        code, out, _ = cli("formats")
        assert code == 0
        rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:]}
        assert rows["raw"][:2] == ["yes", ".raw"]
        assert rows["box"][:3] == ["yes", "yes", ".box"]

    def test_one_lists_its_own_and_the_common_options(self, cli, toy_formats):
        code, out, _ = cli("formats", "raw")
        assert code == 0
        assert re.search(r"^--oo rows= +integer +1 +Rows of a chunk\.$", out, re.MULTILINE)
        for name in CommonOptions.__struct_fields__:
            assert f"--oo {name}=" in out
        found = document(cli("formats", "raw", "--json")[1])["formats"][0]
        assert found["read"]["options"][0]["name"] == "rows"
        assert found["write"] is None

    def test_unknown(self, cli, toy_formats):
        code, _, err = cli("formats", "hdf5")
        assert code == 3
        assert "no parser named 'hdf5'; there are: box, crate, plain, raw; pip install manifestry-hdf5" in err


class TestPlugins:
    @pytest.fixture
    def broken(self, toy_formats, monkeypatch):
        from manifestry.formats import loading

        monkeypatch.setattr(loading, "entry_points", lambda group: toy_formats.entries(("bad", "no_such_module_here")))
        loading.installed_formats.cache_clear()

    def test_state_and_reason(self, cli, broken):
        code, out, err = cli("plugins")
        rows = {line.split()[0]: line for line in out.splitlines()[1:]}
        assert code == 0
        assert "ModuleNotFoundError: No module named 'no_such_module_here'" in rows["bad"]
        assert "reads box, crate, plain, raw; writes box, crate" in rows["toy"]
        assert "Traceback" not in out + err
        assert "manifestry plugins -v" in err

    def test_traceback(self, cli, broken):
        assert "Traceback (most recent call last)" in cli("plugins", "-v")[1]

    def test_json(self, cli, broken):
        found = {p["name"]: p for p in document(cli("plugins", "--json")[1])["plugins"]}
        assert found["bad"]["state"] == "error"
        assert "Traceback" in found["bad"]["traceback"]
        assert found["toy"]["writes"] == ["box", "crate"]


class TestIdentify:
    def test_several(self, cli, raw, tmp_path):
        (tmp_path / "b.raw").write_bytes(b"something else")
        code, out, err = cli("identify", raw, tmp_path / "b.raw", tmp_path / "none")
        assert code == 3
        assert out == f"{raw}: raw (Rows of numbers (raw))\n"
        assert "no known format" in err
        assert "does not exist" in err

    def test_json(self, cli, raw, tmp_path):
        code, out, _ = cli("identify", tmp_path / "none", raw, "--json")
        first, second = document(out)["sources"]
        assert code == 5
        assert first["error"]["type"] == "SourceError"
        assert (second["format"], second["source"]) == ("raw", str(raw))


def test_sizes_for_people():
    assert [human_bytes(n) for n in (0, 999, 1000, 1_234_567, 5 * 10**14, 3 * 10**16)] == [
        "0 B", "999 B", "1 kB", "1.23 MB", "500 TB", "30 PB",
    ]  # fmt: skip


def test_text_that_steers_a_terminal_is_shown():
    assert printable("a\x1b[2J\tb\u202e ä世\n") == "a\\x1b[2J\\tb\\u202e ä世\n"


HEAVY = ("h5py", "tifffile", "pyarrow", "icechunk", "zarr", "xarray", "netCDF4", "distributed")


@pytest.mark.parametrize("arguments", [["plugins"], ["formats"], ["formats", "hdf5"], ["identify"], ["--help"]])
def test_looking_imports_no_format_library(arguments, tmp_path):
    source = tmp_path / "x.nc"
    source.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    script = (
        "import sys; from manifestry.cli.application import run; code = run(sys.argv[1:]); "
        f"print('imported', [m for m in {HEAVY} if m in sys.modules], code)"
    )
    given = [*arguments, source] if arguments == ["identify"] else arguments
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, given)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1].startswith("imported [] "), done.stdout + done.stderr


def toy_process(*arguments, **options):
    program = [sys.executable, "-X", "utf8", str(Path(__file__).with_name("toy_formats.py"))]
    return subprocess.Popen([*program, *map(str, arguments)], **options)


def test_bar_is_on_a_terminal_only_and_results_are_apart(raw, tmp_path):
    main, terminal = os.openpty()
    with toy_process("convert", raw, tmp_path / "a.box", stdout=subprocess.PIPE, stderr=terminal) as process:
        out, _ = process.communicate(timeout=60)
    os.close(terminal)
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", os.read(main, 100_000).decode())
    os.close(main)
    assert process.returncode == 0
    assert b"(box): wrote" in out
    assert re.search(r"parse .* 1/1 .* left .* files/s, 10 refs, 160 B", shown)
    assert "wrote" not in shown


def test_reader_that_has_enough(raw):
    read, write = os.pipe()
    os.close(read)
    with toy_process("inspect", raw, stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == b""
