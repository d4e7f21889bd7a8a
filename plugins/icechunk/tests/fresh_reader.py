"""The other process of `conftest.FreshReader`: icechunk, zarr and xarray, and nothing of manifestry."""

import json
import os
import pickle
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path


class Ban(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == "manifestry":
            raise ImportError("manifestry is not available to readers")


sys.meta_path.insert(0, Ban())

import numpy as np  # noqa: E402
import zarr  # noqa: E402


def read(lines):
    names = {}
    exec(lines, names)  # the report's own lines, as printed
    root = zarr.open_group(names["store"], mode="r")
    found = {"arrays": {}, "groups": {"": root.attrs.asdict()}, "decoded": {}}
    for path, member in root.members(max_depth=None):
        if isinstance(member, zarr.Group):
            found["groups"][path] = member.attrs.asdict()
        else:
            found["arrays"][path] = (
                np.asarray(member[...], member.dtype),
                member.metadata.dimension_names,
                member.attrs.asdict(),
            )
    datasets = {"/": names["ds"]} if "ds" in names else names.get("datasets", {})
    if "tree" in names:
        datasets = {group.path: group.to_dataset(inherit=False) for group in names["tree"].subtree}
    for place, group in datasets.items():
        for name, variable in group.variables.items():
            found["decoded"][f"{place.strip('/')}/{name}".lstrip("/")] = variable.values
    return found


for request in sys.stdin:
    job = json.loads(request)
    os.environ.update(job["env"])
    results = []
    for lines in job["lines"]:
        try:
            results.append(read(lines))
        except Exception as error:
            results.append({"error": f"{type(error).__name__}: {error}"})
    Path(sys.argv[1]).write_bytes(pickle.dumps(results))
    sys.stdout.write("done\n")
    sys.stdout.flush()
