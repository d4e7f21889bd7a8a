"""What the tests that cross packages share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sample() -> Path:
    """A real netCDF-4 file, written by netCDF-C (samples/make_sea_surface.py)."""
    return Path(__file__).resolve().parent.parent / "samples" / "sea_surface.nc"
