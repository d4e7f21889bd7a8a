"""A disk that is really full (a file system of 400 kB in a namespace of its own): what was there stays what it was."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import manifestry as mf
import numpy as np
import pytest

ISOLATED = ["unshare", "--user", "--map-root-user", "--mount"]


def tree(count):
    """An array whose references do not compress."""
    rng = np.random.default_rng(0)
    little = mf.Codec("bytes", {"endian": "little"})
    metadata = mf.ArrayMetadata(
        shape=(2 * count,),
        dtype=np.dtype("i4"),
        chunk_grid=mf.RegularGrid((2,)),
        codecs=(little,),
        fill_value=np.int32(0),
        dims=("n",),
    )
    files = [mf.SourceFile(f"s3://bucket/{i}.bin") for i in range(50)]
    index, offsets = rng.integers(0, 50, count).astype("u4"), rng.integers(0, 2**60, count).astype("u8")
    manifest = mf.ChunkManifest.from_columns((count,), files, index, offsets, np.full(count, 8, "u8"))
    return mf.VirtualGroup({"v": mf.VirtualArray(metadata, manifest)})


def fill_the_disk(base):
    """What happens to outputs of every format, new and replaced: error, names that are left, references found."""
    seen = {}
    for ending in (".json", ".parq", ".icechunk"):
        target = base / f"out{ending}"
        mf.write(tree(100), target)
        replaced = refused(target, overwrite=True)
        size = mf.parse(target)["v"].manifest.size
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        created = refused(target)
        seen[ending] = [replaced, size, created, [path.name for path in base.iterdir()]]
    return seen


def refused(target, **options):
    try:
        mf.write(tree(300_000), target, **options)
    except mf.WriteError as error:
        return "No space left" in str(error)
    return False


def can_isolate():
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*ISOLATED, "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True).returncode
        == 0
    )


@pytest.mark.skipif(not can_isolate(), reason="no file system can be mounted here")
def test_a_full_disk_harms_nothing(tmp_path):
    mount = 'mount -t tmpfs -o size=400k none "$1" && exec "$2" "$3" "$1"'
    command = [*ISOLATED, "sh", "-c", mount, "sh", tmp_path, sys.executable, __file__]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert json.loads(done.stdout) == {ending: [True, 100, True, []] for ending in (".json", ".parq", ".icechunk")}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fill_the_disk(Path(sys.argv[1]))))
