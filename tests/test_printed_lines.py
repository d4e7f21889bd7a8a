"""What reports print opens what was written, whatever the tree: in a process without our packages, by one rule for all."""

import manifestry as mf
import numpy as np
from manifestry.testing.building import TreeBuilder

from tests.support.printed_lines import read_printed

OUTPUTS = {"a.icechunk": {}, "a.json": {}, "three.json": {"zarr_format": 3}, "a.parq": {}}

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


def test_all_writers_say_the_same(tmp_path):
    lines, expected = {}, {}
    for number, (arrays, kind) in enumerate(CASES.values()):
        (tmp_path / str(number)).mkdir()
        builder = TreeBuilder(tmp_path / str(number))
        for path, (shape, dims) in arrays.items():
            builder.array(path, np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape), dims=dims)
        for output, options in OUTPUTS.items():
            name = f"{number}/{output}"
            target = tmp_path / name
            lines[name] = mf.write(builder.tree(), target, **options).reader
            expected[name] = kind, arrays.keys()
    found = read_printed(lines, tmp_path)
    for name, (kind, paths) in expected.items():
        opened, arrays = found[name]
        assert (opened, set(arrays)) == (kind, set(paths)), (
            name,
            lines[name],
            arrays,
        )
