"""`convert`: many sources into one output, from one process or several."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr
from manifestry.cli.application import run
from manifestry.combine.values import read_values
from manifestry.conversion.coordinates import CoordinateRule
from manifestry.conversion.sources import expand_sources
from manifestry.storage.registry import StoreRegistry
from obstore.store import LocalStore, MemoryStore


def daily(path: Path, day: int, *, units: str = "days since 2000-01-01", scale: float | None = None) -> Path:
    """A classic netCDF file of two time steps."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("time", None)
        file.createDimension("x", 5)
        time = file.createVariable("time", "f8", ("time",))
        time.units = units
        file.createVariable("x", "f4", ("x",))[:] = np.arange(5)
        values = file.createVariable("t", "f4", ("time", "x"))
        if scale is not None:
            values.scale_factor = np.float32(scale)
        values.set_auto_scale(False)
        values[:] = np.arange(10).reshape(2, 5) + 100 * day
        time[:] = [2 * day, 2 * day + 1]
        file.title = "daily"
    return path


@pytest.fixture
def archive(tmp_path):
    """Six daily files."""
    (tmp_path / "in").mkdir()
    return [daily(tmp_path / "in" / f"d{day}.nc", day) for day in range(6)]


def expected(days) -> np.ndarray:
    return np.concatenate([np.arange(10, dtype="f4").reshape(2, 5) + 100 * day for day in days])


def opened(target: Path) -> xr.Dataset:
    return xr.open_dataset(
        str(target), engine="kerchunk", storage_options={"remote_protocol": "file"}, decode_times=False
    )


def test_many_files_become_one(archive, tmp_path):
    report = mf.convert(archive, tmp_path / "out.json", concat_dim="time")
    with opened(tmp_path / "out.json") as ds:
        np.testing.assert_array_equal(ds.t.values, expected(range(6)))
        np.testing.assert_array_equal(ds.time.values, np.arange(12))
        assert ds.sizes == {"time": 12, "x": 5}
    assert [source.status for source in report.sources] == ["written"] * 6
    assert [source.url for source in report.sources] == [f"file://{path}" for path in archive]
    assert report.written.format == "kerchunk-json"
    assert set(report.seconds) == {"look", "parse", "combine", "write"}
    assert json.loads(json.dumps(report.to_json()))["sources"][5]["references"] == 5


def test_processes_give_what_one_process_gives(archive, tmp_path):
    mf.convert(archive, tmp_path / "one.json", concat_dim="time")
    mf.convert(archive, tmp_path / "two.json", concat_dim="time", executor=2)
    one, two = (json.loads((tmp_path / name).read_bytes()) for name in ("one.json", "two.json"))
    assert one == two


def test_dry_run_writes_nothing(archive, tmp_path):
    report = mf.convert(archive, tmp_path / "out.json", concat_dim="time", dry_run=True)
    assert report.dry_run
    assert report.written.references == mf.convert(archive, tmp_path / "x.json", concat_dim="time").written.references
    assert not (tmp_path / "out.json").exists()


def test_bad_sources_are_skipped_and_reported(archive, tmp_path):
    archive[0].write_bytes(b"CDF\x02 nonsense")
    archive[3].unlink()
    daily(archive[4], 4, scale=0.1)
    with pytest.raises(mf.MalformedFileError):
        mf.convert(archive, tmp_path / "out.json", concat_dim="time")
    report = mf.convert(archive, tmp_path / "out.json", concat_dim="time", on_error="skip")
    assert [s.status for s in report.sources] == ["failed", "written", "written", "failed", "failed", "written"]
    assert [s.url for s in report.failed] == [f"file://{archive[i]}" for i in (0, 3, 4)]
    assert report.sources[3].error == "SourceError: does not exist"
    assert "t: the attribute scale_factor is 0.1 instead of not set" in report.sources[4].error
    with opened(tmp_path / "out.json") as ds:
        np.testing.assert_array_equal(ds.t.values, expected([1, 2, 5]))


def test_units_are_harmonised(archive, tmp_path):
    daily(archive[5], 0, units="days since 2000-01-11")
    report = mf.convert(archive, tmp_path / "out.json", concat_dim="time")
    assert "times harmonised" in {issue.feature for issue in report.issues}
    with opened(tmp_path / "out.json") as ds:
        np.testing.assert_array_equal(ds.time.values, np.arange(12))


def test_unsorted_sources_are_reported_by_name(archive, tmp_path):
    order = [archive[i] for i in (0, 2, 1, 3)]
    report = mf.convert(order, tmp_path / "out.json", concat_dim="time")
    (issue,) = [issue for issue in report.issues if issue.path == "time"]
    assert issue.feature == "coordinate not monotonic"
    assert f"first 2.0 in file://{archive[1]} after 5.0 in file://{archive[2]}" in issue.message


def test_coordinate_from_the_file_name(archive, tmp_path):
    names = []
    for day, path in enumerate(archive[:3]):
        names.append(path.rename(path.with_name(f"S2_2020010{day + 1}_x.nc")))
    report = mf.convert(
        str(tmp_path / "in" / "S2_*.nc"),
        tmp_path / "out.json",
        exclude=["time"],
        rename={"time": "step"},
        concat_dim="time",
        coords=[r"time:%Y%m%d=regex:S2_(\d{8})"],
        verify="all",
    )
    assert len(report.sources) == 3
    assert report.verified.ok, report.verified.summary()
    assert {check.path: check.compared for check in report.verified.arrays}["t"] == 6
    with opened(tmp_path / "out.json") as ds:
        assert ds.t.dims == ("time", "step", "x")
        assert xr.decode_cf(ds).time.values.astype("M8[D]").astype(str).tolist() == [
            "2020-01-01", "2020-01-02", "2020-01-03",
        ]  # fmt: skip
    with pytest.raises(mf.UnsupportedFeatureError, match=r"no value for the coordinate 'time'"):
        mf.convert(names, tmp_path / "b.json", concat_dim="time", exclude=["time"], rename={"time": "step"},
                   coords=["time=regex:S3_([0-9]+)"])  # fmt: skip
    with pytest.raises(mf.OptionError, match="one value for each source, but the dimension time has the length 2"):
        mf.convert(names[0], tmp_path / "b.json", concat_dim="time", coords=["time=attribute:title"])
    with pytest.raises(mf.OptionError, match=r"there is an array 'x' already; rename it \(--rename x=NEW\)"):
        mf.convert(
            names[0], tmp_path / "b.json", concat_dim="n", coords=["n=attribute:title", "x=attribute:time@units"]
        )


@pytest.mark.parametrize(("value", "expected"), [
    ("2020-01-31T10:20:30Z", "2020-01-31T10:20:30"), ("2020-01-31", "2020-01-31"), ("20200131T102030", "2020-01-31T10:20:30"),
    ("2020-01-31 10:20:30.25 +02:00", "2020-01-31T08:20:30.25"), ("20200131", 20200131), ("2020-13-01", "2020-13-01"),
    ("2020-01-31T10:20:30.1234567", "2020-01-31T10:20:30.1234567"), ("v1-2020-01-31", "v1-2020-01-31"),
])  # fmt: skip
def test_iso_dates_are_times(value, expected):
    rule = CoordinateRule.parse("time=attribute:acquired")
    array = rule.array("file:///f.nc", mf.VirtualGroup({}, attributes={"acquired": value}), "time")
    if "units" in array.attributes:
        variable = xr.Variable("time", read_values(array, StoreRegistry.of(None)), array.attributes)
        found = xr.conventions.decode_cf_variable("time", variable).values
        np.testing.assert_array_equal(found, [np.datetime64(expected)])
    else:
        assert read_values(array, StoreRegistry.of(None)).tolist() == [expected]


def test_patterns_match_in_natural_order(tmp_path):
    names = ["f1.nc", "f2.nc", "f02.nc", "f10.nc", "f10a.nc", "g/f3.nc", "g2/f1.nc", "g10/f1.nc"]
    for name in reversed(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [source.url.removeprefix(f"file://{tmp_path}/") for source in expand_sources(f"{tmp_path}/**/*.nc")]
    assert found == names


def test_stacking_is_a_keyword(tmp_path):
    for i in range(2):
        with netCDF4.Dataset(tmp_path / f"g{i}.nc", "w") as file:
            file.createDimension("x", 2)
            for name in ("lat", "v"):
                file.createVariable(name, "f4", ("x",))[:] = i
            file["v"].coordinates = "lat"
    keywords = {"concat_dim": "n", "coords": [r"n=regex:g(\d)"]}
    mf.convert(f"{tmp_path}/g*.nc", tmp_path / "o.json", stack=["lat"], **keywords)
    assert mf.parse(tmp_path / "o.json")["lat"].shape == (2, 2)


@pytest.mark.parametrize("text", ["time", "time=S2", "time=name:x", "=regex:x", "time=regex:("])
def test_bad_coordinate_rules(text):
    with pytest.raises(mf.OptionError):
        CoordinateRule.parse(text)


def test_preprocess_and_relocate(archive, tmp_path):
    report = mf.convert(
        archive,
        tmp_path / "out.json",
        concat_dim="time",
        preprocess=without_x,
        relocate={f"file://{tmp_path}/in": "s3://bucket"},
    )
    refs = json.loads((tmp_path / "out.json").read_bytes())["refs"]
    assert refs["t/3.0"][0] == "s3://bucket/d1.nc"
    assert "x/.zarray" not in refs
    assert report.sources[0].url == f"file://{archive[0]}"
    with pytest.raises(mf.PluginError, match=r"d0.nc: preprocess failed: ZeroDivisionError"):
        mf.convert(archive, tmp_path / "no.json", concat_dim="time", preprocess=fails)
    with pytest.raises(mf.OptionError, match="the task cannot be sent to workers"):
        mf.convert(archive, tmp_path / "no.json", concat_dim="time", preprocess=lambda tree: tree, executor=2)
    assert not (tmp_path / "no.json").exists()


def without_x(tree):
    """A tree without the array x."""
    return tree.select(exclude=["x"])


def fails(tree):
    """What users write."""
    return 1 / 0


def test_stores_that_cannot_travel_are_refused(archive, tmp_path):
    memory = MemoryStore()
    for path in archive:
        memory.put(path.name, path.read_bytes())
    stores = {"memory://m": memory}
    report = mf.convert("memory://m/*.nc", tmp_path / "out.json", concat_dim="time", stores=stores)
    assert report.count("written") == 6
    with pytest.raises(mf.OptionError, match="the stores cannot be sent to workers"):
        mf.convert("memory://m/*.nc", tmp_path / "no.json", concat_dim="time", stores=stores, executor=2)


def test_without_a_dimension_sources_are_merged(archive, tmp_path):
    with pytest.raises(mf.IncompatibleArraysError, match="--concat-dim"):
        mf.convert(archive, tmp_path / "out.json")
    mf.convert(archive[0], tmp_path / "left.json", include=["t"])
    report = mf.convert([archive[0]], tmp_path / "out.json")
    assert report.written.arrays == 3


def test_what_does_not_go_together(archive, tmp_path):
    target = tmp_path / "out.json"
    with pytest.raises(mf.OptionError, match="are different dimensions"):
        mf.convert(archive, target, concat_dim="time", append_dim="x")
    with pytest.raises(mf.OptionError, match="resume needs a concat_dim"):
        mf.convert(archive, target, resume=True)
    with pytest.raises(mf.OptionError, match="overwrite replaces the whole output"):
        mf.convert(archive, target, overwrite=True, append_dim="time")
    with pytest.raises(mf.OptionError, match="coords need a concat_dim"):
        mf.convert(archive, target, coords=["a=regex:b"])
    with pytest.raises(mf.OptionError, match=r"executor=.* is not allowed; expected a concurrent.futures.Executor"):
        mf.convert(archive, target, concat_dim="time", executor="many")


def test_sources_are_found(archive, tmp_path):
    urls = [f"file://{path}" for path in archive]
    here = str(tmp_path / "in")

    def found(given, stores=None):
        return [source.url for source in expand_sources(given, stores)]

    assert found(archive[0]) == urls[:1]
    assert found(here + "/") == urls
    assert found(here + "/d[0-2].nc") == urls[:3]
    assert found(here + "/d[!0-2].nc") == urls[3:]
    assert found(here + "/d?.nc") == urls
    assert found(str(tmp_path) + "/**/*.nc") == urls
    assert found(str(tmp_path) + "/*/d0.nc") == urls[:1]
    listing = tmp_path / "list.txt"
    listing.write_text(f"# the archive\n{archive[1]}\n\n{here}/d[45].nc\n")
    assert found(f"@{listing}") == [urls[1], *urls[4:]]
    odd = tmp_path / "in" / "d[0].nc"
    odd.write_bytes(b"")
    assert found(str(odd)) == [f"file://{odd}"]
    odd.unlink()
    assert found("s3://bucket/in/*.nc", {"s3://bucket": LocalStore(tmp_path)}) == [
        f"s3://bucket/in/d{day}.nc" for day in range(6)
    ]
    assert found("s3://bucket/in/", {"s3://bucket": LocalStore(tmp_path)})[0] == "s3://bucket/in/d0.nc"
    assert found("s3://bucket/*.nc", {"s3://bucket": LocalStore(here)})[0] == "s3://bucket/d0.nc"


def test_sources_that_are_not_found(archive, tmp_path):
    with pytest.raises(mf.SourceError, match="no source matches this pattern"):
        expand_sources(str(tmp_path / "*.h5"))
    with pytest.raises(mf.OptionError, match="is among the sources twice"):
        expand_sources([archive[0], os.path.relpath(archive[0])])
    with pytest.raises(mf.OptionError, match="no source was given"):
        expand_sources([])
    with pytest.raises(mf.SourceError, match="plain HTTP cannot be listed"):
        expand_sources("https://example.org/data/")
    (tmp_path / "list.txt").write_text("# none\n\n")
    with pytest.raises(mf.SourceError, match=r"list\.txt: lists no source"):
        expand_sources(f"@{tmp_path}/list.txt")
    with pytest.raises(mf.SourceError, match=r"d0\.nc: is not a text file"):
        expand_sources(f"@{archive[0]}")


def test_a_list_from_a_pipe(archive, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit((tmp_path / "pipe").write_text, f"{archive[0]}\n")
        assert [source.url for source in expand_sources(f"@{tmp_path}/pipe")] == [f"file://{archive[0]}"]
        writing.result()


def test_prefixes_that_no_source_has(archive, tmp_path):
    with pytest.raises(mf.OptionError, match=f"relocate: no source is at '{tmp_path}'.* first source is at 'file://"):
        mf.convert(archive, tmp_path / "out.json", concat_dim="time", relocate={str(tmp_path): "s3://bucket"})
    assert not (tmp_path / "out.json").exists()


def test_from_the_command_line(archive, tmp_path, capsys):
    for day, path in enumerate(archive[:3]):
        path.rename(path.with_name(f"S2_2020010{day + 1}_x.nc"))
    command = [
        "convert", f"{tmp_path}/in/S2_*.nc", f"{tmp_path}/out.json", "--concat-dim", "time", "--exclude", "time",
        "--rename", "time=step", "--coord", r"time:%Y%m%d=regex:S2_(\d{8})", "--combine", "on_conflict=harmonise",
    ]  # fmt: skip
    assert run([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    assert [source["status"] for source in report["sources"]] == ["written"] * 3
    with opened(tmp_path / "out.json") as ds:
        assert dict(ds.sizes) == {"time": 3, "step": 2, "x": 5}


def test_a_scalar_coordinate_becomes_the_dimension(tmp_path):
    for day in range(3):
        with netCDF4.Dataset(tmp_path / f"d{day}.nc", "w", format="NETCDF3_CLASSIC") as file:
            file.createDimension("x", 4)
            time = file.createVariable("time", "i4", ())
            time.units = "days since 2000-01-01"
            time[...] = day
            file.createVariable("t", "i2", ("x",))[:] = np.arange(4) + day
    mf.convert(str(tmp_path / "*.nc"), tmp_path / "out.json", concat_dim="time")
    with opened(tmp_path / "out.json") as ds:
        np.testing.assert_array_equal(ds.time.values, [0, 1, 2])
        np.testing.assert_array_equal(ds.t.values, np.arange(4) + np.arange(3)[:, None])


def test_damaged_coordinates_are_told_and_skipped(tmp_path):

    paths = [tmp_path / f"{i}.nc" for i in range(3)]
    for i, path in enumerate(paths):
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("time", None)
            file.createVariable("time", "i4", ("time",), zlib=True)[:] = [i]
    for damaged in (0, 1):
        chunk = mf.parse(paths[damaged])["time"].manifest[0]
        data = paths[damaged].read_bytes()
        paths[damaged].write_bytes(data[: chunk.offset] + bytes(chunk.length) + data[chunk.offset + chunk.length :])
        with pytest.raises(mf.MalformedFileError, match=f"time: file://.*/{damaged}.nc: decoding values failed"):
            mf.convert(paths, tmp_path / "none.json", concat_dim="time")
        report = mf.convert(paths, tmp_path / "out.json", concat_dim="time", on_error="skip", overwrite=True)
        assert [source.status for source in report.sources].count("failed") == 1
        assert report.sources[damaged].error.startswith("MalformedFileError: time: ")
        paths[damaged].write_bytes(data)


MISTYPED = [
    (lambda f, _: mf.parse(f, inline_belov=3), "did you mean 'inline_below'"),
    (lambda f, _: mf.parse(f, on_unsuported="skip"), "did you mean 'on_unsupported'"),
    (lambda f, o: mf.convert(f, o, read={"inline_belov": 3}), "did you mean 'inline_below'"),
    (
        lambda f, o: mf.convert(f, o, read={"on_unsuported": "skip"}),
        "no option 'on_unsuported'; (there are|it has none)",
    ),
    (lambda f, o: mf.convert(f, o, write={"inlin_below": 3}), "did you mean 'inline_below'"),
    (lambda f, o: mf.convert(f, o, combine={"compatt": "close"}), "combine has no option .* did you mean 'compat'"),
    (lambda f, o: mf.convert(f, o, combine={"compat": "near"}), "combine: compat: .* it takes 'close' or 'equals'"),
    (lambda f, o: mf.convert(f, o, combine="close"), "expected a mapping of names to values, not str"),
    (lambda f, o: mf.convert(f, o, read=["group"]), "expected a mapping of names to values, not list"),
    (lambda f, o: mf.convert(f, o, read={"include": "t"}, include=["t"]), "include: is given twice"),
    (lambda f, o: mf.write(mf.parse(f), o, overwritte=True), "did you mean 'overwrite'"),
    (lambda f, _: mf.concat([mf.parse(f)], "time", lik=None), "did you mean 'like'"),
    (lambda f, _: mf.stack([mf.parse(f)], "z", coord={}), "did you mean 'coords'"),
    (lambda f, _: mf.merge([mf.parse(f)], store={}), "did you mean 'stores'"),
    (
        lambda f, _: xr.open_dataset(f, engine="manifestry", options={"inline_belov": 3}),
        "did you mean 'inline_below'",
    ),
    (lambda f, _: xr.open_dataset(f, engine="manifestry", options={"format": "x"}), "has no option 'format'"),
]


@pytest.mark.parametrize(("call", "message"), MISTYPED, ids=map(str, range(len(MISTYPED))))
def test_mistyped_options_are_named_with_what_was_meant(archive, tmp_path, call, message):
    with pytest.raises(mf.OptionError, match=message):
        call(archive[0], tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


def test_one_spelling_for_options(archive, tmp_path):
    options = {"read": {"inline_below": 10_000}, "write": {"inline_below": 0}, "concat_dim": "time"}
    harmonised = {"on_conflict": "harmonise", "load": "x"}
    for name, combine in (("a", harmonised), ("b", mf.CombineOptions(on_conflict="harmonise", load=("x",)))):
        report = mf.convert(archive[:2], tmp_path / f"{name}.json", combine=combine, **options)
        assert report.written.inlined == 4
        assert report.written.references == 0
    assert (
        json.loads((tmp_path / "a.json").read_text())["refs"] == json.loads((tmp_path / "b.json").read_text())["refs"]
    )


@pytest.mark.parametrize("where", [{"append_dim": "time"}, {"region": {"time": slice(0, 1)}}])
def test_overwriting_a_part_is_a_contradiction(archive, tmp_path, where):
    tree = mf.parse(archive[0])
    with pytest.raises(
        mf.OptionError, match="overwrite replaces the whole output; it does not go with append_dim or region"
    ):
        mf.write(tree, tmp_path / "out.icechunk", overwrite=True, **where)
    assert not (tmp_path / "out.icechunk").exists()
