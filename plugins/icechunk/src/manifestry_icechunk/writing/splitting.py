"""How many references one manifest file holds: rules for arrays whose grids are larger."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import icechunk

__all__ = ["add_splits", "automatic_size", "split_sizes"]

_USUAL_SIZES: Final = range(25_000, 1_000_000)
"""References of one manifest that an older rule may lead to and still be kept."""


def automatic_size(references: int) -> int:
    """References of one manifest for an array that has `references`.

    An eighth, so that neither writers nor readers of a few chunks need much memory; not below 50,000, which readers
    fetch in one go, and not above 500,000: older readers refuse manifests of a million.
    """
    return max(50_000, min(500_000, references // 8))


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


def add_splits(config: icechunk.RepositoryConfig, splits: Mapping[str, tuple[int, ...]], *, keep: bool) -> bool:
    """Put rules for arrays (by path) before those of a configuration; returns whether anything was new.

    Parameters
    ----------
    keep
        A rule that an array has already stays when it leads to manifests of a usual size: another one would have all
        its manifests written anew.
    """
    manifest = config.manifest or icechunk.ManifestConfig()
    old: dict[Any, dict[Any, int]] = manifest.splitting.to_dict() if manifest.splitting else {}
    old_sizes = {repr(condition): tuple(sizes.values()) for condition, sizes in old.items()}
    new: dict[icechunk.ManifestSplitCondition, dict[Any, int]] = {}
    for path, sizes in splits.items():
        condition = icechunk.ManifestSplitCondition.path_matches(f"^/{re.escape(path)}$")
        own = old_sizes.get(repr(condition), ())
        if own == sizes or (keep and len(own) == len(sizes) and math.prod(own) in _USUAL_SIZES):
            continue
        new[condition] = {icechunk.ManifestSplitDimCondition.Axis(axis): size for axis, size in enumerate(sizes)}
    if not new:
        return False
    fresh = set(map(repr, new))
    kept = {condition: sizes for condition, sizes in old.items() if repr(condition) not in fresh}
    manifest.splitting = icechunk.ManifestSplittingConfig.from_dict({**new, **kept})
    config.manifest = manifest
    return True
