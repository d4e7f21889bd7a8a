"""The conformance of writers of references: every sample tree, read by other people's software in a fresh process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from manifestry.model.metadata import RectilinearGrid
from manifestry.model.tree import VirtualArray
from manifestry.testing.trees import SAMPLES, SampleTree, make_sample
from manifestry.writing import write
from numpy.typing import NDArray
from other_process import ask

__all__ = ["ReferenceOutputs"]

_UNREADABLE: Final = {("without-dims", "xarray"), ("big-endian-records", "xarray")}
"""xarray opens no array whose dimensions have no names, and raises where it should turn the fields of records round."""

_DECODED: Final = {"_FillValue", "missing_value", "scale_factor", "add_offset", "units", "_Unsigned"}
"""Attributes by which xarray turns elements into others; characters in arrays become texts without any."""


@dataclass
class ReferenceOutputs:
    """Writes every sample in one format and compares what independent readers find.

    Attributes
    ----------
    directory
        Where sources and outputs go.
    format, suffix
        Name of the format, and the ending of its outputs.
    zarr_formats
        Values of the writer's option `zarr_format` to try.

    Examples
    --------
    >>> def test_conformance(tmp_path):
    ...     outputs = ReferenceOutputs(tmp_path, "kerchunk-json", ".json", [2, 3, "both"])
    ...     assert outputs.differences() == []
    """

    directory: Path
    format: str
    suffix: str
    zarr_formats: Sequence[int | str]
    compared: int = field(default=0, init=False)

    def differences(self) -> list[str]:
        """What is not as it should be, one line for each array, output and reader. Empty when all is well."""
        samples = {name: make_sample(name, self.directory / name) for name in SAMPLES}
        jobs, wrong = [], []
        for name, sample in samples.items():
            for version in self.zarr_formats:
                target = self.directory / f"{name}-{version}{self.suffix}"
                report = write(sample.tree, target, format=self.format, zarr_format=version, on_unsupported="skip")
                refused = {issue.path for issue in report.issues if issue.severity == "refused"}
                wrong += [f"{name}: {path} is refused" for path in refused if not _may_be_refused(sample, path)]
                jobs.append(_job(sample, f"{name}:{version}", target, version, refused))
        for (job, reader, array), found in self._read(jobs).items():
            sample = samples[job.partition(":")[0]]
            self.compared += 1
            problem = _compare(sample, reader, array, found)
            if problem:
                wrong.append(f"{job} {reader} {array}: {problem}")
        return wrong

    def _read(self, jobs: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
        found: dict[tuple[str, str, str], Any] = ask("reference_readers.read_jobs", jobs, kept="manifestry_codecs")
        return found


def _job(sample: SampleTree, name: str, target: Path, version: int | str, refused: set[str]) -> dict[str, Any]:
    arrays = {path: _kind(array) for path, array in sample.tree.walk_arrays() if path not in refused}
    return {"name": name, "target": str(target), "arrays": arrays, "zarr_format": version}


def _kind(array: VirtualArray) -> str:
    plane = len(array.shape) == 2 and 0 not in array.shape and array.dtype.kind in "iuf"
    return "plane" if plane else ""


def _may_be_refused(sample: SampleTree, path: str) -> bool:
    array = sample.tree[path]
    return isinstance(array, VirtualArray) and isinstance(array.metadata.chunk_grid, RectilinearGrid)


def _compare(sample: SampleTree, reader: str, path: str, found: Any) -> str:
    """What is wrong with the elements that a reader found, or nothing."""
    array = sample.tree[path]
    assert isinstance(array, VirtualArray)
    if isinstance(found, str):
        expected = (sample.name, reader) in _UNREADABLE or isinstance(array.metadata.chunk_grid, RectilinearGrid)
        return "" if expected else found
    right = sample.values[path]
    if reader == "xarray" and (array.dtype == "S1" or not _DECODED.isdisjoint(array.attributes)):
        right = _decoded(sample, path, array)
        numbers = right.dtype.kind not in "OSU"
        same = found.shape == right.shape and np.array_equal(found, right, equal_nan=numbers)
        return "" if same else f"{found} for {right}"
    if found.shape != right.shape:
        return f"shape {found.shape} for {right.shape}"
    if right.dtype.kind in "TOSU":
        same = _texts(found) == _texts(right)
    else:
        native = found.astype(found.dtype.newbyteorder("="))
        same = native.dtype == right.dtype and native.tobytes() == right.tobytes()
    return "" if same else f"{found.dtype} {found} for {right.dtype} {right}"


def _decoded(sample: SampleTree, path: str, array: VirtualArray) -> NDArray[Any]:
    """What xarray makes of the right elements and attributes."""
    attributes = dict(sample.attributes.get(path, {}))
    if "_FillValue" in array.attributes:
        attributes["_FillValue"] = array.attributes["_FillValue"]
    decoded: NDArray[Any] = xr.decode_cf(xr.Dataset({"right": (array.dims, sample.values[path], attributes)}))[
        "right"
    ].values
    return decoded


def _texts(values: NDArray[Any]) -> list[Any]:
    return [v.rstrip(b"\0") if isinstance(v, bytes) else str(v) for v in values.reshape(-1).tolist()]
