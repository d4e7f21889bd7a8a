"""Install all packages with the oldest versions that they declare of what they need, and try them.

The pins of the workspace hide a lower bound that is untrue: `--no-config` keeps them out. The environment is one of its
own. A few test modules run in it, those that need nothing but the packages and what reads test files;
the sample is converted, which the HDF5 parser and the Icechunk writer do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# With every extra whose libraries code of ours imports.
PACKAGES = (
    "core[xarray,testing,dask]",
    "plugins/codecs",
    "plugins/dmrpp",
    "plugins/hdf5[native]",
    "plugins/icechunk",
    "plugins/kerchunk",
    "plugins/kerchunk-json",
    "plugins/kerchunk-parquet",
    "plugins/netcdf3[native]",
    "plugins/tiff",
    "plugins/zarr",
)

TESTS = (
    "core/tests/test_storage_urls.py",
    "plugins/codecs/tests/test_hdf5_filter_codecs.py",
    "plugins/codecs/tests/test_codecs_tiff.py",
    "plugins/netcdf3/tests/test_netcdf3_conformance.py",
)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command that must succeed; what it says is shown."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def main() -> None:
    """Install, convert the sample as the README says, test."""
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        programs = base / "venv" / "bin"
        run("uv", "venv", "--quiet", "--python", "3.12", base / "venv")
        members = [argument for package in PACKAGES for argument in ("-e", package)]
        install = ("uv", "pip", "install", "--no-config", "--quiet", "--python", programs / "python")
        run(*install, "--resolution", "lowest-direct", *members)
        target = base / "sea_surface.icechunk"
        run(programs / "manifestry", "convert", ROOT / "samples" / "sea_surface.nc", target, "--overwrite", cwd=base)
        run(programs / "python", ROOT / "samples" / "open_store.py", target, cwd=base)
        plain = ("-p", "no:cacheprovider", "--override-ini", "addopts=--import-mode=importlib")
        # netCDF4 was built for a numpy whose arrays had another size, which does no harm.
        calm = ("-W", "ignore:numpy.ndarray size changed:RuntimeWarning")
        run(programs / "python", "-m", "pytest", "--quiet", *plain, *calm, *TESTS)


if __name__ == "__main__":
    main()
