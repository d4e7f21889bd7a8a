"""What GDAL reads beside a TIFF, as an option: the same as rasterio says of the same directory."""

import itertools
import shutil

import manifestry as mf
import numpy as np
import pyproj
import pytest
import rasterio
import tifffile
import zarr
from obstore.store import MemoryStore
from rasterio.enums import MaskFlags, Resampling
from rasterio.transform import from_origin

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RNG = np.random.default_rng(5)
WKT = pyproj.CRS.from_epsg(32633).to_wkt("WKT1_GDAL")
GEOGRAPHIC = pyproj.CRS.from_epsg(4326).to_wkt("WKT2_2019")
BAND = (
    "<Description>of the file beside it</Description><UnitType>km</UnitType><Offset>11</Offset><Scale>0.5</Scale>"
    '<Metadata><MDI key="STATISTICS_MEAN">3.5</MDI></Metadata>'
)
PARTS = {
    "system": f'<SRS dataAxisToSRSAxisMapping="1,2">{WKT}</SRS>',
    "geographic": f'<SRS dataAxisToSRSAxisMapping="2,1">{GEOGRAPHIC.replace('"', "&quot;")}</SRS>',
    "transform": "<GeoTransform>5, 0.5, 0.125, 50, 0.25, -0.25</GeoTransform>",
    "point": '<Metadata><MDI key="AREA_OR_POINT">Point</MDI><MDI key="X">beside</MDI></Metadata>',
    "domain": '<Metadata domain="DOM"><MDI key="X">beside</MDI></Metadata>',
    "band": f'<PAMRasterBand band="1">{BAND}</PAMRasterBand>',
    "nodata": '<PAMRasterBand band="1"><NoDataValue>-7</NoDataValue></PAMRasterBand>',
    "colors": '<PAMRasterBand band="1"><ColorInterp>Palette</ColorInterp><ColorTable><Entry c1="1" c2="2" c3="3" c4="255"/>'
    '<Entry c1="4" c2="5" c3="6" c4="255"/></ColorTable></PAMRasterBand>',
    "categories": '<PAMRasterBand band="1"><CategoryNames><Category>open water</Category><Category>land</Category>'
    "</CategoryNames></PAMRasterBand>",
}


def write(path, *, said=False, count=1, **profile):
    """A file that says of itself what there is to say, or nothing."""
    own = {"crs": "EPSG:3857", "transform": from_origin(1000, 2000, 10, 10), "nodata": -1} if said else {}
    profile = {"width": 20, "height": 10, "count": count, "dtype": "int16"} | own | profile
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(RNG.integers(-9, 9, (count, profile["height"], profile["width"])).astype(profile["dtype"]))
        if said:
            file.scales, file.offsets, file.units = (2,) * count, (1,) * count, ("m",) * count
            file.descriptions = ("of the file",) * count
            file.update_tags(X="inside", Y="inside")
            file.update_tags(ns="DOM", X="inside", Y="inside")
    return path


def pam(path, *bodies):
    """The document; what is said of bands goes into one element."""
    opening, closing = '<PAMRasterBand band="1">', "</PAMRasterBand>"
    bands = [body.removeprefix(opening).removesuffix(closing) for body in bodies if body.startswith(opening)]
    bodies = [*(body for body in bodies if not body.startswith(opening)), opening, *bands, closing]
    (path.parent / f"{path.name}.aux.xml").write_text(f"<PAMDataset>{''.join(bodies)}</PAMDataset>", encoding="utf-8")


def values(tree, path):
    return zarr.open_group(mf.open_store(tree), mode="r")[path][...]


def check(path, tree, *, point=False):
    """The first image of a tree against rasterio, which forgets that values are at points where the system is inside."""
    group, name = (tree, "0") if "0" in tree.arrays else (tree["0"], "data")
    attributes = group[name].attributes
    with rasterio.open(path) as file:
        assert attributes.get("_FillValue") == file.nodata
        assert attributes.get("scale_factor", 1) == file.scales[0]
        assert attributes.get("add_offset", 0) == file.offsets[0]
        assert attributes.get("units") == file.units[0]
        assert attributes.get("long_name") == file.descriptions[0]
        tags = file.tags() | file.tags(1)
        if "AREA_OR_POINT" in attributes and not point:
            assert attributes["AREA_OR_POINT"] == tags.get("AREA_OR_POINT", "Area")
        assert {k: attributes.get(k) for k in tags if k != "AREA_OR_POINT"} == {
            k: v for k, v in tags.items() if k != "AREA_OR_POINT"
        }
        for key, value in file.tags(ns="DOM").items():
            assert attributes[f"gdal:DOM:{key}"] == value
        if file.transform != rasterio.Affine.identity():
            assert attributes["spatial:transform"] == list(file.transform)[:6]
        else:
            assert "spatial:transform" not in attributes
        assert ("spatial_ref" in group.arrays) == (bool(file.crs) or file.transform != rasterio.Affine.identity())
        if file.crs:
            own = pyproj.CRS.from_wkt(group["spatial_ref"].attributes["crs_wkt"])
            assert own.equals(pyproj.CRS.from_wkt(file.crs.to_wkt()), ignore_axis_order=True)
        if attributes.get("color_interpretation") == "palette":
            rows = [list(color[:3]) for color in file.colormap(1).values()]
            assert (np.asarray(attributes["color_map"]) // 257).tolist() == rows


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize(
    "names", [(a, b) for a, b in itertools.combinations(PARTS, 2) if {a, b} != {"system", "geographic"}]
)
def test_metadata_count_before_those_of_the_file(tmp_path, names, said):
    path = write(tmp_path / "a.tif", said=said)
    pam(path, *(PARTS[name] for name in names))
    tree = mf.parse(path, sidecars="metadata")
    assert not tree.issues
    check(path, tree, point="point" in names)
    if "point" in names:
        assert tree["0"].attributes.get("AREA_OR_POINT", "Point") == "Point"
    assert [file.url.rpartition("/")[2] for file in tree.provenance[0].sources] == ["a.tif", "a.tif.aux.xml"]
    if "categories" in names:
        assert tree["0"].attributes["category_names"] == ["open water", "land"]


def test_what_is_not_asked_for_is_said_and_not_read(tmp_path):
    path = write(tmp_path / "a.tif", said=True)
    plain = mf.parse(path)
    pam(path, *PARTS.values())
    (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    shutil.copy(path, tmp_path / "a.tif.msk")
    tree = mf.parse(path)
    assert tree == plain
    assert {issue.message.split()[0]: issue.hint for issue in tree.issues} == {
        "a.tif.aux.xml": "read it with sidecars='metadata'",
        "a.tif.msk": "read it with sidecars='mask'",
        "a.tfw": "read it with sidecars='world_file'",
    }
    assert not mf.parse(path, sidecars=["metadata", "mask", "overviews", "world_file"]).issues[1:]


@pytest.mark.parametrize(
    ("name", "endings"),
    [
        ("a.tif", [".tfw", ".tifw", ".wld"]), ("a.tiff", [".tfw", ".tiffw", ".wld"]), ("A.TIF", [".TFW"]),
        ("a.tif", [".TFW"]), ("a.b.tif", [".tfw"]), ("a", []),
    ],
)  # fmt: skip
def test_world_files_by_the_names_that_gdal_knows(tmp_path, name, endings):
    path = write(tmp_path / name)
    for i, ending in reversed(list(enumerate(endings))):  # the first counts
        (tmp_path / (name.rpartition(".")[0] + ending)).write_text(
            f"{i + 10}\n0,5\n0.25\n-10\n105\n195\n".replace(",", ".")
        )
        check(path, mf.parse(path, sidecars="world_file"))
    check(path, mf.parse(path, sidecars="all"))


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("stated", [True, False])
def test_a_world_file_counts_last(tmp_path, said, stated):
    path = write(tmp_path / "a.tif", said=said)
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n105\n195\n")
    if stated:
        pam(path, PARTS["transform"])
    check(path, mf.parse(path, sidecars="all"))


def test_bands_that_differ(tmp_path):
    path = write(tmp_path / "a.tif", said=True, count=3)
    pam(path, PARTS["band"])
    attributes = mf.parse(path, sidecars="all")["0"].attributes
    with rasterio.open(path) as file:
        assert attributes["scales"] == list(file.scales)
        assert attributes["offsets"] == list(file.offsets)
        assert attributes["units"] == list(file.units)
        assert attributes["long_name"] == list(file.descriptions)
    pam(path, PARTS["nodata"])
    tree = mf.parse(path, sidecars="all")
    assert "_FillValue" not in tree["0"].attributes
    assert [issue.feature for issue in tree.issues] == ["nodata left out"]
    sparse = write_sparse(tmp_path / "b.tif", count=3)
    pam(sparse, PARTS["nodata"])
    with pytest.raises(mf.UnsupportedFeatureError, match="nodata differ"):
        mf.parse(sparse, sidecars="all")


def write_sparse(path, count=1):
    profile = {"width": 64, "height": 64, "count": count, "dtype": "int16", "nodata": 5}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, blockxsize=16, blockysize=16, sparse_ok=True, **profile):
        return path


def test_sparse_tiles_are_filled_with_nodata_of_the_file_beside(tmp_path):
    path = write_sparse(tmp_path / "a.tif")
    pam(path, PARTS["nodata"])
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(values(mf.parse(path, sidecars="all"), "0"), file.read(1))


def test_nodata_is_that_of_its_bytes_where_the_text_is_rounded(tmp_path):
    path = write(tmp_path / "a.tif", dtype="float64")
    pam(
        path,
        '<PAMRasterBand band="1"><NoDataValue le_hex_equiv="555555555555D53F">3.33E-01</NoDataValue></PAMRasterBand>',
    )
    tree = mf.parse(path, sidecars="metadata")
    with rasterio.open(path) as file:
        assert tree["0"].attributes["_FillValue"] == file.nodata == 1 / 3
    pam(path, '<PAMRasterBand band="1"><NoDataValue le_hex_equiv="55">3.33E-01</NoDataValue></PAMRasterBand>')
    with pytest.raises(mf.MalformedFileError, match="le_hex_equiv"):
        mf.parse(path, sidecars="metadata")


def test_nodata_of_two_texts_is_one(tmp_path):
    path = write(tmp_path / "a.tif", count=2, nodata=-9999)
    pam(path, '<PAMRasterBand band="1"><NoDataValue>-9.99900000000000E+03</NoDataValue></PAMRasterBand>')
    tree = mf.parse(path, sidecars="metadata")
    assert not tree.issues
    assert tree["0"].attributes["_FillValue"] == -9999


def test_a_broken_domain_costs_itself(tmp_path):
    path = write(tmp_path / "a.tif")
    pam(path, '<Metadata domain="RPC"><MDI key="LINE_OFF">1</MDI></Metadata>', PARTS["band"])
    tree = mf.parse(path, sidecars="metadata")
    assert [issue.feature for issue in tree.issues] == ["attribute left out"]
    assert tree["0"].attributes["scale_factor"] == 0.5


def test_a_series_says_that_nothing_beside_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RNG.integers(0, 9, (3, 20, 20)).astype("u2"), imagej=True)
    plain = mf.parse(path)
    pam(path, PARTS["band"], PARTS["nodata"])
    tree = mf.parse(path, sidecars="metadata")
    assert [issue.message for issue in tree.issues] == ["of a series they are not read"]
    assert {name: array.attributes for name, array in tree.walk_arrays()} == {
        name: array.attributes for name, array in plain.walk_arrays()
    }


def test_levels_of_another_file_have_the_nodata_and_colours_of_the_image(tmp_path):
    """Whatever bytes and byte order the other file has where the image keeps them."""
    for name, profile in {"nodata": {"dtype": "float32", "nodata": -9999.5}, "colors": {"dtype": "uint8"}}.items():
        path = write(tmp_path / f"{name}.tif", width=64, height=64, **profile)
        if name == "colors":
            with rasterio.open(path, "r+") as file:
                file.write_colormap(1, {n: (n, 255 - n, 3, 255) for n in range(256)})
        build_overviews(path)
        beside = tmp_path / f"{name}.tif.ovr"
        with tifffile.TiffFile(beside, mode="r+b") as tif:
            for page in tif.pages:
                for code in (42113, 320):
                    if code in page.tags:  # GDAL writes them there too; other programs do not
                        tif.filehandle.seek(page.tags[code].offset)
                        tif.filehandle.write((65000 + code % 2).to_bytes(2, "little"))
        tree = mf.parse(path, sidecars="overviews")
        assert not [issue for issue in tree.issues if issue.severity == "refused"]
        full, level = tree["0/data"].attributes, tree["1/data"].attributes
        for key in ("_FillValue", "color_map"):
            np.testing.assert_array_equal(full.get(key), level.get(key))
        assert ("_FillValue" in level) == (name == "nodata")
        assert ("color_map" in level) == (name == "colors")


def test_rational_polynomials(tmp_path):
    path = write(tmp_path / "a.tif")
    names = ["HEIGHT", "LAT", "LINE", "LONG", "SAMP"]
    items = {f"{n}_{what}": str(i + 0.5) for i, (n, what) in enumerate(itertools.product(names, ["OFF", "SCALE"]))}
    for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN"):
        items[f"{name}_COEFF"] = " ".join(map(str, RNG.random(20)))
    pam(path, '<Metadata domain="RPC">', *(f'<MDI key="{k}">{v}</MDI>' for k, v in items.items()), "</Metadata>")
    rpc = mf.parse(path, sidecars="all")["0"].attributes["rpc"]
    with rasterio.open(path) as file:
        for name, value in file.rpcs.to_dict().items():
            if not name.startswith("err"):
                assert rpc[name.upper()] == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<PAMDataset><broken>", "not XML"),
        ("<OtherDataset/>", "must be PAMDataset"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><PAMDataset><SRS>&b;</SRS></PAMDataset>', "entities"),
        ('<PAMDataset><PAMRasterBand band="0"><Scale>2</Scale></PAMRasterBand></PAMDataset>', "1 at least"),
        ("<PAMDataset><GeoTransform>a,b,c,d,e,f</GeoTransform></PAMDataset>", "float"),
        (
            '<PAMDataset><PAMRasterBand band="1"><ColorTable><Entry c1="300"/></ColorTable></PAMRasterBand></PAMDataset>',
            "255",
        ),
    ],
)
def test_damaged_metadata_are_refused(tmp_path, text, problem):
    path = write(tmp_path / "a.tif")
    (tmp_path / "a.tif.aux.xml").write_text(text)
    with pytest.raises(mf.MalformedFileError, match=problem) as caught:
        mf.parse(path, sidecars="all")
    assert "a.tif.aux.xml" in str(caught.value)
    tree = mf.parse(path, sidecars="all", on_unsupported="skip")
    assert tree["0"] == mf.parse(path)["0"]


def test_deep_and_long_metadata(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif")
    pam(path, "<a>" * 100_000, "</a>" * 100_000, PARTS["transform"])
    assert mf.parse(path, sidecars="all")["0"].attributes["spatial:transform"] == [0.5, 0.125, 5, 0.25, -0.25, 50]
    monkeypatch.setattr("manifestry_tiff.sidecars.files._MAX_TEXT", 1000)
    with pytest.raises(mf.MalformedFileError, match="more than the limit of 1000"):
        mf.parse(path, sidecars="all")


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        ("<SRS>nonsense</SRS>", "coordinate reference system left out"),
        ("<SRS>http://127.0.0.1:9/crs</SRS>", "coordinate reference system left out"),
        (f'<SRS dataAxisToSRSAxisMapping="1,2">{GEOGRAPHIC}</SRS>', "coordinate reference system left out"),
        ("<GeoTransform>0,0,0,0,0,0</GeoTransform>", "transform left out"),
        ('<GCPList Projection=""/>', "metadata left out"),
        ('<Metadata domain="xml:ESRI" format="xml"><a/></Metadata>', "metadata left out"),
        ('<PAMRasterBand band="1"><NoDataValue>1e9</NoDataValue></PAMRasterBand>', "nodata left out"),
    ],
)
def test_what_cannot_be_understood_is_reported(tmp_path, body, feature):
    path = write(tmp_path / "a.tif")
    pam(path, body)
    assert [issue.feature for issue in mf.parse(path, sidecars="all").issues] == [feature]


def build_overviews(path, factors=(2, 4)):
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
        file.build_overviews(factors, Resampling.nearest)


def check_levels(path, tree, masked):
    with rasterio.open(path) as file:
        count = len(file.overviews(1))
    assert list(tree.groups) == [str(i) for i in range(count + 1)]
    for level in range(count + 1):
        with rasterio.open(path, **({"overview_level": level - 1} if level else {})) as file:
            expected = file.read() if file.count > 1 else file.read(1)
            np.testing.assert_array_equal(values(tree, f"{level}/data"), expected)
            attributes = tree[f"{level}/data"].attributes
            np.testing.assert_allclose(attributes["spatial:transform"], list(file.transform)[:6], rtol=1e-12)
            assert ("ancillary_variables" in attributes) == masked
            if masked:
                assert MaskFlags.per_dataset in file.mask_flag_enums[0]
                np.testing.assert_array_equal(values(tree, f"{level}/mask"), file.read_masks(1))
                assert tree[f"{level}/mask"].attributes["flag_values"] == [0, 255]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (61, 67)])
def test_overviews_and_masks_in_other_files(tmp_path, size, count, masked):
    width, height = size
    path = write(tmp_path / "a.tif", said=True, count=count, width=width, height=height, dtype="uint8", nodata=None)
    if masked:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(RNG.integers(0, 2, (height, width)).astype("u1") * 255)
    build_overviews(path)
    tree = mf.parse(path, sidecars="all")
    assert not tree.issues
    check_levels(path, tree, masked)
    for level in (1, 2):  # a pyramid is one image
        assert tree[f"{level}/data"].attributes["scale_factor"] == 2
        assert {file.url.rpartition("/")[2] for file in tree[f"{level}/data"].manifest.files} == {"a.tif.ovr"}


def test_what_the_file_has_itself_counts_before_other_images(tmp_path):
    path = write(tmp_path / "a.tif", said=True, width=64, height=64, dtype="uint8", nodata=None)
    other = write(tmp_path / "b.tif", width=64, height=64, dtype="uint8")
    build_overviews(other)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(np.zeros((64, 64), "u1"))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2])
    plain = mf.parse(path)
    shutil.copy(f"{other}.ovr", f"{path}.ovr")
    shutil.copy(other, f"{path}.msk")
    tree = mf.parse(path, sidecars="all")
    assert tree == plain
    assert len(tree.issues) == 2
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2]
        assert not file.read_masks(1).any()


def test_one_directory_has_no_other_images(tmp_path):
    path = write(tmp_path / "a.tif", said=True, width=64, height=64)
    build_overviews(path)
    pam(path, PARTS["band"])
    tree = mf.parse(path, ifd=0, sidecars="all")
    assert list(tree.arrays) == ["0", "x", "y", "spatial_ref"]
    assert tree["0"].attributes["units"] == "km"


def test_damaged_overviews_cost_themselves(tmp_path):
    path = write(tmp_path / "a.tif", width=64, height=64)
    (tmp_path / "a.tif.ovr").write_bytes(b"II*\0\x08\0\0\0")
    with pytest.raises(mf.MalformedFileError, match=r"a\.tif\.ovr"):
        mf.parse(path, sidecars="overviews")
    assert mf.parse(path, sidecars="overviews", on_unsupported="skip")["0"] == mf.parse(path)["0"]


@pytest.mark.parametrize("fmt", ["kerchunk-json", "kerchunk-parquet", "icechunk"])
def test_outputs_are_verified_with_all_their_sources(tmp_path, fmt):
    path = write(tmp_path / "a.tif", said=True, width=64, height=64, dtype="uint8", nodata=None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(RNG.integers(0, 2, (64, 64)).astype("u1") * 255)
    build_overviews(path)
    pam(path, PARTS["band"])
    out = tmp_path / f"out.{fmt}"
    mf.convert(path, out, to=fmt, read={"sidecars": "all"})
    report = mf.verify(out, samples="all")
    assert report.ok
    assert {check.url.rpartition("/")[2] for check in report.sources} == {
        "a.tif", "a.tif.aux.xml", "a.tif.msk", "a.tif.msk.ovr", "a.tif.ovr",
    }  # fmt: skip
    assert all(check.compared == check.chunks and not check.differences for check in report.arrays)
    pam(path, PARTS["transform"])
    assert not mf.verify(out).ok


class Counting(MemoryStore):
    """A store that notes what is asked for."""


def test_remote_files_are_asked_for_on_request_only(tmp_path):
    path = write(tmp_path / "a.tif", said=True, width=64, height=64)
    build_overviews(path)
    pam(path, PARTS["band"])
    memory = MemoryStore()
    for file in tmp_path.iterdir():
        memory.put(file.name, file.read_bytes())
    tree = mf.parse("memory://here/a.tif", stores={"memory://here": memory})
    assert "0" in tree.arrays
    assert not tree.issues
    tree = mf.parse("memory://here/a.tif", stores={"memory://here": memory}, sidecars="all")
    assert list(tree.groups) == ["0", "1", "2"]
    assert tree["0/data"].attributes["units"] == "km"
    assert {file.url for file in tree["1/data"].manifest.files} == {"memory://here/a.tif.ovr"}
