"""Opens an Icechunk store that manifestry wrote with xarray alone, and prints what is in it.

``uv run python samples/open_store.py sea_surface.icechunk``: nothing here imports manifestry.
"""

import sys

import icechunk
import xarray as xr


def main(target: str) -> None:
    """Open the repository at `target`, allowing it to read the files that its containers name."""
    icechunk.set_logs_filter("warn,icechunk_arrow_object_store=error")  # its warning of local commits is for writers
    storage = icechunk.local_filesystem_storage(target)
    config = icechunk.Repository.fetch_config(storage)
    containers = (config.virtual_chunk_containers if config else None) or {}
    allowed = icechunk.containers_credentials(
        {prefix: icechunk.Credentials.LocalFileSystemAccess() for prefix in containers}
    )
    repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=allowed)
    dataset = xr.open_zarr(repository.readonly_session("main").store, consolidated=False)
    print(dataset)
    print(f"\nmean sea surface temperature: {float(dataset.sst.mean()):.3f} degC")


if __name__ == "__main__":
    main(sys.argv[1])
