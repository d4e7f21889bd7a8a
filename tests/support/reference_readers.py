"""Reads outputs of references with other people's software, in a process that cannot import manifestry.

A job is ``{"name", "target", "arrays", "zarr_format", "options"}``; its answer is ``{(name, reader, array): ndarray or text
of the error}``. The readers are fsspec with zarr, xarray's kerchunk engine (Zarr v2, groups one by one) and GDAL (arrays of
numbers in two dimensions, JSON).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Self

import fsspec
import numpy as np
import rasterio
import xarray as xr
import zarr

__all__ = ["read_jobs"]

type Found = dict[tuple[str, str, str], Any]


def read_jobs(jobs: Iterable[Mapping[str, Any]]) -> Found:
    """All jobs, one after the other."""
    found: Found = {}
    for job in jobs:
        found |= _read_job(job)
    return found


def _read_job(job: Mapping[str, Any]) -> Found:
    """Every array of one output by every reader that can read it."""
    readers: dict[str, Callable[[str], Any]] = {"fsspec+zarr": _zarr_reader(job)}
    if job["zarr_format"] != 3:
        readers["xarray"] = _xarray_reader(job)
    if job["zarr_format"] != 3 and job["target"].endswith(".json"):
        readers["GDAL"] = _gdal_reader(job)
    found: Found = {}
    for name, read in readers.items():
        for array in _readable(name, job):
            with _Answer() as answer:
                answer.value = np.array(read(array), copy=True)
            found[job["name"], name, array] = answer.value
    return found


class _Answer:
    """What a reader returns; whatever it raises is its answer too, as text."""

    value: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> bool:
        if isinstance(error, Exception):
            self.value = f"{type(error).__name__}: {error}"
        return isinstance(error, Exception)


def _readable(reader: str, job: Mapping[str, Any]) -> Iterable[str]:
    return [a for a, kind in job["arrays"].items() if reader != "GDAL" or kind == "plane"]


def _store(job: Mapping[str, Any]) -> Any:
    options = {"fo": job["target"], "remote_protocol": "file", **job.get("options", {})}
    system = fsspec.filesystem("reference", asynchronous=True, skip_instance_cache=True, **options)
    return zarr.storage.FsspecStore(system, read_only=True, path="")


def _zarr_reader(job: Mapping[str, Any]) -> Callable[[str], Any]:
    version = 2 if job["zarr_format"] == 2 else 3
    root: Any = zarr.open_group(_store(job), mode="r", zarr_format=version)
    return lambda array: root[array][...]


def _xarray_reader(job: Mapping[str, Any]) -> Callable[[str], Any]:
    @cache
    def dataset(group: str) -> Any:
        return xr.open_dataset(
            job["target"],
            engine="kerchunk",
            storage_options={"remote_protocol": "file", **job.get("options", {})},
            open_dataset_options={"group": group or None},
        )

    def read(array: str) -> Any:
        group, _, name = array.rpartition("/")
        return dataset(group)[name].values

    return read


def _gdal_reader(job: Mapping[str, Any]) -> Callable[[str], Any]:
    def read(array: str) -> Any:
        with rasterio.open(f'ZARR:"/vsikerchunk_json_ref/{{{job["target"]}}}":/{array}') as dataset:
            return dataset.read(1)

    return read
