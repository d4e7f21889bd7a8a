"""What the kerchunk package's translators have in memory: FITS, HDF4, Zarr, TIFF, and GRIB as far as it goes.

GRIB messages are decoded by tests/optional, in an environment of their own: eccodes and rasterio share no process.
"""

from __future__ import annotations

import json
import subprocess
import sys

import manifestry as mf
import numpy as np
import pytest
import zarr
from kerchunk.utils import refs_as_store
from manifestry_kerchunk_json import from_references

IMAGE = (np.arange(20 * 30).reshape(20, 30) * 7 % 251).astype("i2")


def fits_images(folder):
    from astropy.io import fits
    from kerchunk.fits import process_file

    units = [fits.ImageHDU(IMAGE.astype(kind), name=kind) for kind in ("u1", "i2", "i4", "i8", "f4", "f8")]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(folder / "a.fits")
    return process_file(str(folder / "a.fits"), extension=[unit.name for unit in units])


def fits_table(folder):
    from astropy.io import fits
    from kerchunk.fits import process_file

    columns = [
        fits.Column("number", "J", array=np.arange(5) * -3),
        fits.Column("value", "D", array=np.arange(5) / 3),
        fits.Column("name", "5A", array=np.array(["ab", "c", "", "eee", "f"])),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="T")]).writeto(folder / "a.fits")
    return process_file(str(folder / "a.fits"), extension="T")


def fits_text_table(folder):
    """Rows with a blank at their end, as kerchunk takes them to be."""
    from kerchunk.fits import process_file

    primary = {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0, "EXTEND": "T"}
    table = {"XTENSION": "'TABLE   '", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 16, "NAXIS2": 3, "PCOUNT": 0, "GCOUNT": 1}
    table |= {"TFIELDS": 2, "TBCOL1": 1, "TFORM1": "'I6'", "TTYPE1": "'number'"}
    table |= {"TBCOL2": 8, "TFORM2": "'F8.3'", "TTYPE2": "'value'", "EXTNAME": "'T'"}
    rows = "".join(f"{number:6d} {number / 4:8.3f} " for number in (-7, 0, 12345))
    data = _cards(primary) + _cards(table) + rows.encode().ljust(2880)
    (folder / "a.fits").write_bytes(data)
    return process_file(str(folder / "a.fits"), extension="T")


def _cards(header):
    text = "".join(f"{key:8s}= {value!s:>20s}".ljust(80) for key, value in header.items()) + "END".ljust(80)
    return text.encode().ljust(-(-len(text) // 2880) * 2880)


HDF4 = """
import sys
import numpy as np
from pyhdf.SD import SD, SDC
file = SD(sys.argv[1], SDC.WRITE | SDC.CREATE)
array = file.create("a", SDC.INT16, (20, 30))
array.setcompress(SDC.COMP_DEFLATE, 6)
array[:] = np.load(sys.argv[2])
array.endaccess()
file.end()
"""


def hdf4(folder):
    """Made in another process: HDF4's library has symbols of netCDF's."""
    from kerchunk.hdf4 import HDF4ToZarr

    np.save(folder / "a.npy", IMAGE)
    subprocess.run([sys.executable, "-c", HDF4, folder / "a.hdf", folder / "a.npy"], check=True)
    return HDF4ToZarr(str(folder / "a.hdf")).translate()


def zarr_v2(folder):
    from kerchunk.zarr import single_zarr

    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2)
    group.create_array("a", shape=IMAGE.shape, chunks=(8, 8), dtype=IMAGE.dtype)[...] = IMAGE
    return single_zarr(str(folder / "a.zarr"))


def tiff(folder):
    import tifffile
    from kerchunk.tiff import tiff_to_zarr

    options = {"tile": (16, 16), "compression": "zlib", "predictor": 2, "metadata": None}
    tifffile.imwrite(folder / "a.tif", IMAGE, **options)
    found = tiff_to_zarr(str(folder / "a.tif"))  # an array that is the root
    return {".zgroup": '{"zarr_format":2}'} | {f"image/{key}": value for key, value in found.items()}


TRANSLATORS = [fits_images, fits_table, fits_text_table, hdf4, zarr_v2, tiff]


def arrays_of(references):
    """What zarr reads from references as they are."""
    return dict(zarr.open_group(refs_as_store(references, remote_protocol="file"), mode="r", zarr_format=2).arrays())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("translate", TRANSLATORS, ids=lambda f: f.__name__)
def test_translators_of_the_kerchunk_package(tmp_path, translate):
    references = translate(tmp_path)
    tree = from_references(references, on_unsupported="skip")
    assert [issue for issue in tree.issues if issue.severity == "refused"] == []
    right = {name: array[...] for name, array in arrays_of(references).items()}
    assert sorted(tree.arrays) == sorted(right) != []
    mf.write(tree, tmp_path / "out.icechunk")
    for output in (tree, mf.parse(tmp_path / "out.icechunk")):
        found = zarr.open_group(mf.open_store(output), mode="r")
        for name, values in right.items():
            assert found[name].dtype == values.dtype.newbyteorder("=")
            assert np.array_equal(found[name][...], values)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("translate", TRANSLATORS, ids=lambda f: f.__name__)
def test_codecs_are_the_same_in_version_2_again(tmp_path, translate):
    references = translate(tmp_path)
    report = mf.write(from_references(references), tmp_path / "out.json")
    assert set(report.packages) <= {"imagecodecs-numcodecs", "kerchunk"}
    before, after = references.get("refs", references), json.loads((tmp_path / "out.json").read_bytes())["refs"]
    for key in [key for key in before if key.endswith(".zarray")]:
        old, new = json.loads(before[key]), json.loads(after[key])
        assert steps(new) == steps(old)
        assert (new["dtype"], new["order"]) == (old["dtype"], old["order"])


def steps(zarray):
    """Codecs in the order of encoding, which is all that the division into filters and compressor means."""
    return [*(zarray["filters"] or ()), *filter(None, [zarray["compressor"]])]


def references_with(codec, dtype="<f8"):
    zarray = {"zarr_format": 2, "shape": [31, 16], "chunks": [31, 16], "dtype": dtype, "fill_value": None}
    zarray |= {"order": "C", "filters": [codec], "compressor": None}
    return {".zgroup": '{"zarr_format":2}', "t/.zarray": json.dumps(zarray), "t/0.0": ["/data/a.grib2", 0, 1667]}


GRIB = {"id": "grib", "var": "t", "dtype": "float64"}
SCALED = {"id": "fixedscaleoffset", "scale": 1.0, "offset": 32768.0, "dtype": "<f8", "astype": ">i2"}


def test_codecs_without_a_name_in_zarr_v3_are_carried(tmp_path):
    tree = from_references(references_with(GRIB))
    (codec,) = tree["t"].metadata.codecs
    assert codec.name == "manifestry.numcodecs"
    assert mf.write(tree, tmp_path / "a.icechunk").packages == ("eccodes", "kerchunk", "manifestry-codecs")
    assert mf.write(tree, tmp_path / "a.json").packages == ("eccodes", "kerchunk")
    for output in ("a.icechunk", "a.json"):
        assert mf.parse(tmp_path / output)["t"].metadata == tree["t"].metadata


@pytest.mark.parametrize(
    ("codec", "dtype", "reason"),
    [
        ({"id": "pickle"}, "<f8", "pickle"),
        ({"id": "never-heard-of"}, "<f8", "never-heard-of.*install"),
        (GRIB | {"unknown": 1}, "<f8", "grib"),
        (SCALED, ">i2", "decodes to '<f8' in an array of '>i2'"),  # kerchunk of scaled FITS images; nobody reads it
    ],
)
def test_codecs_that_mean_nothing_here_are_refused(codec, dtype, reason):
    with pytest.raises(mf.UnsupportedFeatureError, match=reason):
        from_references(references_with(codec, dtype))
