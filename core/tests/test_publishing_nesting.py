"""Outputs of formats of other plugins are protected as those of ours are."""

import manifestry as mf
import numpy as np
import pytest
from manifestry.formats.targets import Target
from manifestry.publishing.nesting import refuse_inside_output
from obstore.store import MemoryStore


@pytest.fixture
def raw(toy_formats, tmp_path):
    return toy_formats.raw_file(tmp_path / "a.raw", np.arange(6).reshape(3, 2))


@pytest.mark.parametrize("output", ["o.crate", "plain"])
def test_nothing_is_written_into_an_output_that_a_plugin_recognises(raw, tmp_path, output):
    mf.convert(raw, tmp_path / output, to="crate")
    for inside in ("b.box", "deeper/b.box", "b.crate"):
        (tmp_path / output / "deeper").mkdir(exist_ok=True)
        with pytest.raises(
            mf.TargetExistsError, match=rf"lies inside file://.*/{output}, which is .* crate \(Crates\)"
        ):
            mf.convert(raw, tmp_path / output / inside)
    assert sorted(p.name for p in (tmp_path / output).iterdir()) == ["crate.box", "deeper"]
    mf.convert(raw, tmp_path / output, to="crate", overwrite=True)
    assert mf.parse(tmp_path / output).arrays.keys() == {"v"}


def test_beside_an_output_and_in_a_directory_of_another_kind(raw, tmp_path):
    mf.convert(raw, tmp_path / "o.crate")
    mf.convert(raw, tmp_path / "b.box")
    (tmp_path / "empty.crate").mkdir()
    mf.convert(raw, tmp_path / "empty.crate" / "b.box")


def test_remote_outputs_by_their_names(toy_formats):
    stores = {"memory://here": MemoryStore()}
    for name in ("o.crate", "other"):
        stores["memory://here"].put(f"{name}/crate.box", b"BOXF")
    with pytest.raises(mf.TargetExistsError, match=r"lies inside memory://here/o\.crate, which is"):
        refuse_inside_output(Target.of("memory://here/o.crate/b.box", "", stores))
    refuse_inside_output(Target.of("memory://here/other/b.box", "", stores))  # there every look is a request
    refuse_inside_output(Target.of("memory://here/empty.crate/b.box", "", stores))
