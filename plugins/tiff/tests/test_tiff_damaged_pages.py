"""What is left of a file with a damaged directory keeps its name and number, or is refused."""

import struct

import manifestry as mf
import numpy as np
import pytest
import tifffile
import zarr
from manifestry.testing.refusing import refuses

DAMAGES = {
    "width missing": (256, "missing"),
    "length missing": (257, "missing"),
    "width outside the file": (256, "outside"),
    "bits outside the file": (258, "outside"),
    "samples outside the file": (277, "outside"),
    "kind outside the file": (254, "outside"),
}


def pages(count, shape=(8, 8)):
    return [{"data": np.full(shape, k, "u1")} for k in range(count)]


def pyramid(first, sizes=(32, 16, 8), mask=False):
    images = []
    for level, size in enumerate(sizes):
        images.append({"data": np.full((size, size), first + level, "u1"), "subfiletype": int(level > 0)})
        if mask:
            images.append({"data": np.ones((size, size), "?"), "subfiletype": 4 + int(level > 0)})
    return images


LAYOUTS = {
    "pages": pages(4),
    "pages of two shapes": [*pages(2), {"data": np.full((4, 8), 2, "u1")}, {"data": np.full((8, 8), 3, "u1")}],
    "a pyramid": pyramid(0),
    "a pyramid with masks": pyramid(10, mask=True),
    "two pyramids": [*pyramid(0), *pyramid(10)],
    "an image, a pyramid, an image": [*pages(1), *pyramid(10), {"data": np.full((8, 8), 20, "u1")}],
    "two images": pages(2),
}


def write(path, images):
    with tifffile.TiffWriter(path) as file:
        for image in images:
            file.write(image["data"], subfiletype=image.get("subfiletype", 0), contiguous=False, metadata=None,
                photometric="minisblack")  # fmt: skip
    return path


def damage_tag(path, directory, number, how):
    """Take a tag away by a number that nobody knows, or let its values lie outside the file."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages[directory].tags.get(number)
        order = file.byteorder
    if tag is None:  # masks have no BitsPerSample
        return False
    with path.open("r+b") as file:
        file.seek(tag.offset)
        if how == "missing":
            file.write(struct.pack(f"{order}H", 65000))
        else:
            file.seek(tag.offset + 4)
            file.write(struct.pack(f"{order}II", 1 << 20, 1 << 30))
    return True


def values(tree):
    """What every array of pixels holds, by its path; of stacks page by page, by the path that a page alone would have.

    Masks are told apart by their shape.
    """
    group = zarr.open_group(mf.open_store(tree), mode="r")
    found = {}
    for path, array in tree.walk_arrays():
        data = group[path][...]
        if array.dims[0] == "page":
            found |= {f"{i}/data": int(page.flat[0]) for i, page in enumerate(data)}
        else:
            found[path] = data.shape if data.dtype == "?" else int(data.flat[0])
    return found


def told(image):
    """What `values` says of an image."""
    return image["data"].shape if image["data"].dtype == "?" else int(image["data"].flat[0])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_left_keeps_its_number(tmp_path, layout, damage):
    images = LAYOUTS[layout]
    whole = values(mf.parse(write(tmp_path / "whole.tif", images)))
    for number, image in enumerate(images):
        path = write(tmp_path / f"{number}.tif", images)
        if not damage_tag(path, number, *DAMAGES[damage]):
            continue
        tree = mf.parse(path, on_unsupported="skip")
        left = values(tree)
        assert told(image) not in left.values(), number
        apart = {path for path in left if path.startswith("ifd")}
        assert all(left[path] == told(images[int(path[3:-5])]) for path in apart), number
        assert all(whole.get(path, left[path]) == left[path] for path in left.keys() - apart), number
        if not damage.startswith("kind"):  # without it nobody can say whether the images in front have another level
            assert left.keys() - apart <= whole.keys(), number
            assert len(left) == len(images) - 1, number
        assert str(number) in {issue.path for issue in tree.issues if issue.severity == "refused"}
        with refuses():
            mf.parse(path)


@pytest.mark.parametrize("damage", [d for d in DAMAGES if not d.startswith("kind")])
def test_pages_behind_a_damaged_one_are_all_there(tmp_path, damage):
    for number in range(4):
        path = write(tmp_path / f"{number}.tif", pages(4))
        damage_tag(path, number, *DAMAGES[damage])
        left = values(mf.parse(path, on_unsupported="skip"))
        assert left == {f"{i}/data": i for i in range(4) if i != number}


@pytest.mark.parametrize("metadata", [{"axes": "TYX"}, {"axes": "ZYX"}, None], ids=["TYX", "ZYX", "none"])
@pytest.mark.parametrize("kind", ["shaped", "imagej", "ome"])
def test_series_with_a_damaged_page_never_move_pages(tmp_path, kind, metadata):
    data = np.arange(4, dtype="u1")[:, None, None] * np.ones((4, 8, 8), "u1")
    for number in range(4):
        path = tmp_path / f"{number}.tif"
        with tifffile.TiffWriter(path, imagej=kind == "imagej", ome=kind == "ome", shaped=kind == "shaped") as file:
            file.write(data, contiguous=False, compression="zlib", photometric="minisblack", metadata=metadata)
        damage_tag(path, number, 256, "missing")
        tree = mf.parse(path, on_unsupported="skip")
        group = zarr.open_group(mf.open_store(tree), mode="r")
        found = {name: group[name][0, 0] for name, _ in tree.walk_arrays()}
        apart = "" if kind == "shaped" and metadata is None else "ifd"  # without metadata they are no series
        assert found == {f"{apart}{i}/data": i for i in range(4) if i != number}


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("kind", ["shaped", "ome"])
def test_names_of_series_are_no_names_of_pages(tmp_path, kind, number):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, ome=kind == "ome", shaped=kind == "shaped") as file:
        for first in (0, 50):
            data = np.arange(first, first + 3, dtype="u1")[:, None, None] * np.ones((3, 8, 8), "u1")
            file.write(data, contiguous=False, compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"})
    whole = mf.parse(path)
    assert {name: array.shape for name, array in whole.walk_arrays()} == {"0/data": (3, 8, 8), "1/data": (3, 8, 8)}
    damage_tag(path, number, 256, "missing")
    tree = mf.parse(path, on_unsupported="skip")
    assert values(tree) == {f"ifd{i}/data": i + 47 * (i > 2) for i in range(6) if i != number}
    assert {(issue.path, issue.severity) for issue in tree.issues} == {(str(number), "refused"), ("", "reported")}


def test_images_whose_place_is_unknown_have_the_names_of_their_directories(tmp_path):
    path = write(tmp_path / "p.tif", [*pyramid(0), *pages(1)])
    damage_tag(path, 1, 256, "missing")  # the first overview: of which size it is, nobody can say
    tree = mf.parse(path, on_unsupported="skip")
    assert values(tree) == {"0/0/data": 0, "ifd2/data": 2, "ifd3/data": 0}
    assert {i.path for i in tree.issues if i.feature == "an image whose place is unknown"} == {"ifd2", "ifd3"}
    assert values(mf.parse(path, ifd=2)) == {"2": 2}
    with pytest.raises(mf.MalformedFileError, match=r"IFD 1 .*IMAGE_WIDTH.* the tag is missing"):
        mf.parse(path)


DECISIVE = {
    "T4Options": (292, [(259, 3, 3), (258, 3, 1), (292, 4, 0)]),
    "FillOrder": (266, [(266, 3, 1)]),
    "BitsPerSample": (258, []),
    "Compression": (259, []),
    "PlanarConfiguration": (284, [(277, 3, 2), (258, 3, [8, 8]), (284, 3, 1)]),
    "RowsPerStrip": (278, []),
    "StripByteCounts": (279, []),
    "Predictor": (317, [(259, 3, 8), (317, 3, 1)]),
    "SampleFormat": (339, [(339, 3, 1)]),
    "GDAL_NODATA": (42113, [(42113, 2, "7")]),
    "NewSubfileType": (254, [(254, 4, 0)]),
}


@pytest.mark.parametrize("how", ["unknown type", "text", "no values", "outside the file"])
@pytest.mark.parametrize("name", DECISIVE)
def test_a_decisive_tag_that_cannot_be_read_costs_its_image_only(make_tiff, name, how):
    tag, more = DECISIVE[name]
    good = make_tiff.gray(8, 8, [16], [64])
    tags = make_tiff.gray(8, 8, [16], [64], *more)
    unreadable = {"unknown type": (tag, 59396, 1, 1), "text": (tag, 2, "1"), "no values": (tag, 3, 0, 0)}
    bad = [t for t in tags if t[0] != tag] + [unreadable.get(how, (tag, 4, 9, 1 << 30))]
    if (how, name) in {("text", "GDAL_NODATA"), ("no values", "GDAL_NODATA"), ("no values", "StripByteCounts")}:
        pytest.skip("that says something: it is text, or none")
    for number in range(3):
        directories = [good, good, good]
        directories[number] = bad
        path = make_tiff(directories, bytes(range(64)))
        tree = mf.parse(path, on_unsupported="skip")
        assert len(values(tree)) == 2, number
        assert {issue.path.split("/")[0] for issue in tree.issues if issue.severity == "refused"} == {str(number)}
        with refuses():
            mf.parse(path)


@pytest.mark.parametrize("value", [0, 3, 45057])
def test_an_order_of_bits_that_does_not_exist_is_refused(make_tiff, value):
    path = make_tiff([make_tiff.gray(8, 8, [16], [64], (266, 3, value))], bytes(64))
    with pytest.raises(mf.MalformedFileError, match=rf"tag 266 \(FILL_ORDER\): {value}: must be 1 or 2"):
        mf.parse(path)


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_sub_directory_costs_itself_only(tmp_path, damaged):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for i, size in enumerate((32, 16, 8, 4)):
            options = {"subifds": 3} if i == 0 else {"subfiletype": 1}
            file.write(np.full((size, size), i, "u1"), metadata=None, photometric="minisblack", **options)
        file.write(np.full((32, 32), 9, "u1"), metadata=None, photometric="minisblack", contiguous=False)
    with tifffile.TiffFile(path) as file:
        tag, order = file.pages[0].tags[330], file.byteorder
    with path.open("r+b") as file:
        file.seek(tag.valueoffset + 4 * damaged)
        file.write(struct.pack(f"{order}I", 1 << 30))
    tree = mf.parse(path, on_unsupported="skip")
    assert sorted(values(tree).values()) == [i for i in (0, 1, 2, 3, 9) if i != damaged + 1]
    assert len([issue for issue in tree.issues if issue.severity == "refused"]) == 1


@pytest.mark.parametrize("kind", ["shaped", "imagej", "ome"])
def test_a_page_of_a_series_whose_data_is_outside_the_file_costs_itself_only(tmp_path, kind):
    data = np.arange(4, dtype="u1")[:, None, None] * np.ones((4, 8, 8), "u1")
    for number in range(4):
        path = tmp_path / f"{number}.tif"
        with tifffile.TiffWriter(path, imagej=kind == "imagej", ome=kind == "ome", shaped=kind == "shaped") as file:
            file.write(data, contiguous=False, compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"})
        with tifffile.TiffFile(path) as file:
            at, order = file.pages[number].tags[279].offset, file.byteorder
        with path.open("r+b") as file:
            file.seek(at + 2)
            file.write(struct.pack(f"{order}HII", 4, 1, 1 << 30))
        tree = mf.parse(path, on_unsupported="skip")
        assert values(tree) == {f"ifd{i}/data": i for i in range(4) if i != number}
        assert [issue.path for issue in tree.issues if issue.severity == "refused"] == [f"ifd{number}/data"]
        with pytest.raises(mf.MalformedFileError, match="STRIP_OFFSETS"):
            mf.parse(path)
