"""What reports print opens what was written, whatever the tree: in a process without our packages, by one rule for all."""

import manifestry as mf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from manifestry.testing.building import TreeBuilder

from tests.support.printed_lines import read_printed

OUTPUTS = {"a.icechunk": {}, "a.json": {}, "three.json": {"zarr_format": 3}, "a.parq": {}}
LENGTHS = (2, 3)


def array(draw, builder, name):
    """An array of a few elements: dimensions may repeat, lack names, or have one that is another length elsewhere."""
    ndim = draw(st.integers(0, 3))
    names = draw(st.sampled_from(["distinct", "any", "none"]))
    pool = ["x", "y", "a", None] if names == "any" else ["x", "y", "a"]
    dims = draw(st.lists(st.sampled_from(pool), min_size=ndim, max_size=ndim, unique=names == "distinct"))
    usual = {"x": 2, "y": 3, "a": 2, None: 2}
    odd = draw(st.integers(0, 9)) == 0
    shape = tuple(draw(st.sampled_from(LENGTHS)) if odd else usual[dim] for dim in dims)
    builder.array(
        name, np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape), dims=None if names == "none" else dims
    )


@st.composite
def layouts(draw):
    """Names of arrays in each group of a tree."""
    groups = draw(st.lists(st.sampled_from(["", "g", "g/h", "x"]), min_size=1, max_size=3, unique=True))
    names = st.lists(st.sampled_from(["x", "y", "v", "a b", "é", "c", "0"]), max_size=3, unique=True)
    return {group: draw(names) for group in groups}


def tree_of(draw, layout, folder):
    builder = TreeBuilder(folder)
    for group, names in layout.items():
        for name in names:
            at = f"{group}/{name}".lstrip("/")
            if at not in layout and not any(other.startswith(f"{at}/") for other in layout):
                array(draw, builder, at)
    return builder.tree()


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_tree_is_opened(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("printed")
    lines, trees = {}, {}
    for number in range(8):
        (folder / str(number)).mkdir()
        tree = tree_of(data.draw, data.draw(layouts()), folder / str(number))
        for output, options in OUTPUTS.items():
            name = f"{number}/{output}"
            trees[name] = tree
            lines[name] = mf.write(tree, folder / name, **options).reader
    for name, (kind, found) in read_printed(lines, folder).items():
        arrays = dict(trees[name].walk_arrays())
        assert kind != "error", (name, lines[name], found, arrays)
        assert found.keys() == arrays.keys(), (name, lines[name])
        for path, (dims, values) in found.items():
            assert values.shape == arrays[path].shape
            assert values.ravel().tolist() == list(range(values.size))
            assert kind == "root" or dims == tuple(map(str, arrays[path].dims))


CASES = {
    "dimension twice": ({"v": ((2, 2), ("x", "x")), "x": ((2,), ("x",))}, "ds"),
    "named as its dimension": ({"x": ((2, 3), ("y", "x")), "y": ((2,), ("y",))}, "ds"),
    "two lengths": ({"v": ((2,), ("x",)), "w": ((3,), ("x",))}, "root"),
    "without names": ({"v": ((2,), None), "w": ((3,), ("x",))}, "root"),
    "partly without names": ({"v": ((2, 2), ("x", None))}, "ds"),
    "scalar": ({"v": ((), None), "w": ((3,), ("x",))}, "ds"),
    "scalar named as a dimension": ({"x": ((), ()), "v": ((3,), ("x",))}, "root"),
    "groups": ({"x": ((2,), ("x",)), "g/v": ((2,), ("x",)), "g/h/w": ((3,), ("y",))}, "tree"),
    "groups of other lengths": ({"v": ((2,), ("x",)), "g/v": ((3,), ("x",))}, "datasets"),
    "groups with an index of their own": ({"x": ((2,), ("x",)), "g/x": ((2,), ("x",))}, "datasets"),
    "groups without names": ({"x": ((2,), ("x",)), "g/v": ((2,), None)}, "root"),
    "in a group of two lengths": ({"g/v": ((2,), ("x",)), "g/w": ((3,), ("x",))}, "root"),
    "nothing": ({}, "ds"),
}


@pytest.mark.parametrize("group", ["", "in/side"])
def test_all_writers_say_the_same(group, tmp_path):
    lines, expected = {}, {}
    for number, (arrays, kind) in enumerate(CASES.values()):
        (tmp_path / str(number)).mkdir()
        builder = TreeBuilder(tmp_path / str(number))
        for path, (shape, dims) in arrays.items():
            builder.array(path, np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape), dims=dims)
        for output, options in OUTPUTS.items():
            name = f"{number}/{output}"
            target = tmp_path / name
            lines[name] = mf.write(builder.tree(), target, **options, **({"group": group} if group else {})).reader
            expected[name] = kind, arrays.keys()
    found = read_printed(lines, tmp_path)
    prefix = f"{group}/" if group else ""
    for name, (kind, paths) in expected.items():
        opened, arrays = found[name]
        assert (opened, {path.removeprefix(prefix) for path in arrays}) == (kind, set(paths)), (
            name,
            lines[name],
            arrays,
        )
