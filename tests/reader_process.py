"""Opens an output in a process of its own in which no package of ours can be imported, and pickles what xarray sees.

    python reader_process.py FORMAT TARGET RESULT [GROUP...]

Not a test module: `test_end_to_end.py` runs it.
"""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

from hidden_packages import hide_our_packages

hide_our_packages(kept="")

import xarray as xr  # noqa: E402


def open_icechunk(target: str, group: str) -> xr.Dataset:
    """As the report of the writer says."""
    import icechunk

    storage = icechunk.local_filesystem_storage(target)
    config = icechunk.Repository.fetch_config(storage)
    allowed = dict.fromkeys(config.virtual_chunk_containers, icechunk.Credentials.LocalFileSystemAccess())
    repository = icechunk.Repository.open(
        storage, authorize_virtual_chunk_access=icechunk.containers_credentials(allowed)
    )
    return xr.open_zarr(repository.readonly_session("main").store, group=group or None, consolidated=False)


def open_kerchunk(target: str, group: str) -> xr.Dataset:
    """With the engine that the kerchunk package registers."""
    options = {"group": group} if group else {}
    files = {"remote_protocol": "file"}
    return xr.open_dataset(target, engine="kerchunk", storage_options=files, open_dataset_options=options)


def main(fmt: str, target: str, result: str, *groups: str) -> None:
    """Load every group and leave it in a pickle as plain Python."""
    opener = open_icechunk if fmt == "icechunk" else open_kerchunk
    found = {}
    for group in groups:
        dataset = opener(target, "" if group == "/" else group).load()
        variables = {str(name): (v.dims, v.values, v.attrs) for name, v in dataset.variables.items()}
        found[group] = (dataset.attrs, variables)
    Path(result).write_bytes(pickle.dumps(found))
    assert not any(name.startswith("manifestry") for name in sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
