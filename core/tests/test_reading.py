"""parse: options, the plugin boundary, refusals, the gate, provenance. And write: choosing, checking, undoing."""

import pickle
import sys
from types import SimpleNamespace
from typing import Annotated, Literal

import msgspec
import numpy as np
import pytest
from manifestry.errors import (
    MalformedFileError,
    ManifestError,
    OptionError,
    PluginError,
    SourceError,
    UnknownFormatError,
    UnsupportedFeatureError,
)
from manifestry.formats import hookimpl
from manifestry.formats.descriptors import Capability, Magic, ParserDescriptor, WriterDescriptor
from manifestry.formats.loading import FormatRegistry
from manifestry.formats.options import describe_options, make_options, options_to_json
from manifestry.formats.report import WriteReport
from manifestry.formats.targets import Mode, Placement, Target
from manifestry.issues import Issue
from manifestry.model.codecs import Codec
from manifestry.model.files import SourceFile
from manifestry.model.limits import Limits
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.reading import parse_source
from manifestry.storage.source import Source
from manifestry.writing import write_tree


class Options(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    level: Annotated[int, msgspec.Meta(ge=0, description="How deep.")] = 1
    names: Annotated[tuple[str, ...], msgspec.Meta(description="Which.")] = ()
    mode: Annotated[str | None, msgspec.Meta(description="How.")] = None


class Place(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    region: str = ""
    path_style: bool = False


class Nested(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    places: dict[str, Place] = {}
    order: tuple[Place, ...] | None = None
    home: Place = Place()
    speed: Literal["slow", "fast"] = "slow"
    deep: bool = False


def array(file, offset=0, length=4):
    metadata = ArrayMetadata(
        shape=(4,),
        dtype=np.dtype("u1"),
        chunk_grid=RegularGrid((4,)),
        codecs=(Codec("bytes"),),
        fill_value=0,
        dims=("n",),
    )
    return VirtualArray(metadata, ChunkManifest.single(file, offset, length, (1,)))


class Toy:
    """What a test wants the parser and the writer to do, and what happened."""

    def __init__(self):
        self.does = lambda source, options, context: VirtualGroup({"v": array(source.file)})
        self.issues, self.fails, self.events = [], None, []

    def parse(self, source, options, context):
        return self.does(source, options, context)

    def open(self, target, mode, options, context):
        self._event("open", mode)
        return self

    def check(self, tree, at=None):
        self._event("check")
        return self.issues

    def write(self, tree, at=None):
        self._event("write", [path for path, _ in tree.walk_arrays()])
        self.written = tree

    def commit(self, metadata):
        self._event("commit", metadata)
        return WriteReport.of("somewhere", "toy", [self.written])

    def abort(self):
        self.events.append(("abort",))

    def _event(self, name, *details):
        self.events.append((name, *details))
        if self.fails == name:
            raise KeyError(f"in {name}")

    @property
    def names(self):
        return [event[0] for event in self.events]


@pytest.fixture
def toy(monkeypatch):
    toy = Toy()
    module = SimpleNamespace(make=lambda: toy, Options=Options)
    monkeypatch.setitem(sys.modules, "toy_of_this_test", module)
    return toy


@pytest.fixture
def formats(toy):
    @hookimpl
    def manifestry_parsers():
        kwargs = {"parser": "toy_of_this_test:make", "options": "toy_of_this_test:Options"}
        yield ParserDescriptor(name="toy", title="Toys", magic=(Magic(b"TOY"),), **kwargs)
        yield ParserDescriptor(name="kit", title="Kits", variant="mode", **kwargs)

    @hookimpl
    def manifestry_writers():
        writer = "toy_of_this_test:make"
        kwargs = {"writer": writer, "options": "toy_of_this_test:Options", "title": ""}
        yield WriterDescriptor(name="toy", extensions=(".toy",), objects=("builtins.list",), **kwargs)
        yield WriterDescriptor(name="toy-zip", extensions=(".zip.toy",), capabilities={Capability.APPEND}, **kwargs)

    plugin = SimpleNamespace(
        manifestry_parsers=manifestry_parsers, manifestry_writers=manifestry_writers, __name__="toy_plugin"
    )
    dist = SimpleNamespace(name="dist-toy", version="2.5")
    return FormatRegistry([SimpleNamespace(name="toy", value="toy", dist=dist, load=lambda: plugin)])


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"TOY....")
    return Source(tmp_path / "a.bin")


@pytest.fixture
def parse(formats, file):
    def parse(fmt=None, on_unsupported="raise", limits=None, **options):
        return parse_source(file, fmt, on_unsupported, options, formats=formats, limits=limits)

    return parse


class TestParse:
    def test_provenance(self, parse, file):
        tree = parse(level="3", include=["v"], group="/g/")
        (origin,) = tree.provenance
        assert (origin.parser, origin.version) == ("toy", "2.5")
        assert origin.options == {"level": 3, "include": ["v"], "group": "/g/"}
        assert list(origin.sources) == [file.file]

    def test_what_the_parser_is_given(self, toy, parse):
        seen = []

        def does(source, options, context):
            seen.append((options, context))
            return VirtualGroup({"v": array(source.file)})

        toy.does = does
        parse(
            level=2,
            group="/g/",
            chunk_bytes=100,
            inline_below=0,
            include=["v"],
            exclude=("w",),
            limits=Limits(max_depth=3),
        )
        options, context = seen[0]
        assert options == Options(level=2)
        assert (context.group, context.chunk_bytes, context.inline_below) == ("g", 100, 0)
        assert (context.wants("v"), context.wants("w"), context.wants("x")) == (True, False, False)
        assert context.limits.max_depth == 3

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"levle": 1}, r"toy has no option 'levle'; did you mean 'level'\?; there are: level, mode, names"),
            ({"level": -1}, "toy: level: Expected `int` >= 0; it takes integer"),
            ({"level": "x"}, "toy: level: Expected `int`, got `str`"),
            ({"chunk_bytes": 0}, "toy: chunk_bytes: Expected `int` >= 1; it takes integer or none"),
            ({"include": ["w"]}, "include: 'w' matches no array"),
            (
                {"inline_belov": 3},
                r"did you mean 'inline_below'\?; there are: level, mode, names; for every format: allow, chunk_bytes, exclude, group, ",
            ),
            ({"excluded": "v"}, r"did you mean 'exclude'\?"),
            ({"x": 1}, "toy has no option 'x'; there are: level, mode, names; for every format: allow, chunk_bytes"),
        ],
    )
    def test_options_that_are_none(self, options, message, parse):
        with pytest.raises(OptionError, match=message):
            parse(**options)

    @pytest.mark.parametrize("name", ["kit:deep.Way", "dist-toy:kit:deep.Way"])
    def test_a_name_may_carry_an_option(self, name, parse):
        (origin,) = parse(name, level=2).provenance
        assert (origin.parser, origin.options) == ("kit", {"level": 2, "mode": "deep.Way"})
        assert parse("kit").provenance[0].options == {}
        with pytest.raises(OptionError, match=f"kit: the format '{name}' names the mode already"):
            parse(name, mode="other")

    def test_a_name_that_carries_nothing(self, parse):
        assert parse("dist-toy:toy").provenance[0].parser == "toy"
        with pytest.raises(UnknownFormatError, match="no parser named 'toy:deep'"):
            parse("toy:deep")
        with pytest.raises(UnknownFormatError, match=r"'virtualizarr'.*pip install manifestry-virtualizarr"):
            parse("virtualizarr:HDFParser")

    def test_on_unsupported_is_one_of_two(self, parse):
        with pytest.raises(OptionError, match="'raise' or 'skip'"):
            parse(on_unsupported="ignore")

    def test_crashes_are_the_plugins(self, toy, parse, file):
        toy.does = lambda *_: {}["boom"]
        with pytest.raises(PluginError) as caught:
            parse()
        assert str(caught.value) == f"{file.url}: the parser dist-toy:toy 2.5 failed: KeyError: 'boom'"
        assert isinstance(caught.value.__cause__, KeyError)

    @pytest.mark.parametrize("result", [None, {}, "tree"])
    def test_a_parser_returns_a_tree(self, result, toy, parse):
        toy.does = lambda *_: result
        with pytest.raises(PluginError, match="not VirtualGroup"):
            parse()

    @pytest.mark.parametrize("error", [SourceError("gone"), UnsupportedFeatureError("f", "w")])
    def test_errors_of_ours_pass(self, error, toy, parse):
        def does(*_):
            raise error

        toy.does = does
        with pytest.raises(type(error)) as caught:
            parse()
        assert caught.value is error

    def test_interrupts_pass(self, toy, parse):
        def does(*_):
            raise KeyboardInterrupt

        toy.does = does
        with pytest.raises(KeyboardInterrupt):
            parse()

    def test_refusals_are_collected(self, toy, parse, file):
        def does(source, options, context):
            with context.isolate("a"):
                raise UnsupportedFeatureError("filter x", "a", "repack")
            context.refuse("b", "layout y")
            context.report("v", "odd size")
            return VirtualGroup({"v": array(source.file)})

        toy.does = does
        tree = parse(on_unsupported="skip")
        assert [(issue.path, issue.feature, issue.severity) for issue in tree.issues] == [
            ("a", "filter x", "refused"), ("b", "layout y", "refused"), ("v", "odd size", "reported"),
        ]  # fmt: skip
        with pytest.raises(UnsupportedFeatureError) as caught:
            parse()
        assert [issue.path for issue in caught.value.issues] == ["a", "b"]
        assert str(caught.value).splitlines() == [
            f"{caught.value.source}: 2 parts cannot be expressed exactly:", "  a: filter x (repack)", "  b: layout y",
            "leave out what is refused with on_unsupported='skip' or --on-unsupported skip",
        ]  # fmt: skip

    def test_one_refusal_is_raised_as_it_is(self, toy, parse):
        def does(source, options, context):
            context.refuse("b", "layout y", hint="none")
            return VirtualGroup()

        toy.does = does
        with pytest.raises(UnsupportedFeatureError, match=r"^file://.*/a\.bin: b: layout y \(none\)$"):
            parse()

    @pytest.mark.parametrize("error", [UnsupportedFeatureError("layout y"), MalformedFileError("layout y"),
                                       MalformedFileError("g/b: layout y"), ManifestError("layout y")])  # fmt: skip
    def test_a_refusal_names_file_and_array(self, toy, parse, error):
        def does(source, options, context):
            with context.isolate("g/b"):
                raise error
            return VirtualGroup()

        toy.does = does
        with pytest.raises(type(error), match=r"^file://.*/a\.bin: g/b: layout y( \(leave out .*\))?$") as caught:
            parse()
        assert pickle.loads(pickle.dumps(caught.value)).source == caught.value.source
        [issue] = parse(on_unsupported="skip").issues
        assert str(issue) in ("g/b: layout y", "g/b: malformed: layout y", "g/b: contradictory references: layout y")

    def test_a_short_name_is_not_taken_for_a_letter_of_the_message(self, toy, parse):
        def does(source, options, context):
            with context.isolate("v"):
                raise ManifestError("no fill value")
            return VirtualGroup()

        toy.does = does
        with pytest.raises(ManifestError, match=r"^file://.*/a\.bin: v: no fill value$"):
            parse()

    def test_the_gate_costs_one_array(self, toy, parse):
        toy.does = lambda source, *_: VirtualGroup({"v": array(source.file), "w": array(source.file, 5)})
        with pytest.raises(ManifestError, match="w: a chunk ends at byte 9"):
            parse()
        tree = parse(on_unsupported="skip")
        assert list(tree.arrays) == ["v"]
        assert [issue.feature for issue in tree.issues] == ["contradictory references"]

    def test_a_file_that_changed_meanwhile(self, toy, parse, file):
        toy.does = lambda source, *_: VirtualGroup({"v": array(SourceFile(source.url, 100))})
        with pytest.raises(SourceError, match="changed while it was being read"):
            parse()


@pytest.fixture
def write(formats, tmp_path):
    def write(
        tree, target="x.toy", fmt=None, mode=Mode.CREATE, at=None, on_unsupported="raise", dry_run=False, **options
    ):
        place = Target.of(tmp_path / target if isinstance(target, str) else target)
        given = {"on_unsupported": on_unsupported, "options": options}
        return write_tree(tree, place, fmt, mode=mode, at=at, formats=formats, dry_run=dry_run, **given)

    return write


@pytest.fixture
def tree(file):
    return VirtualGroup(
        {"a": array(file.file)}, groups={"g": VirtualGroup({"b": array(file.file), "c": array(file.file)})}
    )


class TestWrite:
    def test_open_check_write_commit(self, toy, write, tree):
        report = write(tree, level="2")
        assert toy.names == ["open", "check", "write", "commit"]
        assert toy.events[-1][1] == {"manifestry": {"schema_version": 1, "parsed": []}}
        assert (report.arrays, report.references, report.described_bytes) == (3, 3, 12)

    def test_dry_run_writes_nothing(self, toy, write, tree):
        assert write(tree, dry_run=True).arrays == 3
        assert toy.names == ["open", "check", "abort"]

    @pytest.mark.parametrize("stage", ["check", "write", "commit"])
    def test_failures_are_undone(self, stage, toy, write, tree):
        toy.fails = stage
        with pytest.raises(PluginError, match=f"the writer dist-toy:toy 2.5 failed: KeyError: 'in {stage}'"):
            write(tree)
        assert toy.names[-2:] == [stage, "abort"]

    def test_failing_to_open_leaves_nothing_to_undo(self, toy, write, tree):
        toy.fails = "open"
        with pytest.raises(PluginError):
            write(tree)
        assert toy.names == ["open"]

    def test_refusals(self, toy, write, tree):
        toy.issues = [
            Issue(path="g/b", feature="codec z", hint="none"),
            Issue(path="a", feature="note", severity="reported"),
        ]
        with pytest.raises(UnsupportedFeatureError, match=r"^g/b: codec z \(none\)$"):
            write(tree)
        assert toy.names == ["open", "check", "abort"]
        toy.events.clear()
        report = write(tree, on_unsupported="skip")
        assert toy.events[2] == ("write", ["a", "g/c"])
        assert [issue.path for issue in report.issues] == ["g/b", "a"]
        toy.issues.append(Issue(path="g", feature="groups"))
        with pytest.raises(UnsupportedFeatureError, match="2 arrays have no exact form in toy"):
            write(tree)
        write(tree, on_unsupported="skip")
        assert "g" not in toy.written.groups

    def test_contradictions_are_found_before_the_writer_is_asked(self, toy, write, file):
        with pytest.raises(ManifestError):
            write(VirtualGroup({"v": array(file.file, 100)}))
        assert not toy.events

    def test_the_ending_says_the_format(self, toy, write, tree):
        write(tree, "x.TOY")
        write(tree, "x.zip.toy", at=Placement("n"), mode=Mode.APPEND)
        write(tree, [])
        with pytest.raises(UnknownFormatError, match=r"x.nc: say which format .* toy \(.toy\), toy-zip \(.zip.toy\)"):
            write(tree, "x.nc")
        with pytest.raises(UnknownFormatError, match="<dict>: say which format"):
            write(tree, {})

    def test_a_writer_that_is_missing_is_answered_by_what_to_install(self, write, tree):
        with pytest.raises(UnknownFormatError, match=r"icechunk is not installed: pip install manifestry-icechunk$"):
            write(tree, "out/x.ICECHUNK/")

    def test_capabilities(self, toy, write, tree):
        with pytest.raises(UnsupportedFeatureError, match="append in toy"):
            write(tree, at=Placement("n"), mode=Mode.APPEND)
        with pytest.raises(UnsupportedFeatureError, match="region in toy-zip"):
            write(tree, "x.zip.toy", at=Placement(None, {"n": (0, 1)}), mode=Mode.APPEND)
        assert not toy.events

    def test_options(self, write, tree):
        with pytest.raises(OptionError, match="toy has no option 'x'"):
            write(tree, x=1)
        with pytest.raises(OptionError, match="'raise' or 'skip'"):
            write(tree, on_unsupported="x")


class TestOptions:
    def test_texts_are_converted(self):
        assert make_options(Options, {"level": "7", "names": '["a", "b"]', "mode": "[x"}, "toy") == Options(
            level=7, names=("a", "b"), mode="[x"
        )

    def test_a_single_text_is_a_list_where_only_a_list_is_allowed(self):
        class Lists(msgspec.Struct, frozen=True):
            names: tuple[str, ...] | None = None
            either: str | tuple[str, ...] = ""
            numbers: tuple[int, ...] = ()

        assert make_options(Lists, {"names": "a", "either": "b", "numbers": "[1]"}, "toy") == Lists(("a",), "b", (1,))
        with pytest.raises(OptionError, match="toy: numbers"):
            make_options(Lists, {"numbers": "1"}, "toy")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (
                {"places": {"s3://a": {"regoin": "x"}}},
                "toy: places: s3://a has no option 'regoin'; did you mean 'region'",
            ),
            ({"places": '{"s3://a": {"Path-Style": 1}}'}, "toy: places: s3://a has .* did you mean 'path_style'"),
            ({"order": [{}, {"regio": "x"}]}, "toy: order has no option 'regio'; did you mean 'region'"),
            ({"home": {"quite": 1}}, "toy: home has no option 'quite'; there are: path_style, region"),
            ({"home": {"region": 5}}, "toy: home: Expected `str`, got `int`; it takes JSON with region, path_style"),
            ({"places": 3}, "toy: places: Expected `object`, got `int`; it takes mapping of text to JSON with region"),
            ({"speed": "quick"}, "toy: speed: Invalid enum value 'quick'; it takes 'fast' or 'slow'"),
            ({"deep": "perhaps"}, "toy: deep: Expected `bool`, got `str`; it takes true or false"),
            ({3: 1}, "toy has no option 3; there are: deep, home"),
            (["deep"], "options of toy: expected a mapping of names to values, not list"),
        ],
    )
    def test_names_and_values_however_deep(self, given, message):
        with pytest.raises(OptionError, match=message):
            make_options(Nested, given, "toy")

    def test_usage(self):
        assert [option.usage for option in describe_options(Nested)] == [
            "places=JSON",
            "order=JSON|JSON",
            "home=JSON",
            "speed=slow|fast",
            "deep=true|false",
        ]

    def test_formats_without_options(self):
        assert make_options(None, {}, "toy") is None
        assert describe_options(None) == []
        assert options_to_json(None) == {}
        with pytest.raises(OptionError, match=r"^toy has no option 'a'; it has none$"):
            make_options(None, {"a": 1}, "toy")

    def test_descriptions(self):
        assert [(o.name, o.type, o.default, o.description) for o in describe_options(Options)] == [
            ("level", "integer", 1, "How deep."),
            ("names", "list of text", (), "Which."),
            ("mode", "text or none", None, "How."),
        ]

    def test_json_is_of_what_differs(self):
        assert options_to_json(Options(level=1, names=("a",))) == {"names": ["a"]}

    def test_a_placement_is_one_of_two(self):
        for arguments in ((None, None), ("n", {"n": (0, 1)})):
            with pytest.raises(ValueError, match="either append_dim or region"):
                Placement(*arguments)


def test_errors_carry_their_source(tmp_path):
    (tmp_path / "notes.raw").write_text("just text\n" * 9)
    for name, kind in (("notes.raw", UnknownFormatError), ("none.raw", SourceError)):
        with pytest.raises(kind) as caught:
            parse_source(Source(tmp_path / name), None, "raise", {})
        assert caught.value.source == f"file://{tmp_path}/{name}"
        assert pickle.loads(pickle.dumps(caught.value)).source == caught.value.source
