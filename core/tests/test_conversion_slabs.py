"""Slabs, resume and append with Icechunk."""

import signal
import subprocess
import sys
from pathlib import Path

import manifestry as mf
import pytest
from manifestry.conversion import output
from manifestry.testing.refusing import refuses


def commits(target: Path) -> int:
    import icechunk

    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
    return sum(1 for commit in repository.ancestry(branch="main") if "manifestry" in commit.metadata)


def test_slabs_are_commits(hourly_archive, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    report = mf.convert(hourly_archive, target, concat_dim="time", slab_files=3)
    assert commits(target) == 3
    check_hourly(target, 7)
    assert report.written.references == 7 * 2 + 1
    assert [source.status for source in report.sources] == ["written"] * 7


def tagged(target: Path) -> int:
    """Steps of the state that a tag names."""
    return mf.parse(target, tag="v1").arrays["time"].shape[0]


@pytest.mark.parametrize("slab_files", [None, 1, 3, 7])
def test_a_tag_names_the_last_commit(hourly_archive, tmp_path, slab_files):
    target = tmp_path / "out.icechunk"
    bad = tmp_path / "bad.nc"
    bad.write_bytes(b"CDF\x01 and no more")
    tag = {"write": {"tag": "v1"}}
    mf.convert([*hourly_archive, bad], target, concat_dim="time", slab_files=slab_files, on_error="skip", **tag)
    steps = mf.parse(target).arrays["time"].shape[0]
    assert tagged(target) == steps
    with pytest.raises(mf.TargetExistsError, match="tags never move"):
        mf.convert(hourly_archive, target, concat_dim="time", slab_files=slab_files, overwrite=True, **tag)
    assert tagged(target) == steps


def test_a_run_that_fails_leaves_no_tag(hourly_archive, tmp_path):
    target, bad = tmp_path / "out.icechunk", tmp_path / "bad.nc"
    bad.write_bytes(b"CDF\x01 and no more")
    with refuses(match="bad"):
        mf.convert([*hourly_archive[:2], bad], target, concat_dim="time", slab_files=1, write={"tag": "v1"})
    with refuses(match="v1"):
        mf.parse(target, tag="v1")
    mf.convert(hourly_archive, target, append_dim="time", slab_files=1, write={"tag": "v1"})
    assert tagged(target) == mf.parse(target).arrays["time"].shape[0]


def test_append_takes_new_sources_only(hourly_archive, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(hourly_archive[:3], target, concat_dim="time")
    report = mf.convert(hourly_archive[:5], target, append_dim="time")
    assert [source.status for source in report.sources] == ["present"] * 3 + ["written"] * 2
    check_hourly(target, 5)
    report = mf.convert(hourly_archive[:5], target, append_dim="time")
    assert report.written is None
    assert report.count("present") == 5
    mf.convert(hourly_archive, target, append_dim="time", executor=2)
    check_hourly(target, 7)
    with pytest.raises(mf.SourceError, match="no Icechunk repository to change"):
        mf.convert(hourly_archive, tmp_path / "none.icechunk", append_dim="time")


def test_what_goes_back_behind_the_output_is_reported(hourly_archive, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(hourly_archive[2:4], target, concat_dim="time")
    report = mf.convert(hourly_archive[:2], target, append_dim="time")
    (issue,) = report.issues
    assert issue.feature == "coordinate not monotonic"
    assert f"first 0 in file://{hourly_archive[0]} after 7 in file://{target}" in issue.message
    report = mf.convert(hourly_archive[4:5], tmp_path / "one.icechunk", concat_dim="time")
    assert mf.convert(hourly_archive[5:], tmp_path / "one.icechunk", append_dim="time").issues == ()


def test_changed_sources_are_reported(hourly_archive, hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(hourly_archive[:2], target, concat_dim="time")
    hourly(hourly_archive[0], 100, 3)
    hourly_archive[1].unlink()
    with pytest.raises(mf.SourceError):
        mf.convert([hourly_archive[1]], tmp_path / "x.icechunk", concat_dim="time")
    report = mf.convert([hourly_archive[0], hourly_archive[2]], target, append_dim="time")
    assert [source.status for source in report.sources] == ["changed", "written"]
    assert "since it was written: size was" in report.sources[0].error


def test_appended_sources_are_harmonised_with_the_output(hourly_archive, hourly, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(hourly_archive[:1], target, concat_dim="time")
    hourly(hourly_archive[1], 2, units="hours since 2000-01-01 02:00", shift=2)
    mf.convert(hourly_archive[1:2], target, append_dim="time")
    check_hourly(target, 2)


def test_what_the_output_has_is_not_left_out_of_what_is_added(hourly_archive, hourly, tmp_path):
    drop = mf.CombineOptions(on_conflict="drop")
    for name, change, message in (
        ("t", {"factor": 0.2}, "scale_factor is 0.2 instead of 0.1.* in .*h02.nc"),
        ("x", {"x0": 1}, "h02.nc: element .0. is 1.0 instead of 0.0"),
    ):
        hourly(hourly_archive[2], 4, **change)
        for slab_files in (1, 2):
            target = tmp_path / f"{name}{slab_files}.icechunk"
            with pytest.raises(mf.IncompatibleArraysError, match=f"^{name}: the output has it .*{message}"):
                mf.convert(hourly_archive[:3], target, concat_dim="time", combine=drop, slab_files=slab_files)
        whole = mf.convert(hourly_archive, tmp_path / f"{name}.icechunk", concat_dim="time", combine=drop)
        assert [issue.path for issue in whole.issues if issue.severity == "refused"] == [name]
        assert name not in mf.parse(whole.target).arrays


def test_dropped_once_dropped_everywhere(hourly_archive, hourly, tmp_path):
    """Also where the batches and commits that follow could have it, and missing variables are filled."""
    hourly(hourly_archive[1], 2, factor=0.2)
    combine = mf.CombineOptions(on_conflict="drop", missing="fill", load=("t",))
    for slab_files in (2, 7):
        target = tmp_path / f"{slab_files}.icechunk"
        mf.convert(hourly_archive, target, concat_dim="time", combine=combine, slab_files=slab_files, executor=2)
        assert {path: array.shape for path, array in mf.parse(target).walk_arrays()} == {"time": (14,), "x": (3,)}


def test_a_source_that_another_run_adds_meanwhile(hourly_archive, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert(hourly_archive[:1], target, concat_dim="time")

    def other_run(tree):
        if mf.parse(target)["time"].shape == (2,):
            mf.convert(hourly_archive[1:2], target, append_dim="time")
        return tree

    with pytest.raises(mf.WriteError, match=r"another run has added file://.*/h01\.nc in the meantime"):
        mf.convert(hourly_archive[:3], target, append_dim="time", preprocess=other_run)
    check_hourly(target, 2)
    mf.convert(hourly_archive[:3], target, append_dim="time")
    check_hourly(target, 3)


def test_append_with_relocated_sources(hourly_archive, tmp_path):
    target = tmp_path / "out.icechunk"
    moved = {f"file://{tmp_path}/in": "s3://bucket"}
    mf.convert(hourly_archive[:2], target, concat_dim="time", relocate=moved)
    report = mf.convert(hourly_archive[:3], target, append_dim="time", relocate=moved)
    assert [source.status for source in report.sources] == ["present", "present", "written"]


def test_a_run_that_stops_goes_on(hourly_archive, check_hourly, tmp_path, monkeypatch):
    target = tmp_path / "out.icechunk"
    write = output.Output.write

    def third_fails(output, tree, progress):
        if target.exists() and commits(target) == 2:
            raise KeyboardInterrupt
        write(output, tree, progress)

    monkeypatch.setattr(output.Output, "write", third_fails)
    with pytest.raises(KeyboardInterrupt):
        mf.convert(hourly_archive, target, concat_dim="time", slab_files=2, resume=True)
    monkeypatch.undo()
    check_hourly(target, 4)
    report = mf.convert(hourly_archive, target, concat_dim="time", slab_files=2, resume=True)
    assert [source.status for source in report.sources] == ["present"] * 4 + ["written"] * 3
    check_hourly(target, 7)


KILLED = """
import sys
import manifestry as mf
from manifestry.conversion import output
write = output.Output.write
def slow(output, tree, progress):
    write(output, tree, progress)
    print("committed", flush=True)
    sys.stdin.readline()
output.Output.write = slow
mf.convert(sys.argv[2:], sys.argv[1], concat_dim="time", slab_files=2, resume=True)
"""


def test_a_killed_run_goes_on(hourly_archive, check_hourly, tmp_path):
    target = tmp_path / "out.icechunk"
    command = [sys.executable, "-c", KILLED, str(target), *map(str, hourly_archive)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"committed\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    check_hourly(target, 2)
    mf.convert(hourly_archive, target, concat_dim="time", slab_files=2, resume=True)
    check_hourly(target, 7)


@pytest.mark.parametrize(("slab_files", "expected"), [(2, 4), (4, 2), (5, 2), (6, 2), (7, 1)])
def test_slabs_end_where_they_should(hourly_archive, tmp_path, slab_files, expected):
    """The first source, which is parsed alone, belongs to the first slab."""
    mf.convert(hourly_archive, tmp_path / "out.icechunk", concat_dim="time", slab_files=slab_files)
    assert commits(tmp_path / "out.icechunk") == expected
