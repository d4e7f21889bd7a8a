"""How many examples hypothesis tries: all of them in long tests, a third in each ordinary run, which draws others."""

from __future__ import annotations

import os

__all__ = ["examples"]


def examples(count: int) -> int:
    """A third of a number, but ten; the number itself where ``MANIFESTRY_LONG_TESTS`` is set."""
    return count if "MANIFESTRY_LONG_TESTS" in os.environ else max(min(count, 10), count // 3)
