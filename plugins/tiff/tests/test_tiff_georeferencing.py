"""CRS and transform as GDAL sees them, as GeoZarr and CF attributes that others read."""

import manifestry as mf
import numpy as np
import pyproj
import pytest
import rasterio
import rioxarray  # noqa: F401 registers the accessor
import tifffile
import xarray as xr
import zarr
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine, from_origin

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
]
TRANSFORM = from_origin(500_000, 5_000_000, 10, 10)


def write(path, crs, transform=TRANSFORM, *, count=1, tags=None, **options):
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=60,
        height=40,
        count=count,
        dtype="uint16",
        crs=crs,
        transform=transform,
        **options,
    ) as file:
        file.write(np.arange(count * 2400, dtype="u2").reshape(count, 40, 60))
        file.update_tags(**(tags or {}))
    return path


def crs_of(array):
    attributes = array.attributes
    code, wkt = attributes.get("proj:code"), attributes.get("proj:wkt2")
    return pyproj.CRS(code or wkt) if code or wkt else None


def test_layout_of_the_conventions(tmp_path):
    tree = mf.parse(write(tmp_path / "a.tif", "EPSG:32633"))
    attributes = dict(tree["0"].attributes)
    assert [c["name"] for c in attributes["zarr_conventions"]] == ["proj", "proj:", "spatial", "spatial:"]
    assert {c["uuid"] for c in attributes["zarr_conventions"]} == {
        "f17cb550-5864-4468-aeb7-f3180cfb622f", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    }  # fmt: skip
    expected = {
        "proj:code": "EPSG:32633",
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": [40, 60],
        "spatial:transform": [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0],
        "spatial:transform_type": "affine",
        "spatial:bbox": [500_000.0, 4_999_600.0, 500_600.0, 5_000_000.0],
        "spatial:registration": "pixel",
        "grid_mapping": "spatial_ref",
        "AREA_OR_POINT": "Area",
    }
    assert {name: attributes[name] for name in expected} == expected
    x, y = (zarr.open_group(mf.open_store(tree), mode="r")[name][...] for name in "xy")
    np.testing.assert_array_equal(x, 500_005 + 10.0 * np.arange(60))
    np.testing.assert_array_equal(y, 4_999_995 - 10.0 * np.arange(40))
    assert tree["x"].attributes["standard_name"] == "projection_x_coordinate"
    assert tree["spatial_ref"].attributes["GeoTransform"] == "500000.0 10.0 0.0 5000000.0 0.0 -10.0"


def test_coordinates_are_optional(tmp_path):
    path = write(tmp_path / "a.tif", "EPSG:32633")
    assert set(mf.parse(path, coordinates=False).arrays) == {"0", "spatial_ref"}
    rotated = write(tmp_path / "b.tif", "EPSG:32633", TRANSFORM @ Affine.rotation(30))
    tree = mf.parse(rotated)
    assert set(tree.arrays) == {"0", "spatial_ref"}
    with rasterio.open(rotated) as file:
        np.testing.assert_allclose(tree["0"].attributes["spatial:transform"], list(file.transform)[:6], rtol=1e-15)


SYSTEMS = [
    "EPSG:32633", "EPSG:4326", "EPSG:3857", "EPSG:3031", "EPSG:3035", "EPSG:27700", "EPSG:2193", "EPSG:2264",
    "EPSG:28992", "EPSG:5514",
    "+proj=tmerc +lat_0=10 +lon_0=20 +k=0.9996 +x_0=1000 +y_0=2000 +datum=WGS84 +units=m",
    "+proj=lcc +lat_1=33 +lat_2=45 +lat_0=39 +lon_0=-96 +x_0=10 +y_0=20 +datum=NAD83 +units=m",
    "+proj=lcc +lat_1=33 +lat_0=33 +lon_0=-96 +k_0=0.99 +datum=NAD83 +units=us-ft",
    "+proj=laea +lat_0=-90 +lon_0=30 +x_0=1 +y_0=2 +ellps=WGS84 +units=m",
    "+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96 +datum=NAD83 +units=m",
    "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +datum=WGS84 +units=m",
    "+proj=sterea +lat_0=52 +lon_0=5 +k=0.9999 +x_0=155000 +y_0=463000 +ellps=bessel +units=m",
    "+proj=merc +lon_0=10 +k=1 +ellps=WGS84 +units=m",
    "+proj=eqc +lat_ts=30 +lon_0=10 +a=6370000 +b=6370000 +units=m",
    "+proj=aeqd +lat_0=40 +lon_0=10 +datum=WGS84 +units=m",
    "+proj=sinu +lon_0=5 +R=6371007.181 +units=m",
    "+proj=robin +lon_0=15 +datum=WGS84 +units=m",
    "+proj=cass +lat_0=10 +lon_0=20 +ellps=clrk66 +units=m",
    "+proj=cea +lat_ts=30 +lon_0=0 +datum=WGS84 +units=m",
    "+proj=poly +lat_0=0 +lon_0=-54 +ellps=GRS80 +units=m",
    "+proj=longlat +a=6378000 +b=6356000",
    "+proj=utm +zone=33 +ellps=intl +units=m",
]  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS)
def test_systems_place_points_where_gdal_places_them(tmp_path, system):
    path = write(tmp_path / "a.tif", system, from_origin(1, 2, 0.5, 0.5))
    tree = mf.parse(path)
    mine = crs_of(tree["0"])
    with rasterio.open(path) as file:
        theirs = pyproj.CRS(file.crs.to_wkt())
    assert mine is not None
    assert not tree.issues
    assert mine.is_geographic == theirs.is_geographic
    if mine.is_geographic:
        assert mine.ellipsoid.semi_major_metre == theirs.ellipsoid.semi_major_metre
        assert mine.ellipsoid.inverse_flattening == pytest.approx(theirs.ellipsoid.inverse_flattening, rel=1e-10)
        return
    longitude, latitude = theirs.area_of_use.bounds[:2] if theirs.area_of_use else (21.0, 41.0)
    for offset in (0.0, 1.5):
        at = (longitude + offset, latitude + offset)
        places = [
            pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(*at) for crs in (mine, theirs)
        ]
        np.testing.assert_allclose(places[0], places[1], rtol=1e-9, atol=1e-5)


def test_compound_systems(tmp_path):
    path = write(tmp_path / "a.tif", rasterio.crs.CRS.from_string("EPSG:32633+5773"))
    found = crs_of(mf.parse(path)["0"])
    assert found.is_compound
    assert [part.to_epsg() for part in found.sub_crs_list] == [32633, 5773]


def test_geographic_systems_with_heights(tmp_path):
    path = write(tmp_path / "a.tif", "EPSG:4979", from_origin(10, 50, 0.5, 0.5))
    assert mf.parse(path)["0"].attributes["proj:code"] == "EPSG:4979"


def test_pixel_is_point_is_moved_to_the_corner(tmp_path):
    path = write(tmp_path / "a.tif", "EPSG:4326", from_origin(10, 50, 0.5, 0.5), tags={"AREA_OR_POINT": "Point"})
    attributes = mf.parse(path)["0"].attributes
    assert attributes["AREA_OR_POINT"] == "Point"
    with rasterio.open(path) as file:
        assert attributes["spatial:transform"] == list(file.transform)[:6]


def test_pixel_is_point_as_node_registration(tmp_path):
    """GeoZarr `node`: transform and bounding box are those of pixel centres; CF and coordinates stay as they are."""
    path = write(
        tmp_path / "a.tif", "EPSG:32633", tags={"AREA_OR_POINT": "Point"}, tiled=True, blockxsize=16, blockysize=16
    )
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2], rasterio.enums.Resampling.nearest)
    tree = mf.parse(path, registration="node")
    attributes = tree["0/data"].attributes
    assert attributes["spatial:registration"] == tree.attributes["spatial:registration"] == "node"
    assert attributes["spatial:transform"] == [10.0, 0.0, 500_005.0, 0.0, -10.0, 4_999_995.0]
    assert attributes["spatial:bbox"] == [500_005.0, 4_999_605.0, 500_595.0, 4_999_995.0]
    levels = tree.attributes["multiscales"]["layout"]
    assert levels[1]["spatial:transform"] == [20.0, 0.0, 500_010.0, 0.0, -20.0, 4_999_990.0]
    assert tree["0/spatial_ref"].attributes == mf.parse(path)["0/spatial_ref"].attributes
    area = write(tmp_path / "b.tif", "EPSG:32633")
    assert mf.parse(area, registration="node")["0"].attributes["spatial:registration"] == "pixel"


def test_ground_control_points_are_reported(tmp_path):
    path = tmp_path / "a.tif"
    points = [GroundControlPoint(r, c, 10 + c, 50 - r) for r, c in [(0, 0), (0, 60), (40, 0), (40, 60)]]
    with rasterio.open(path, "w", driver="GTiff", width=60, height=40, count=1, dtype="uint8") as file:
        file.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    tree = mf.parse(path)
    assert [issue.feature for issue in tree.issues] == ["ground control points left out"]
    assert tree["0"].attributes["proj:code"] == "EPSG:4326"
    assert "spatial:transform" not in tree["0"].attributes


def test_unknown_systems_cost_no_pixels(tmp_path):
    path = tmp_path / "a.tif"
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 20)
    tifffile.imwrite(path, np.zeros((4, 4), "u1"), extratags=[(34735, 3, len(keys), keys, True)], metadata=None)
    tree = mf.parse(path)
    assert [(i.feature, i.severity) for i in tree.issues] == [("coordinate reference system left out", "reported")]
    assert tree["0"].shape == (4, 4)


def test_gdal_metadata(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=2, dtype="int16", transform=TRANSFORM
    ) as file:
        file.scales, file.offsets, file.units = (0.5, 0.5), (1.0, 1.0), ("K", "m")
        file.descriptions = ("temperature", "height")
        file.update_tags(PROJECT="a & b", scale_factor="7")
        file.update_tags(1, QUALITY="good")
        file.colorinterp = (rasterio.enums.ColorInterp.gray, rasterio.enums.ColorInterp.alpha)
    attributes = mf.parse(path)["0"].attributes
    assert (attributes["scale_factor"], attributes["add_offset"]) == (0.5, 1.0)
    assert attributes["units"] == ["K", "m"]
    assert attributes["long_name"] == ["temperature", "height"]
    assert (attributes["PROJECT"], attributes["gdal_scale_factor"]) == ("a & b", "7")
    assert attributes["QUALITY"] == ["good", ""]
    assert attributes["extra_samples"] == ["unassociated_alpha"]


def test_texts_and_numbers_of_tags_are_those_of_gdal(tmp_path):
    path = tmp_path / "a.tif"
    names = ["ARTIST", "COPYRIGHT", "DOCUMENTNAME", "HOSTCOMPUTER", "SOFTWARE", "IMAGEDESCRIPTION"]
    tags = {f"TIFFTAG_{name}": f"the {name}" for name in names} | {"TIFFTAG_DATETIME": "2026:12:01 00:00:00"}
    tags |= {"TIFFTAG_XRESOLUTION": "72.5", "TIFFTAG_YRESOLUTION": "0.3", "TIFFTAG_RESOLUTIONUNIT": "3"}
    tags |= {"TIFFTAG_MINSAMPLEVALUE": "2", "TIFFTAG_MAXSAMPLEVALUE": "7"}
    write(path, "EPSG:32633", tags=tags)
    with rasterio.open(path) as file:
        expected = {name: value for name, value in file.tags().items() if name.startswith("TIFFTAG_")}
    assert expected.keys() == tags.keys()
    assert expected.items() <= dict(mf.parse(path)["0"].attributes).items()


def test_rational_polynomials_are_those_of_gdal(make_tiff):
    numbers = [float(i) for i in range(92)]
    tree = mf.parse(path := make_tiff([make_tiff.gray(4, 2, 16, 8, (50844, 12, numbers))], bytes(8)))
    rpc = tree["0"].attributes["rpc"]
    with rasterio.open(path) as file:
        expected = file.tags(ns="RPC")
    assert expected.keys() == rpc.keys()
    for name, text in expected.items():
        assert [float(word) for word in text.split()] == (rpc[name] if isinstance(rpc[name], list) else [rpc[name]])


def test_rational_polynomials_of_another_number_are_reported(make_tiff):
    tree = mf.parse(make_tiff([make_tiff.gray(4, 2, 16, 8, (50844, 12, [1.0] * 90))], bytes(8)))
    (issue,) = tree.issues
    assert "50844" in issue.message


@pytest.mark.parametrize(("value", "name"), [(1, None), (3, "bottom_right"), (6, "right_top")])
def test_orientation(make_tiff, value, name):
    tree = mf.parse(make_tiff([make_tiff.gray(4, 2, 16, 8, (274, 3, value))], bytes(8)))
    assert tree["0"].attributes.get("orientation") == name
    assert tree["0"].shape == (2, 4)


def test_orientations_that_are_none_are_reported(make_tiff):
    tree = mf.parse(make_tiff([make_tiff.gray(4, 2, 16, 8, (274, 3, 9))], bytes(8)))
    assert "274" in tree.issues[0].message


def test_metadata_of_other_domains(tmp_path):
    path = write(tmp_path / "a.tif", "EPSG:32633", count=2)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="IMAGERY", CLOUDCOVER="3 < 4")
        file.update_tags(2, ns="IMAGERY", SATELLITE="x")
    attributes = mf.parse(path)["0"].attributes
    assert attributes["gdal:IMAGERY:CLOUDCOVER"] == "3 < 4"
    assert attributes["gdal:IMAGERY:SATELLITE"] == ["", "x"]


def test_scales_that_differ_are_lists(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=2, dtype="int16", transform=TRANSFORM
    ) as file:
        file.scales = (0.5, 0.25)
    attributes = mf.parse(path)["0"].attributes
    assert attributes["scales"] == [0.5, 0.25]
    assert "scale_factor" not in attributes


def test_colour_map(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", transform=TRANSFORM
    ) as file:
        file.write_colormap(1, {0: (1, 2, 3, 255), 7: (255, 128, 0, 255)})
    attributes = mf.parse(path)["0"].attributes
    assert attributes["photometric"] == "palette"
    np.testing.assert_array_equal(attributes["color_map"][[0, 7]] // 257, [[1, 2, 3], [255, 128, 0]])


@pytest.mark.parametrize("system", ["EPSG:32633", "+proj=lcc +lat_1=33 +lat_2=45 +lat_0=39 +lon_0=-96 +datum=NAD83"])
def test_rioxarray_reads_system_and_transform(tmp_path, system):
    path = write(tmp_path / "a.tif", system)
    store = mf.open_store(mf.parse(path))
    with (
        xr.open_zarr(store, consolidated=False, decode_coords="all", chunks=None) as dataset,
        rasterio.open(path) as file,
    ):
        assert dataset["0"].rio.crs == file.crs
        assert dataset["0"].rio.transform() == file.transform
        np.testing.assert_array_equal(dataset["0"].values, file.read(1))


ESRI = (
    'ESRI PE String = PROJCS["x",GEOGCS["GCS_ETRS_1989",DATUM["D_ETRS_1989",SPHEROID["GRS_1980",6378137.0,298.257222101]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],UNIT["Meter",1.0]],'
    'VERTCS["DHHN92",VDATUM["Deutsches_Haupthoehennetz_1992"],UNIT["Meter",1.0]]'
)
NAMES = "GCS Name = here|Datum = Datum of here|Ellipsoid = Clarke 1866|Primem = Greenwich"
NUMBERS = [43.0, 10.0, 500_000.0, -71.0, -45.0, 0.994, 50.0]
KEYS = {
    "mercator with a standard parallel": {1024: 1, 2048: 4326, 3072: 32767, 3075: 7, 3078: 0, 3080: 1, 3082: 2},
    "polar stereographic": {1024: 1, 2048: 4326, 3072: 32767, 3075: 15, 3081: 3, 3095: 4, 3082: 2},
    "transverse mercator to the south": {1024: 1, 2048: 4326, 3072: 32767, 3075: 27, 3080: 1, 3081: 0, 3092: 5},
    "laborde": {1024: 1, 2048: 4326, 3072: 32767, 3075: 4, 3088: 1, 3089: 0, 3093: 5, 3094: 1},
    "angles in grads": {1024: 1, 2048: 32767, 2050: 6267, 2054: 9105, 3072: 32767, 3075: 1, 3080: 1, 3081: 6, 3092: 5},
    "angles in grads by the registry": {1024: 1, 2048: 4807, 3072: 32767, 3075: 1, 3080: 1, 3081: 6, 3092: 5},
    "geographic in grads": {1024: 2, 2048: 32767, 2050: 6267, 2054: 9105},
    "datum ensemble": {1024: 2, 2048: 32767, 2050: 6326, 2054: 9102},
    "prime meridian": {1024: 2, 2048: 32767, 2050: 32767, 2051: 8903, 2054: 9102, 2056: 7008},
    "registered conversion in feet": {1024: 1, 2048: 4267, 3072: 32767, 3074: 16033, 3076: 9003},
    "registered system on another datum": {1024: 1, 2048: 4267, 3072: 32633},
    "registered system in feet": {1024: 1, 3072: 32633, 3076: 9002},
    "model left to the codes": {1024: 32767, 3072: 3035, 3073: ESRI},
    "model and codes left to the text": {1024: 32767, 2048: 4258, 3073: ESRI},
    "heights in the text and in a key": {1024: 32767, 3072: 25832, 3073: ESRI, 4096: 5783},
    "names in a citation": {1024: 2, 2048: 32767, 2049: NAMES, 2050: 32767, 2054: 9102, 2056: 7008},
    "heights above the ellipsoid": {1024: 2, 2048: 4326, 4096: 4979},
}


def geo_tags(keys, numbers, minor=1):
    """The tags of GeoKeys; a small number of a key from 3077 to 3096 is the index of a double."""
    text = next((value for value in keys.values() if isinstance(value, str)), "")
    words = [1, 1, minor, len(keys)]
    for key, value in keys.items():
        if isinstance(value, str):
            words += [key, 34737, len(value) + 1, 0]
        else:
            words += [key, 34736, 1, value] if 3077 <= key <= 3096 else [key, 0, 1, value]
    place = [(33550, 12, [10.0, 10.0, 0.0]), (33922, 12, [0.0, 0.0, 0.0, 100.0, 200.0, 0.0])]
    return [(34735, 3, words), (34736, 12, numbers), (34737, 2, text + "|"), *place]


@pytest.mark.parametrize("name", KEYS)
def test_systems_are_those_of_gdal(make_tiff, name):
    path = make_tiff([make_tiff.gray(4, 2, 16, 8, *geo_tags(KEYS[name], NUMBERS))], bytes(8))
    tree = mf.parse(path)
    assert not tree.issues
    with rasterio.open(path) as file:
        assert rasterio.crs.CRS.from_wkt(tree["spatial_ref"].attributes["spatial_ref"]) == file.crs


def test_heights_above_an_ellipsoid_by_old_codes(make_tiff):
    tags = geo_tags({1024: 1, 3072: 32633, 4096: 5030}, NUMBERS)
    tree = mf.parse(make_tiff([make_tiff.gray(4, 2, 16, 8, *tags)], bytes(8)))
    found = crs_of(tree["0"])
    assert len(found.axis_info) == 3
    assert found.to_2d().equals(pyproj.CRS("EPSG:32633"), ignore_axis_order=True)
    assert not tree.issues


def test_vertical_codes_that_are_none_cost_only_themselves(make_tiff):
    tags = geo_tags({1024: 1, 3072: 32633, 4096: 4937}, NUMBERS)
    tree = mf.parse(make_tiff([make_tiff.gray(4, 2, 16, 8, *tags)], bytes(8)))
    assert tree["0"].attributes["proj:code"] == "EPSG:32633"
    assert [issue.feature for issue in tree.issues] == ["vertical system left out"]


def test_a_compound_system_by_the_key_of_projected_ones(make_tiff):
    tags = geo_tags({1024: 1, 2048: 4258, 3072: 7423, 3076: 9001}, NUMBERS)
    tree = mf.parse(make_tiff([make_tiff.gray(4, 2, 16, 8, *tags)], bytes(8)))
    assert tree["0"].attributes["proj:code"] == "EPSG:7423"


def test_a_vertical_datum_is_none_of_a_map(make_tiff):
    tags = geo_tags({1024: 2, 2048: 32767, 2050: 5103}, NUMBERS)
    tree = mf.parse(make_tiff([make_tiff.gray(4, 2, 16, 8, *tags)], bytes(8)))
    assert "spatial:transform" in tree["0"].attributes
    (issue,) = tree.issues
    assert issue.feature == "coordinate reference system left out"
    assert "GeoKey 2057" in issue.message


SCALE, TIE = (33550, 12, [10.0, 5.0, 0.0]), (33922, 12, [2.0, 1.0, 0.0, 100.0, 200.0, 0.0])
MATRIX = (34264, 12, [10.0, 2.0, 0.0, 5.0, 3.0, -10.0, 0.0, 6.0, *[0.0] * 7, 1.0])


@pytest.mark.parametrize("point", [1, 2])
@pytest.mark.parametrize("tags", [[SCALE, TIE], [MATRIX], [SCALE, TIE, MATRIX], [(33550, 12, [0.0] * 3), TIE, MATRIX]])
def test_transforms_are_those_of_gdal(make_tiff, tags, point):
    keys = (34735, 3, [1, 1, 0, 2, 1025, 0, 1, point, 3072, 0, 1, 32633])
    path = make_tiff([make_tiff.gray(4, 2, 16, 8, keys, *tags)], bytes(8))
    with rasterio.open(path) as file:
        assert mf.parse(path)["0"].attributes["spatial:transform"] == pytest.approx(tuple(file.transform)[:6])
