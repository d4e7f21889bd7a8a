"""Two-dimensional T.4: strips with fewer rows than the others, which the codec does not fill by itself."""

import imagecodecs
import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
import zarr

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RNG = np.random.default_rng(3)
END_OF_LINE = "000000000001"
WIDTH, LENGTH = 150, 50


def changes(row):
    return np.count_nonzero(np.diff(row.astype("i1"), prepend=0))


def as_bytes(bits):
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def coded_rows(path, rows):
    """The one-dimensional code of each row, as GDAL writes it in a strip by itself; what fills its last byte is tried out."""
    profile = {"width": WIDTH, "height": len(rows), "count": 1, "dtype": "uint8", "nbits": 1, "blockysize": 1}
    with rasterio.open(path, "w", driver="GTiff", compress="CCITTFAX3", **profile) as file:
        file.write(rows.astype("u1"), 1)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        strips = [path.read_bytes()[a : a + n] for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
        return [code_of(row, strip) for row, strip in zip(rows, strips, strict=True)], int(page.photometric)


def code_of(row, strip):
    code = "".join(f"{byte:08b}" for byte in strip).partition(END_OF_LINE)[2].rstrip("0")
    for zeros in range(9):
        twice = as_bytes(END_OF_LINE + "1" + code + "0" * zeros + END_OF_LINE + "0" + "1" * (changes(row) + 1))
        try:
            if np.array_equal(imagecodecs.ccittfax3_decode(twice, 2, WIDTH, t4options=1).astype(bool), [row, row]):
                return code + "0" * zeros
        except imagecodecs.Ccittfax3Error:
            continue
    raise AssertionError(row)


def strip_of(rows, codes, options, *, ended):
    """Rows that repeat the one in front are coded in two dimensions, the others in one."""
    bits = ""
    for i, row in enumerate(rows):
        if options & 4:
            bits += "0" * (-(len(bits) + len(END_OF_LINE)) % 8)
        repeats = i > 0 and np.array_equal(rows[i - 1], row)
        bits += END_OF_LINE + ("0" + "1" * (changes(row) + 1) if repeats else "1" + codes[i])
    return as_bytes(bits + (END_OF_LINE + "1") * 6 * ended)


@pytest.mark.parametrize("density", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("options", [1, 5])
@pytest.mark.parametrize(("rows", "fill_order", "ended"), [(20, 1, False), (7, 1, True), (49, 2, False), (20, 2, True)])
def test_short_strips(make_tiff, tmp_path, density, options, rows, fill_order, ended):
    image = RNG.random((LENGTH, WIDTH)) < density
    for i in range(1, LENGTH):
        if RNG.random() < 0.4:
            image[i] = image[i - 1]
    codes, photometric = coded_rows(tmp_path / "rows.tif", image)
    strips = [strip_of(image[i : i + rows], codes[i : i + rows], options, ended=ended) for i in range(0, LENGTH, rows)]
    if fill_order == 2:
        strips = [bytes(imagecodecs.bitorder_decode(strip)) for strip in strips]
    offsets = [16 + sum(map(len, strips[:i])) for i in range(len(strips))]
    more = [(262, 3, photometric), (266, 3, fill_order), (292, 4, options)]
    tags = make_tiff.gray(WIDTH, LENGTH, offsets, list(map(len, strips)), *more, rows=rows, bits=1, compression=3)
    path = make_tiff([tags], b"".join(strips))
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1).astype(bool), image)
    for rectilinear in (False, True):
        tree = mf.parse(path, rectilinear=rectilinear)
        with zarr.config.set({"array.rectilinear_chunks": True}):
            found = zarr.open_group(mf.open_store(tree), mode="r")["0"][...]
        np.testing.assert_array_equal(found, image)


def test_options_that_do_not_exist_are_refused(make_tiff):
    tags = make_tiff.gray(8, 8, [16], [8], (292, 4, 9), bits=1, compression=3)
    with pytest.raises(mf.MalformedFileError, match=r"tag 292 \(T4_OPTIONS\): 9: only the 3 lowest bits"):
        mf.parse(make_tiff([tags], bytes(8)))
