"""Dividing arrays of contiguous bytes into chunks that suit readers, exactly."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

__all__ = ["divide"]

_MAX_ROOT = 1 << 24


def divide(shape: tuple[int, ...], itemsize: int, target: int) -> tuple[int, ...]:
    """The chunk shape that divides a contiguous array into equal runs of about `target` bytes.

    Leading dimensions are cut to one element, one dimension is cut by a divisor of its length, and the dimensions
    behind it stay whole; so every chunk is one run of contiguous bytes, and none reaches beyond the array.

    Parameters
    ----------
    shape
        Elements along each dimension, all positive.
    itemsize
        Bytes of an element.
    target
        Bytes that a chunk should have. An array of no more stays whole.

    Examples
    --------
    >>> divide((365, 720, 1440), 4, 16 << 20)
    (5, 720, 1440)
    >>> divide((2, 50_000_000), 8, 16 << 20)
    (1, 2000000)
    >>> divide((10, 10), 8, 16 << 20)
    (10, 10)
    """
    run = itemsize * math.prod(shape)
    if run <= target:
        return shape
    for axis, length in enumerate(shape):
        run //= length
        if run <= target:
            return (1,) * axis + (_best_divisor(length, target / run),) + shape[axis + 1 :]
    return (1,) * len(shape)


@lru_cache(maxsize=4096)
def _best_divisor(number: int, wanted: float) -> int:
    """The divisor of `number` nearest to `wanted` by ratio; too large counts twice as bad as too small."""
    candidates = np.arange(1, min(math.isqrt(number), _MAX_ROOT) + 1)
    small = candidates[number % candidates == 0]
    divisors = np.concatenate([small, number // small])
    ratio = np.log(divisors / wanted)
    return int(divisors[np.argmin(np.where(ratio > 0, 2 * ratio, -ratio))])
