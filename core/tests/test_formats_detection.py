"""Which format a source has."""

from types import SimpleNamespace

import pytest
from manifestry.errors import AmbiguousFormatError, SourceError, UnknownFormatError
from manifestry.formats import hookimpl
from manifestry.formats.descriptors import Confidence, Magic, ParserDescriptor, WriterDescriptor
from manifestry.formats.detection import detect, matches
from manifestry.formats.loading import FormatRegistry
from manifestry.storage.source import REMOTE_HEAD_BYTES, Source
from manifestry.testing.servers import range_server
from obstore.store import MemoryStore


def sniff_certain(head, source):
    return Confidence.CERTAIN if b"magic" in head else Confidence.NO


def sniff_possible(head, source):
    return Confidence.POSSIBLE


def sniff_broken(head, source):
    raise LookupError("in the sniff")


def sniff_wrong(head, source):
    return "perhaps"


def parser(name, **fields):
    if "sniff" in fields:
        fields["sniff"] = f"sniffs_of_the_tests:{fields['sniff']}"
    return ParserDescriptor(name=name, title=name.upper(), parser=f"x:{name}", **fields)


@pytest.fixture(autouse=True)
def sniffs(monkeypatch):
    names = ("sniff_certain", "sniff_possible", "sniff_broken", "sniff_wrong")
    monkeypatch.setitem(
        __import__("sys").modules, "sniffs_of_the_tests", SimpleNamespace(**{n: globals()[n] for n in names})
    )


def registry(*descriptors):
    """A registry in which every format comes from a distribution of its own."""

    def entry(descriptor):
        @hookimpl
        def manifestry_parsers():
            return [descriptor]

        plugin = SimpleNamespace(manifestry_parsers=manifestry_parsers, __name__=descriptor.name)
        dist = SimpleNamespace(name=f"dist-{descriptor.name}", version="1")
        return SimpleNamespace(name=descriptor.name, value=descriptor.name, dist=dist, load=lambda: plugin)

    formats = FormatRegistry([entry(descriptor) for descriptor in descriptors])
    assert all(record.state == "ok" for record in formats.records), formats.records
    return formats


@pytest.fixture
def source(tmp_path):
    def make(data, name="file"):
        (tmp_path / name).write_bytes(data)
        return Source(tmp_path / name)

    return make


HDF5 = parser("hdf5", magic=(Magic(b"\x89HDF", (0, 512, 1024, 2048, 4096, 8192)),), extensions=(".h5",))
NETCDF4 = parser("netcdf4", magic=(Magic(b"\x89HDF"),), refines=("hdf5",))
TIFF = parser("tiff", magic=(Magic(b"II*\0"), Magic(b"MM\0*")), extensions=(".tif",))
BARE = parser("bare", extensions=(".bare", ".h5"))


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"\x89HDF....", "a.tif", ["hdf5"]),
        (bytes(512) + b"\x89HDF", "a", ["hdf5"]),
        (bytes(8192) + b"\x89HDF", "a", ["hdf5"]),
        (bytes(100) + b"\x89HDF", "a", []),
        (b"MM\0*", "a.h5", ["tiff"]),
        (b"text", "a.h5", ["bare"]),
        (b"text", "a.BARE", ["bare"]),
        (b"text", "a.tif", []),
        (b"", "a.bare", []),
    ],
)
def test_content_wins_over_names(data, name, expected, source):
    found = matches(source(data, name), registry(HDF5, TIFF, BARE))
    assert [entry.descriptor.name for entry in found] == expected


def test_the_special_format_wins_over_the_general(source):
    formats = registry(HDF5, NETCDF4)
    assert detect(source(b"\x89HDF"), formats).label == "dist-netcdf4:netcdf4"
    assert detect(source(bytes(512) + b"\x89HDF"), formats).label == "dist-hdf5:hdf5"


def test_ambiguity_names_both_distributions(source):
    other = parser("other", magic=(Magic(b"\x89HDF"),))
    file = source(b"\x89HDF")
    with pytest.raises(AmbiguousFormatError) as caught:
        detect(file, registry(HDF5, other))
    assert str(caught.value) == (
        f"{file.url}: claimed by dist-hdf5:hdf5 and dist-other:other; choose one with format='dist-hdf5:hdf5' (--from)"
    )
    mutual = parser("other", magic=(Magic(b"\x89HDF"),), refines=("hdf5",))
    with pytest.raises(AmbiguousFormatError):
        detect(file, registry(parser("hdf5", magic=(Magic(b"\x89HDF"),), refines=("other",)), mutual))


def test_an_explicit_format_is_found_by_either_name():
    formats = registry(HDF5, TIFF)
    assert formats.parser("tiff").label == formats.parser("dist-tiff:tiff").label == "dist-tiff:tiff"
    with pytest.raises(
        UnknownFormatError, match=r"no parser named 'dist-hdf5:tiff'; there are: hdf5, tiff; pip install"
    ):
        formats.parser("dist-hdf5:tiff")


def test_sniffing(source):
    certain = parser("certain", sniff="sniff_certain", extensions=(".x",))
    possible = parser("possible", sniff="sniff_possible", extensions=(".y",))
    formats = registry(certain, possible, BARE)
    assert detect(source(b"some magic", "a.y"), formats).descriptor.name == "certain"
    assert detect(source(b"some text", "a.x"), formats).descriptor.name == "possible"
    assert detect(source(b"some text", "a.bare"), formats).descriptor.name == "bare"


def test_sniffing_decides_where_magic_bytes_are_shared(source):
    strict = parser("strict", magic=(Magic(b"<?xml"),), sniff="sniff_certain")
    assert matches(source(b"<?xml magic"), registry(strict))
    assert not matches(source(b"<?xml other"), registry(strict))
    assert not matches(source(b"magic"), registry(strict))


@pytest.mark.parametrize(
    ("sniff", "reason"),
    [
        ("sniff_broken", "LookupError: in the sniff"),
        ("sniff_wrong", "ValueError: 'perhaps' is not a valid Confidence"),
        ("no_such_function", "AttributeError: 'types.SimpleNamespace' object has no attribute 'no_such_function'"),
    ],
)
def test_a_broken_sniff_stands_in_nobodys_way(sniff, reason, source):
    formats = registry(TIFF, parser("broken", sniff=sniff))
    assert detect(source(b"II*\0"), formats).descriptor.name == "tiff"
    with pytest.raises(UnknownFormatError) as caught:
        detect(source(b"text"), formats)
    assert str(caught.value).endswith(f"; dist-broken:broken failed while looking at it: {reason}")


def test_directories_are_known_by_what_they_hold(tmp_path):
    formats = registry(
        TIFF, parser("parquet", sentinels=(".zmetadata",)), parser("ice", sentinels=("refs/", "snapshots"))
    )
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/.zmetadata").touch()
    (tmp_path / "b/snapshots").mkdir()
    assert detect(Source(tmp_path / "a"), formats).descriptor.name == "parquet"
    assert detect(Source(tmp_path / "b"), formats).descriptor.name == "ice"
    with pytest.raises(UnknownFormatError, match=r"/c: a directory of no known format; tried: ice, parquet, tiff$"):
        detect(Source(tmp_path / "c"), formats)
    memory = MemoryStore()
    memory.put("x/refs/branch", b"")
    assert detect(Source("memory://m/x", {"memory://m": memory}), formats).descriptor.name == "ice"


def test_one_header_read_for_all():
    formats = registry(HDF5, NETCDF4, TIFF, parser("certain", sniff="sniff_certain"))
    with range_server({"/a": b"\x89HDF" + bytes(500_000)}) as server:
        source = Source(server.url + "/a")
        detect(source, formats)
        source.head(4096)
        assert source.size == 500_004
        assert (server.count("HEAD"), server.count("GET"), server.sent) == (0, 1, REMOTE_HEAD_BYTES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89HDF\r\n\x1a\n", "this is hdf5, which is not installed: pip install manifestry-hdf5"),
        (b"II+\0xx", "this is tiff, which is not installed: pip install manifestry-tiff"),
        (b"CDF\2", "this is netcdf3, which is not installed: pip install manifestry-netcdf3"),
        (b"GRIB\0\0\0\2", "this is grib, which is not installed: no plugin for it is installed"),
        (b"SIMPLE  = T", "this is fits, which is not installed: no plugin for it is installed"),
        (
            b"some text",
            "no known format; it begins with 73 6f 6d 65 20 74 65 78; tried: bare; choose one with format= (--from)",
        ),
    ],
)
def test_nothing_found_says_what_it_is(data, message, source):
    file = source(data)
    with pytest.raises(UnknownFormatError) as caught:
        detect(file, registry(BARE))
    assert str(caught.value) == f"{file.url}: {message}"


def test_empty_and_missing_files_are_told_as_such(tmp_path, source):
    with pytest.raises(SourceError, match=r"the file is empty$"):
        detect(source(b""), registry(HDF5))
    with pytest.raises(SourceError, match=r"does not exist$"):
        detect(Source(tmp_path / "none"), registry(HDF5))


def test_without_plugins(source):
    with pytest.raises(UnknownFormatError, match="tried: nothing, no parser is installed"):
        detect(source(b"text"), FormatRegistry([]))


def test_objects_are_known_by_the_names_of_their_classes():
    writer = WriterDescriptor(name="m", title="", writer="x:y", objects=("obstore.store.MemoryStore",))
    assert writer.accepts(MemoryStore())
    assert not writer.accepts("memory")
