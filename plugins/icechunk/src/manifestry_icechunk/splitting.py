"""How many references one manifest file holds: rules for arrays whose grids are larger."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import icechunk

__all__ = ["add_splits", "split_sizes"]


def split_sizes(grid_shape: Sequence[int], references: int) -> tuple[int, ...] | None:
    """Chunks along each dimension that one manifest covers, or None when one manifest holds all.

    Trailing dimensions stay whole, so that a manifest is a run of chunks in C order, as files usually are.
    """
    if math.prod(grid_shape) <= references:
        return None
    sizes = list(grid_shape)
    for axis in range(len(sizes)):
        inner = math.prod(sizes[axis + 1 :])
        if inner <= references:
            sizes[axis] = max(1, references // inner)
            break
        sizes[axis] = 1
    return tuple(sizes)


def add_splits(config: icechunk.RepositoryConfig, splits: Mapping[str, tuple[int, ...]]) -> bool:
    """Put rules for arrays (by path) before those of a configuration; returns whether anything was new."""
    if not splits:
        return False
    manifest = config.manifest or icechunk.ManifestConfig()
    old: dict[Any, dict[Any, int]] = manifest.splitting.to_dict() if manifest.splitting else {}
    new: dict[icechunk.ManifestSplitCondition, dict[Any, int]] = {
        icechunk.ManifestSplitCondition.path_matches(f"^/{re.escape(path)}$"): {
            icechunk.ManifestSplitDimCondition.Axis(axis): size for axis, size in enumerate(sizes)
        }
        for path, sizes in splits.items()
    }
    known = {repr(condition): repr(sizes) for condition, sizes in old.items()}
    if all(known.get(repr(condition)) == repr(sizes) for condition, sizes in new.items()):
        return False
    fresh = {repr(condition) for condition in new}
    kept = {condition: sizes for condition, sizes in old.items() if repr(condition) not in fresh}
    manifest.splitting = icechunk.ManifestSplittingConfig.from_dict({**new, **kept})
    config.manifest = manifest
    return True
