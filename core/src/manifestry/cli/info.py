"""`manifestry info`: versions and platform, for a report of a defect."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

import click

from manifestry.cli.arguments import common_options
from manifestry.cli.output import Output, pass_output
from manifestry.formats.loading import PluginRecord, installed_formats

__all__ = ["command"]

_READERS: Final = ("xarray", "zarr", "fsspec", "kerchunk", "virtualizarr", "dask", "netcdf4", "h5netcdf", "rasterio")
"""What outputs are often read with, besides what our packages need."""

_VARIABLES: Final = ("MANIFESTRY_", "HDF5_", "ZARR_")
"""Beginnings of the names of environment variables that change what is read; only names are printed, never values."""


@click.command("info", short_help="Versions and platform, for a report of a defect.")
@common_options
@pass_output
def command(output: Output) -> None:
    """Print what a report of a defect needs: versions of manifestry, of its plugins and of what they use; no secrets."""
    records = installed_formats().records
    system = {
        "manifestry": version("manifestry"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "executable": sys.executable,
        "processors": str(os.cpu_count()),
        "variables": ", ".join(sorted(name for name in os.environ if name.startswith(_VARIABLES))) or "none",
    }
    plugins = {record.distribution: f"{record.version} ({record.state})" for record in records}
    packages = _versions(records)
    if output.json:
        output.document("info", {"system": system, "plugins": plugins, "packages": packages})
        return
    for title, rows in (("", system), ("plugins", plugins), ("packages", packages)):
        if title:
            output.line(f"\n{title}")
        width = max(map(len, rows), default=0)
        for name, value in rows.items():
            output.line(f"{'  ' if title else ''}{name:<{width}}  {value}")


def _versions(records: Iterable[PluginRecord]) -> dict[str, str]:
    """Installed versions of what our distributions need, and of common readers."""
    ours = {"manifestry", *(record.distribution for record in records)}
    needed = {name.lower() for distribution in ours for name in _requirements(distribution)}
    found = {}
    for name in sorted({*needed, *_READERS} - ours):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _requirements(distribution: str) -> Iterable[str]:
    """Names of the distributions that one needs, those of its extras too."""
    try:
        given = requires(distribution) or ()
    except PackageNotFoundError:
        return
    for requirement in given:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is not None:
            yield name[0]
