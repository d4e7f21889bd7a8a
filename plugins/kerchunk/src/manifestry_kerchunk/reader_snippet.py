"""Lines of Python that open an output of references, with fsspec and xarray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from manifestry.plugin import StoreRegistry, Target, VirtualGroup, WriteReport

__all__ = ["lines_need", "reader_lines"]

_FILE_SYSTEMS: Final = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "http": "aiohttp", "https": "aiohttp"}
"""The distribution that fsspec reads the URLs of a scheme with."""


def reader_lines(target: Target, tree: VirtualGroup, zarr_format: Literal[2, 3], more: Mapping[str, Any]) -> str:
    """Lines of Python that open an output of references.

    Where a store has an endpoint or a region of its own, or takes requests without signature, the lines say so; keys
    they leave to the environment.

    Parameters
    ----------
    tree
        What was written.
    more
        Storage options beyond those of the stores.
    """
    place = str(target.local_path or target.url)
    options: dict[str, Any] = {"remote_protocol": _url(target, tree).partition("://")[0]}
    remote = _fsspec_options(target.stores, _url(target, tree))
    own = {} if target.local_path else _fsspec_options(target.stores, target.url)
    own |= more.get("target_options", {})
    options |= {**more, **({"target_options": own} if own else {})}
    imports, line = WriteReport.opening_lines([tree], "store", target.group, zarr_format=zarr_format)
    flat = not target.group and line.startswith("ds = ")
    if flat and zarr_format == 2:
        options |= {"remote_options": remote} if remote else {}
        return f'import xarray as xr\nds = xr.open_dataset({place!r}, engine="kerchunk", storage_options={options})'
    if options["remote_protocol"] != "file":  # that of local files is wrapped; others are as they are made
        options["remote_options"] = {**remote, "asynchronous": True}
    options = {"fo": place, **options}
    if flat:
        return f'import xarray as xr\nds = xr.open_zarr("reference://", consolidated=False, storage_options={options})'
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


def lines_need(lines: str, target: Target, tree: VirtualGroup, more: Iterable[str]) -> tuple[str, ...]:
    """The distributions that the lines need besides those that they import.

    Parameters
    ----------
    more
        What outputs of this kind are opened with.
    """
    schemes = {url.partition("://")[0] for url in (target.url, _url(target, tree))}
    systems = [_FILE_SYSTEMS[scheme] for scheme in schemes if scheme in _FILE_SYSTEMS]
    engine = ["kerchunk"] if 'engine="kerchunk"' in lines else []
    return ("fsspec", *engine, *systems, *more)


def _url(target: Target, tree: VirtualGroup) -> str:
    """A URL that the output points at."""
    urls = tree.files.urls
    return urls[0] if urls else target.url


def _fsspec_options(stores: StoreRegistry, url: str) -> dict[str, Any]:
    """How the file systems of fsspec are told what is no secret of the store that serves a URL."""
    facts = stores.facts(url)
    if facts.scheme == "gs":
        return {"token": "anon"} if facts.anonymous else {}
    if facts.scheme == "az":
        return {name: value for name, value in (("account_name", facts.account), ("anon", facts.anonymous)) if value}
    region = {"client_kwargs": {"region_name": facts.region}} if facts.region else {}
    named = (("anon", facts.anonymous), ("endpoint_url", facts.endpoint), ("requester_pays", facts.requester_pays))
    return {name: value for name, value in named if value} | region
