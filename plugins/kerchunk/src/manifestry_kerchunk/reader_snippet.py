"""Lines of Python that open an output of references, with fsspec and xarray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manifestry.plugin import Target

__all__ = ["reader_lines"]

_TREE_LINES = """import fsspec
import xarray as xr
from zarr.storage import FsspecStore

references = fsspec.filesystem('reference', asynchronous=True, **{options})
tree = xr.open_datatree(FsspecStore(references, read_only=True), engine='zarr', consolidated=False, zarr_format={version})"""


def reader_lines(
    target: Target, urls: Sequence[str], zarr_format: int, more: Mapping[str, Any], *, grouped: bool
) -> str:
    """Lines of Python that open an output of references.

    Parameters
    ----------
    urls
        The files that it points into.
    more
        Storage options beyond the protocol of these files.
    grouped
        Whether there are arrays in groups, which are no part of a dataset.
    """
    place = str(target.local_path or target.url)
    protocol = (urls[0] if urls else target.url).partition("://")[0]
    options = {"remote_protocol": protocol, **more}
    if grouped:
        return _TREE_LINES.format(options={"fo": place, **options}, version=zarr_format)
    if zarr_format == 2:
        return f'import xarray as xr\nds = xr.open_dataset({place!r}, engine="kerchunk", storage_options={options})'
    options = {"fo": place, **options}
    return f'import xarray as xr\nds = xr.open_zarr("reference://", consolidated=False, storage_options={options})'
