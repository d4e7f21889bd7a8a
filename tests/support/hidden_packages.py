"""A process of a reader that has none of our packages but, perhaps, the codecs."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import Distribution
from typing import Any

__all__ = ["hide_our_packages"]


class _Ban(MetaPathFinder):
    """Readers must not need us, except for the codecs that reports name."""

    def __init__(self, kept: str) -> None:
        self._kept = kept

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        name = fullname.partition(".")[0]
        if name.startswith("manifestry") and name != self._kept:
            raise ImportError(f"{fullname} must not be needed to read an output")


def hide_our_packages(kept: str = "manifestry_codecs") -> None:
    """From here on none of our packages can be imported, nor found by its entry points, but the one that is kept."""
    sys.meta_path.insert(0, _Ban(kept))
    # xarray and zarr import what installed distributions offer, ours among them; a reader without our packages has none.
    discover = Distribution.discover
    Distribution.discover = lambda **options: (  # type: ignore[method-assign]
        d for d in discover(**options) if not d.name.startswith("manifestry") or d.name == kept.replace("_", "-")
    )
