"""Lines of Python that open an output of references, with fsspec and xarray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from manifestry.plugin import Target, VirtualGroup, WriteReport

__all__ = ["reader_lines"]


def reader_lines(target: Target, tree: VirtualGroup, zarr_format: Literal[2, 3], more: Mapping[str, Any]) -> str:
    """Lines of Python that open an output of references.

    Parameters
    ----------
    tree
        What was written.
    more
        Storage options beyond the protocol of the files that it points into.
    """
    place = str(target.local_path or target.url)
    urls = tree.files.urls
    protocol = (urls[0] if urls else target.url).partition("://")[0]
    options = {"remote_protocol": protocol, **more}
    imports, line = WriteReport.opening_lines([tree], "store", target.group, zarr_format=zarr_format)
    if not target.group and line.startswith("ds = "):
        if zarr_format == 2:
            return f'import xarray as xr\nds = xr.open_dataset({place!r}, engine="kerchunk", storage_options={options})'
        options = {"fo": place, **options}
        return f'import xarray as xr\nds = xr.open_zarr("reference://", consolidated=False, storage_options={options})'
    options = {"fo": place, **options}
    lines = [
        "import fsspec",
        imports,
        "from zarr.storage import FsspecStore",
        "",
        f"references = fsspec.filesystem('reference', asynchronous=True, **{options})",
        "store = FsspecStore(references, read_only=True)",
        line,
    ]
    return "\n".join(lines)
