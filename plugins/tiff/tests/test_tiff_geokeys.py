"""Random sets of GeoKeys: points lie where GDAL has them, or the system is refused by name."""

import math
import os
import random

import manifestry as mf
import numpy as np
import pyproj
import pytest
import rasterio
import tifffile

METHODS = [*range(1, 29), 9815]
MOON = "GCS Name = Moon 2000|Datum = D_Moon_2000|Ellipsoid = Moon_2000_IAU_IAG|Primem = Reference_Meridian|"
MARS = MOON.replace("Moon", "Mars").replace("2000|Primem", "2000_Sphere|Primem")
GEODETIC_NAMES = [MOON, MARS, "my datum", "GCS Name = here|Primem = Paris|", "GCS Name = x|AUnits = grad|"]
NAMES = [
    "mine", "PCS Name = Mine|", "Google Maps Global Mercator", "PCS Name = google maps global mercator|", "LUnits = foot",
    "WGS_1984_Web_Mercator_Auxiliary_Sphere", "PCS Name = WGS_1984_Web_Mercator_Auxiliary_Sphere|",
    "WGS_1984_Web_Mercator", "WGS 84 / Pseudo-Mercator", "Popular Visualisation CRS / Mercator", "LUnits = kilometer",
]  # fmt: skip
SHIFTS = [(446.448, -125.157, 542.06, 0.15, 0.247, 0.842, -20.489), (100.0, 200.0, -300.0), (0.0, 0.0, 0.0)]
PROJECTED = [
    32633, 26915, 27700, 2154, 3857, 3785, 3395, 3031, 3035, 2264, 26746, 2193, 5514, 31467, 27572, 2180, 22275, 3413,
]  # fmt: skip
CONVERSIONS = [16031, 16133, 16061, 17001, 19914, 18001, 15701, 12113, 10406, 19968, 13406]
WGS_84 = pyproj.CRS.from_proj4("+proj=longlat +datum=WGS84")


def geodetic_keys(dice):
    keys = {}
    match dice.choice(["code", "code", "datum", "ellipsoid", "axes", "axes", "none"]):
        case "code":
            keys[2048] = dice.choice([4326, 4267, 4269, 4277, 4807, 4258, 4314, 4979, 4289, 4035])
        case "datum":
            keys |= {2048: 32767, 2050: dice.choice([6326, 6267, 6277, 6807, 6314, 6258])}
        case "ellipsoid":
            keys |= {2048: 32767, 2050: 32767, 2056: dice.choice([7001, 7004, 7008, 7012, 7019, 7022, 7048])}
        case "axes":
            keys |= {2048: 32767, 2057: dice.choice([6378137.0, 6371000.0, 1737400.0, 3396190.0])}
            keys |= dice.choice([{2059: 298.257223563}, {2059: 0.0}, {2058: keys[2057] - 21000}])
            if dice.random() < 0.5:
                keys[2049] = dice.choice(GEODETIC_NAMES)
    if dice.random() < 0.7:
        keys[2054] = dice.choice([9102, 9102, 9102, 9105, 9101])
    if dice.random() < 0.15:
        keys |= dice.choice([{2051: 8903}, {2051: 32767, 2061: 2.5}, {2061: -17.4}])
    if dice.random() < 0.25:
        keys[2062] = dice.choice(SHIFTS)
    return keys


def parameter_keys(dice):
    often = dice.choice([0.4, 0.95])
    choices = {
        3078: [33.0, 60.0, 0.0], 3079: [45.0, 50.0], dice.choice([3080, 3084, 3088]): [10.0, -96.0, 0.0],
        dice.choice([3081, 3085, 3089]): [0.0, 45.0, -35.0, 90.0], 3082: [0.0, 500000.0], 3083: [0.0, 77.0],
        3086: [5.0], 3090: [7.0], dice.choice([3092, 3093]): [1.0, 0.9996], 3094: [30.0, 53.3], 3095: [-45.0, 90.0],
        3096: [53.13, 90.0],
    }  # fmt: skip
    keys = {key: dice.choice(values) for key, values in choices.items() if dice.random() < often}
    units = [{3076: 9001}, {3076: 9001}, {3076: 9002}, {3076: 9003}, {3076: 9036}, {3076: 32767, 3077: 0.9}, {}]
    return keys | dice.choice(units)


def random_keys(seed):
    """Keys and the minor revision of a seed."""
    dice = random.Random(seed)
    match dice.choice(["method", "method", "geographic", "registered", "conversion", "other"]):
        case "method":
            keys = {1024: 1, 3072: 32767, 3075: dice.choice([*METHODS, 7, 3]), **geodetic_keys(dice)}
            keys |= parameter_keys(dice)
        case "geographic":
            keys = {1024: 2, **geodetic_keys(dice)}
        case "registered":
            keys = {1024: 1, 3072: dice.choice(PROJECTED), **(geodetic_keys(dice) if dice.random() < 0.5 else {})}
            keys |= dice.choice([{}, {}, {3076: 9001}, {3076: 9003}, {3076: 32767}])
        case "conversion":
            keys = {1024: 1, 3072: 32767, 3074: dice.choice(CONVERSIONS), **geodetic_keys(dice)}
            keys |= dice.choice([{3076: 9001}, {3076: 9003}, {}])
        case _:
            keys = {1024: dice.choice([3, 32767, 4]), 1026: "a quarry", 3076: dice.choice([9001, 9003])}
            keys |= geodetic_keys(dice)
    if dice.random() < 0.25 and keys[1024] == 1:
        keys[dice.choice([1026, 3073])] = dice.choice(NAMES)
    if dice.random() < 0.2:
        keys |= dice.choice(
            [{4096: 5703}, {4096: 5773, 4099: 9001}, {4099: 9003}, {4096: 5030}, {4096: 32767, 4098: 5103}]
        )
    return keys, dice.choice([0, 1])


def write_keys(path, keys, minor=1):
    directory, numbers, letters = [], [], ""
    for key, value in sorted(keys.items()):
        if isinstance(value, int):
            directory += [key, 0, 1, value]
        elif isinstance(value, str):
            directory += [key, 34737, len(value) + 1, len(letters)]
            letters += value + "|"
        else:
            values = value if isinstance(value, tuple) else (value,)
            directory += [key, 34736, len(values), len(numbers)]
            numbers += values
    words = (1, 1, minor, len(keys), *directory)
    tags = [(34735, "H", len(words), words, True), (33550, "d", 3, (10.0, 10.0, 0.0), True)]
    tags.append((33922, "d", 6, (0.0, 0.0, 0.0, 1.0, 2.0, 0.0), True))
    tags += [(34736, "d", len(numbers), tuple(numbers), True)] if numbers else []
    tags += [(34737, "s", 0, letters, True)] if letters else []
    tifffile.imwrite(path, np.zeros((4, 4), "u1"), extratags=tags, metadata=None)
    return path


def kind(crs):
    if crs.is_compound:
        return [kind(part) for part in crs.sub_crs_list]
    return kind(crs.source_crs) if crs.is_bound else crs.type_name


def flat(crs):
    """The horizontal part, and the same without a shift of its datum."""
    horizontal = crs.sub_crs_list[0] if crs.is_compound else crs
    unbound = horizontal.source_crs if horizontal.is_bound else horizontal
    plain = unbound.is_geocentric or len(unbound.axis_info) == 2
    return (horizontal, unbound) if plain else (horizontal.to_2d(), unbound.to_2d())


def degrees_of(crs):
    """Degrees of the numbers that pyproj gives for angles: it turns radians into degrees itself."""
    factor = crs.axis_info[0].unit_conversion_factor
    return 1.0 if factor == 1 else math.degrees(factor)


def points(crs):
    """Coordinates in a system of places all over the world, as far as it has them."""
    base = crs.geodetic_crs if crs.is_projected else crs
    places = [(x / degrees_of(base), y / degrees_of(base)) for x in (-100, -2, 3, 60, 140) for y in (-80, -3, 38, 55)]
    if crs.is_geographic:
        return places
    made = [pyproj.Transformer.from_crs(base, crs, always_xy=True).transform(*place) for place in places]
    return [point for point in made if all(map(math.isfinite, point))]


def degrees_at(source, target, where, scale):
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return np.array([transformer.transform(*point) for point in where]).reshape(-1, 2) * scale


def assert_same_places(mine, theirs):
    """The same place on the ellipsoid, and on WGS 84, of points of the plane."""
    assert kind(mine) == kind(theirs)
    (bound, own), (their_bound, their_own) = flat(mine), flat(theirs)
    units = [[axis.unit_conversion_factor for axis in crs.axis_info] for crs in (own, their_own)]
    np.testing.assert_allclose(units[0], units[1], rtol=1e-9)
    if kind(own) == "Engineering CRS":
        return
    assert own.ellipsoid.semi_major_metre == their_own.ellipsoid.semi_major_metre
    assert own.ellipsoid.inverse_flattening == pytest.approx(their_own.ellipsoid.inverse_flattening, rel=1e-9)
    longitudes = [c.prime_meridian.longitude * c.prime_meridian.unit_conversion_factor for c in (own, their_own)]
    assert longitudes[0] == pytest.approx(longitudes[1], abs=1e-9)
    if own.is_geocentric:
        return
    where = points(their_own)
    pairs = [[(own, own.geodetic_crs), (their_own, their_own.geodetic_crs)], [(bound, WGS_84), (their_bound, WGS_84)]]
    for pair in pairs[1:] if own.is_geographic else pairs:
        try:
            expected = degrees_at(*pair[1], where, degrees_of(pair[1][1]))
        except pyproj.exceptions.ProjError:  # another body
            continue
        found = degrees_at(*pair[0], where, degrees_of(pair[0][1]))
        both = np.isfinite(found) & np.isfinite(expected)
        assert both.sum() >= 0.9 * np.isfinite(expected).sum()
        apart = np.abs(found[both] - expected[both])
        assert np.max(np.minimum(apart, np.abs(apart - 360)), initial=0) * 111_000 < 0.01


def check_keys(path, keys, minor):
    """Whether a system is given; if so, it is that of GDAL."""
    write_keys(path, keys, minor)
    with rasterio.open(path) as file:
        theirs = None if file.crs is None else pyproj.CRS.from_wkt(file.crs.to_wkt())
        unit = file.units[0]
    tree = mf.parse(path)
    attributes = tree["spatial_ref"].attributes
    if "crs_wkt" not in attributes:
        assert [issue.feature for issue in tree.issues] == ["coordinate reference system left out"]
        return False
    local = theirs is None or "Engineering CRS" in kind(theirs)
    if local and keys[1024] == 1:  # a code of the registry whose method GeoTIFF has not: GDAL has no place at all
        assert mf.parse(path)["0"].attributes["proj:code"] == f"EPSG:{keys[3072]}"
        return True
    assert_same_places(pyproj.CRS.from_wkt(attributes["crs_wkt"]), theirs)
    assert tree["0"].attributes.get("units") == unit
    return True


def run(path, seeds, at_least):
    given, wrong = 0, []
    for seed in seeds:
        keys, minor = random_keys(seed)
        try:
            given += check_keys(path, keys, minor)
        except AssertionError as error:
            wrong.append((seed, keys, minor, str(error)[:200]))
    assert not wrong
    assert given >= at_least * len(seeds)


def test_random_sets_of_keys(tmp_path):
    run(tmp_path / "a.tif", range(40), 0.5)


@pytest.mark.skipif("MANIFESTRY_LONG_TESTS" not in os.environ, reason="long: set MANIFESTRY_LONG_TESTS to run it")
@pytest.mark.parametrize("first", range(40, 1040, 50))
def test_a_thousand_random_sets_of_keys(tmp_path, first):
    run(tmp_path / "a.tif", range(first, first + 50), 0.5)


# What is not a random set

WEB_KEYS = {1024: 1, 1025: 1, 2048: 4326, 2054: 9102, 3072: 32767, 3074: 32767, 3075: 7, 3076: 9001}
FALSE = {3080: 0.0, 3081: 0.0, 3082: 0.0, 3083: 0.0, 3092: 1.0}


@pytest.mark.parametrize("citation", [1026, 3073])
@pytest.mark.parametrize("name", NAMES)
def test_names_of_web_mercator(tmp_path, citation, name):
    if not name.startswith("LUnits"):
        assert check_keys(tmp_path / "a.tif", {**WEB_KEYS, **FALSE, citation: name}, 1)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("model", [1, 2])
def test_shifts_of_user_defined_datums(tmp_path, model, shift):
    keys = {1024: model, 2048: 32767, 2050: 32767, 2056: 7001, 2054: 9102, 2062: shift}
    keys |= {3072: 32767, 3074: 16031, 3076: 9001} if model == 1 else {}
    assert check_keys(tmp_path / "a.tif", keys, 1)
    assert pyproj.CRS(mf.parse(tmp_path / "a.tif")["spatial_ref"].attributes["crs_wkt"]).is_bound


@pytest.mark.parametrize("method", [3, 9815])
def test_oblique_mercator_without_a_rectified_grid_angle(tmp_path, method):
    keys = {1024: 1, 2048: 4326, 3072: 32767, 3075: method, 3088: 10.0, 3089: 45.0, 3094: 30.0, 3093: 0.999}
    assert check_keys(tmp_path / "a.tif", keys, 1)


@pytest.mark.parametrize("names", [MOON, MARS])
def test_meridians_of_other_bodies(tmp_path, names):
    keys = {1024: 2, 2048: 32767, 2049: names, 2050: 32767, 2054: 9102, 2057: 1737400.0, 2059: 0.0, 2061: 0.0}
    assert check_keys(tmp_path / "a.tif", keys, 1)
    mine = pyproj.CRS(mf.parse(tmp_path / "a.tif")["spatial_ref"].attributes["crs_wkt"])
    assert mine.prime_meridian.name == "Reference_Meridian"


def test_local_systems_are_engineering_systems(tmp_path):
    assert check_keys(tmp_path / "a.tif", {1024: 32767, 1026: "a quarry", 3076: 9003}, 1)
    attributes = mf.parse(tmp_path / "a.tif")["spatial_ref"].attributes
    assert attributes["crs_wkt"].startswith('ENGCRS["a quarry"')


def test_the_unit_of_heights_is_that_of_values(tmp_path):
    path = write_keys(tmp_path / "a.tif", {1024: 1, 3072: 32633, 4099: 9003}, 1)
    assert mf.parse(path)["0"].attributes["units"] == "US survey foot"


def test_vertical_systems_of_geotiff_1_0_are_reported(tmp_path):
    path = write_keys(tmp_path / "a.tif", {1024: 1, 3072: 32633, 4096: 5773}, 0)
    tree = mf.parse(path)
    assert tree["0"].attributes["proj:code"] == "EPSG:32633"
    assert [issue.feature for issue in tree.issues] == ["vertical system left out"]
    assert tree["0"].attributes["units"] == "metre"


def test_the_epoch_of_coordinates(tmp_path):
    path = write_keys(tmp_path / "a.tif", {1024: 2, 2048: 4326, 5120: 2020.5}, 1)
    assert mf.parse(path)["spatial_ref"].attributes["coordinate_epoch"] == 2020.5


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({1024: 1, 2048: 4326, 3072: 32767, 3075: 8, 3078: 40.0}, "GeoKey 3079"),
        ({1024: 2, 2048: 32767, 2050: 6267, 2054: 32767, 2055: 0.0157}, "GeoKey 2055"),
        ({1024: 1, 2048: 4326, 3072: 32767, 3075: 1, 3073: "State Plane Zone 5 NAD27"}, "named in a citation"),
        ({1024: 1, 2048: 4326, 3072: 32767, 3075: 1, 3076: 9003, 3073: "PCS Name = mine|"}, "metres"),
        ({1024: 1, 2048: 4326, 3072: 32767, 3075: 11}, "no projection has these parameters"),
        ({1024: 1, 2048: 4326, 2051: 8903, 3072: 32767, 3075: 1}, "another prime meridian"),
        ({1024: 2, 2048: 32767, 2054: 9105, 2056: 7022, 2061: 2.0}, "meridian"),
        ({1024: 1, 2048: 4326, 3072: 32767, 3075: 10, 3073: "WGS 84 / Pseudo-Mercator"}, "another projection"),
    ],
)
def test_systems_that_readers_disagree_on_are_refused_by_name(tmp_path, keys, words):
    tree = mf.parse(write_keys(tmp_path / "a.tif", keys))
    (issue,) = tree.issues
    assert issue.feature == "coordinate reference system left out"
    assert words in issue.message
