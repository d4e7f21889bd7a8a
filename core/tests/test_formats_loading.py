"""Plugins that are really installed: six that are broken in one way each, and the good one beside them."""

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest

GOOD = """
    from manifestry.formats import hookimpl
    from manifestry.formats.descriptors import Magic, ParserDescriptor
    from manifestry.model.codecs import CodecEntry, CodecKind

    @hookimpl
    def manifestry_parsers():
        mine = CodecEntry(
            name="acme.good", kind=CodecKind.BYTES_TO_BYTES, lossless=True, encode_only=frozenset({"effort"})
        )
        yield ParserDescriptor(
            name="good", title="Good", parser="acme_good:Parser", magic=(Magic(b"GOOD"),), codecs=(mine,)
        )

    class Parser:
        def parse(self, source, options, context):
            import numpy as np
            from manifestry import ArrayMetadata, ChunkManifest, Codec, RegularGrid, VirtualArray, VirtualGroup
            metadata = ArrayMetadata(
                shape=(4,), dtype=np.dtype("u1"), chunk_grid=RegularGrid((4,)), codecs=(Codec("bytes"),), fill_value=0
            )
            return VirtualGroup({"v": VirtualArray(metadata, ChunkManifest.single(source.file, 4, 4, (1,)))})
"""

PLUGINS = {
    # distribution: (entry point, module)
    "acme-good": ("good", GOOD),
    "bad-import": ("imports", "import no_such_library"),
    "bad-hook": (
        "raises",
        """
        from manifestry.formats import hookimpl

        @hookimpl
        def manifestry_parsers():
            raise RuntimeError("the hook\\nis broken")
        """,
    ),
    "bad-name": (
        "typo",
        """
        from manifestry.formats import hookimpl

        @hookimpl
        def manifestry_readers():
            return []
        """,
    ),
    "bad-api": (
        "future",
        """
        from manifestry.formats import hookimpl
        from manifestry.formats.descriptors import ParserDescriptor

        @hookimpl
        def manifestry_parsers():
            yield ParserDescriptor(name="future", title="", parser="x:y", api=(2, 0))
        """,
    ),
    "bad-entry": ("good", "from manifestry.formats import hookimpl"),
    "bad-format": ("same", GOOD),
    "bad-twice": (
        "twice",
        """
        from manifestry.formats import hookimpl
        from manifestry.formats.descriptors import WriterDescriptor

        @hookimpl
        def manifestry_writers():
            return [WriterDescriptor(name="w", title="", writer="x:y")] * 2
        """,
    ),
    "bad-codec": (
        "codec",
        """
        from manifestry.formats import hookimpl
        from manifestry.formats.descriptors import ParserDescriptor
        from manifestry.model.codecs import CodecEntry, CodecKind

        @hookimpl
        def manifestry_parsers():
            mine = CodecEntry(name="bytes", kind=CodecKind.BYTES_TO_BYTES)
            yield ParserDescriptor(name="codec", title="", parser="x:y", codecs=(mine,))
        """,
    ),
    "bad-type": (
        "types",
        """
        from manifestry.formats import hookimpl

        @hookimpl
        def manifestry_parsers():
            yield "hdf5"
        """,
    ),
}

TAKEN = "uninstall one, or block it with MANIFESTRY_BLOCK_PLUGINS="
EXPECTED = {
    "acme-good": ("ok", ""),
    "bad-import": ("error", "ModuleNotFoundError: No module named 'no_such_library'"),
    "bad-hook": ("error", "RuntimeError: the hook"),
    "bad-name": (
        "error",
        "PluginValidationError: unknown hook 'manifestry_readers' in plugin <module 'bad_name' from '{directory}/bad_name.py'>",
    ),
    "bad-api": ("incompatible", "'future' was written for plugin interface 2.0, and this is 1.0"),
    "bad-entry": ("conflict", f"the entry point 'good' of bad-entry is taken by acme-good; {TAKEN}bad-entry"),
    "bad-format": ("conflict", f"the parser 'good' of bad-format is provided by acme-good; {TAKEN}bad-format"),
    "bad-twice": ("conflict", "bad-twice provides two writers of one name: w, w"),
    "bad-codec": ("conflict", "bad-codec: codec bytes: another entry is in the catalogue already"),
    "bad-type": ("error", "TypeError: a hook returned str, not ParserDescriptor"),
}


@pytest.fixture
def directory(tmp_path):
    """A directory of installed distributions."""
    for distribution, (entry, source) in PLUGINS.items():
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(dedent(source))
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[manifestry]\n{entry} = {module}\n")
    return tmp_path


def run(directory, program, **environment):
    """What a program that sees these distributions prints, as JSON."""
    found = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(directory), **environment},
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


STATES = """
    import json
    from manifestry.formats.loading import installed_formats
    records = installed_formats().records
    print(json.dumps({r.distribution: (r.state, r.reason, r.version, bool(r.trace)) for r in records}))
"""


CODECS = """
    import json, sys
    from manifestry.formats.loading import installed_formats
    from manifestry.model.codecs import codec_entry
    installed_formats()
    print(json.dumps([codec_entry("acme.good").lossless, codec_entry("bytes").kind, "numpy" in sys.modules]))
"""


def test_plugins_add_to_the_catalogue_of_codecs(directory):
    assert run(directory, CODECS) == [True, "array to bytes", False]


COMBINING = """
    import json
    import manifestry as mf
    import numpy as np

    def tree(start):
        metadata = mf.ArrayMetadata(
            shape=(2,), dtype=np.dtype("u1"), chunk_grid=mf.RegularGrid((2,)), dims=("t",),
            codecs=(mf.Codec("bytes"), mf.Codec("acme.good", {"effort": start})), fill_value=0,
        )
        file = mf.SourceFile(f"s3://bucket/{start}")
        return mf.VirtualGroup({"v": mf.VirtualArray(metadata, mf.ChunkManifest.single(file, 0, 2, (1,)))})

    print(json.dumps(mf.concat([tree(1), tree(2)], "t")["v"].shape))
"""


def test_combining_knows_the_codecs_of_plugins_before_anything_was_parsed(directory):
    assert run(directory, COMBINING) == [4]


def test_each_state_and_its_reason(directory):
    found = run(directory, STATES)
    for distribution, (state, reason) in EXPECTED.items():
        assert found[distribution][:3] == [state, reason.format(directory=directory), "1.5"], distribution
        assert found[distribution][3] == (state == "error")


def test_the_good_one_works(directory):
    (directory / "x.dat").write_bytes(b"GOOD\1\2\3\4")
    found = run(
        directory,
        f"""
        import json
        import manifestry as mf
        tree = mf.parse({str(directory / "x.dat")!r})
        print(json.dumps([tree["v"].shape, tree.provenance[0].parser, tree.provenance[0].version]))
        """,
    )
    assert found == [[4], "good", "1.5"]


def test_asking_for_a_broken_one_says_why(directory):
    found = run(
        directory,
        """
        import json
        from manifestry.errors import ManifestryError
        from manifestry.formats.loading import installed_formats
        formats, said = installed_formats(), {}
        for name in ("imports", "future", "bad-format:good", "nothing", "twice", "w"):
            try:
                formats.parser(name) if name != "w" else formats.writer(name)
            except ManifestryError as error:
                said[name] = [type(error).__name__, str(error).partition("; there are:")[0]]
        print(json.dumps(said))
        """,
    )
    reasons = {key: reason for key, (_, reason) in EXPECTED.items()}
    usable = "is not usable"
    assert found == {
        "imports": ["PluginError", f"the parser 'imports' {usable}: bad-import is error: {reasons['bad-import']}"],
        "future": ["PluginError", f"the parser 'future' {usable}: bad-api is incompatible: {reasons['bad-api']}"],
        "bad-format:good": [
            "PluginError",
            f"the parser 'bad-format:good' {usable}: bad-format is conflict: {reasons['bad-format']}",
        ],
        "nothing": ["UnknownFormatError", "no parser named 'nothing'"],
        "twice": ["PluginError", f"the parser 'twice' {usable}: bad-twice is conflict: {reasons['bad-twice']}"],
        "w": ["PluginError", f"the writer 'w' {usable}: bad-twice is conflict: {reasons['bad-twice']}"],
    }


def test_blocking_gives_way_to_the_other(directory):
    found = run(directory, STATES, MANIFESTRY_BLOCK_PLUGINS="acme-good, imports")
    assert found["acme-good"][:2] == ["blocked", "named in MANIFESTRY_BLOCK_PLUGINS"]
    assert found["bad-import"][0] == "blocked"
    assert found["bad-entry"][0] == "ok"
    assert found["bad-format"][0] == "ok"


HEAVY = ("h5py", "tifffile", "pyarrow", "icechunk", "zarr", "xarray", "netCDF4", "dask", "pandas", "imagecodecs")


def test_listing_and_detecting_import_nothing_heavy(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    found = run(
        tmp_path,
        f"""
        import json, sys
        import manifestry
        from manifestry.formats.detection import detect
        from manifestry.formats.loading import installed_formats
        from manifestry.storage.source import Source
        formats = installed_formats()
        name = detect(Source({str(tmp_path / "a.nc")!r}), formats).descriptor.name
        print(json.dumps([name, [m for m in {HEAVY!r} if m in sys.modules], sorted(formats.parsers)]))
        """,
    )
    assert found[0] == "hdf5"
    assert found[1] == []
    assert len(found[2]) >= 4


def test_importing_the_package_imports_nothing_that_it_works_with(tmp_path):
    loaded = run(tmp_path, "import json, sys, manifestry; print(json.dumps(sorted(sys.modules)))")
    assert not {"numpy", "obstore", "pluggy", "msgspec", *HEAVY} & set(loaded)
