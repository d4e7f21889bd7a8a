"""GeoKeys to coordinate reference systems (GeoTIFF 1.1 section 7.3, EPSG registry).

Registered codes go to pyproj as they are, as long as all keys agree with them. Other systems are put together as WKT 1,
whose names of projections and parameters are those that GeoTIFF was written with (``geotiff.maptools.org/proj_list``), and
pyproj reads that. What keys mean together is what GDAL takes them for.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import pyproj
from pyproj.crs import (  # type: ignore[attr-defined]  # public by pyproj's documentation, not by its annotations
    BoundCRS,
    CoordinateOperation,
    ProjectedCRS,
)
from pyproj.crs.coordinate_operation import ToWGS84Transformation
from pyproj.exceptions import CRSError, ProjError

from manifestry_tiff.geo.citations import projected_name
from manifestry_tiff.geo.geodetic import Geodetic, escape_quotes, read_geodetic
from manifestry_tiff.geo.geokeys import USER_DEFINED, GeoKey, GeoKeys
from manifestry_tiff.geo.heights import ellipsoidal_code, read_vertical_keys, stands_above, with_heights
from manifestry_tiff.geo.projections import axis_directions, projection_of
from manifestry_tiff.geo.system import CoordinateSystem
from manifestry_tiff.geo.units import CrsError, Unit, keyed_length, projected_unit

__all__ = ["CoordinateSystem", "CrsError", "read_crs"]

_PROJECTED, _GEOGRAPHIC = 1, 2  # models
_MERCATOR: Final = 7
_ESRI: Final = "ESRI PE String = "
_PARTS: Final = (GeoKey.PROJECTION, GeoKey.PROJ_METHOD, GeoKey.GEODETIC_CRS, GeoKey.GEODETIC_DATUM, GeoKey.ELLIPSOID)
_WEB_MERCATOR: Final = 3857
_WEB_METHODS: Final = (1024, 9841)  # of EPSG
_GOOGLE: Final = "google maps global mercator"
_WEB_SPHERE: Final = "wgs_1984_web_mercator"  # of Esri, long ago: a sphere, as EPSG:3785
_WEB_NAMES: Final = {  # by name alone PROJ takes them for Web Mercator
    "wgs_1984_web_mercator_auxiliary_sphere": "WGS 84 / Pseudo-Mercator",
    "wgs 84 / pseudo-mercator": "WGS 84 / Pseudo-Mercator",
    "popular visualisation crs / mercator": "Popular Visualisation CRS / Mercator",
}
_KNOWN_METHODS: Final = frozenset(
    [1024, 1027, 1028, 1029, *range(9801, 9803), *range(9804, 9813), 9815, 9818, 9820, 9822, 9823, 9829, 9841, 9842]
)
"""Methods of EPSG that are those of GeoTIFF."""


def read_crs(keys: GeoKeys) -> CoordinateSystem | None:
    """The system of some keys, None where there are none.

    Raises
    ------
    CrsError
        They name one that cannot be made, or not exactly.
    """
    if not keys:
        return None
    try:
        return _read_system(keys)
    except ProjError as error:
        raise CrsError(textwrap.shorten(str(error), 200)) from error  # it may have the whole system in it


def _read_system(keys: GeoKeys) -> CoordinateSystem:
    model = keys.code(GeoKey.GT_MODEL_TYPE)
    if model in (None, USER_DEFINED) and keys.has(GeoKey.PROJECTED_CRS):
        model = model if keys.code(GeoKey.PROJECTED_CRS) == USER_DEFINED else _PROJECTED
    if model is None and keys.registered_code(GeoKey.GEODETIC_CRS) is not None:
        model = _GEOGRAPHIC
    match model:
        case 1:
            return _projected_system(keys)
        case 2:
            return _geographic_system(keys)
        case 3:
            return _geocentric_system(keys)
    return _esri_system(keys) or _local_system(keys)


def _geographic_system(keys: GeoKeys) -> CoordinateSystem:
    code = keys.registered_code(GeoKey.GEODETIC_CRS)
    if code is not None and _is_dynamic(code):  # GDAL passes over other keys then
        horizontal, geodetic_code = _current_system(code), code
    else:
        geodetic = read_geodetic(keys)
        geodetic_code = geodetic.code or 0
        whole = None if geodetic.code is None else _system_of_code(geodetic.code)
        horizontal = whole or CoordinateSystem(pyproj.CRS.from_wkt(geodetic.wkt))
        horizontal = _shifted(keys, geodetic, horizontal, known=geodetic.known)
    above = ellipsoidal_code(read_vertical_keys(keys), geodetic_code)
    return _above(keys, horizontal) if above is None else _system_of_code(above)


@lru_cache(maxsize=64)
def _is_dynamic(code: int) -> bool:
    """Whether a code is of a system on WGS 84, or on a datum that moves with time."""
    try:
        document = pyproj.CRS.from_epsg(code).to_json_dict()
    except CRSError:
        return False
    ensemble = document.get("datum_ensemble", {}).get("name", "")
    return bool(ensemble) or "frame_reference_epoch" in document.get("datum", {})


def _geocentric_system(keys: GeoKeys) -> CoordinateSystem:
    geodetic = read_geodetic(keys)
    name = keys.text(GeoKey.GT_CITATION) or keys.text(GeoKey.GEODETIC_CITATION) or "unnamed"
    unit = keyed_length(keys, None)
    wkt = (
        f'GEOCCS["{escape_quotes(name)}",{geodetic.frame},UNIT["{unit.name}",{unit.size!r}],'
        'AXIS["Geocentric X",OTHER],AXIS["Geocentric Y",OTHER],AXIS["Geocentric Z",NORTH]]'
    )
    return CoordinateSystem(pyproj.CRS.from_wkt(wkt))


def _local_system(keys: GeoKeys) -> CoordinateSystem:
    """A system that is tied to no place on earth."""
    name = keys.text(GeoKey.GT_CITATION) or keys.text(GeoKey.GEODETIC_CITATION) or "unnamed"
    unit = keyed_length(keys, None)
    wkt = f'LOCAL_CS["{escape_quotes(name)}",UNIT["{unit.name}",{unit.size!r}],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    local = CoordinateSystem(pyproj.CRS.from_wkt(wkt))
    return _above(keys, local, own=True) if read_vertical_keys(keys).unit else local


def _esri_system(keys: GeoKeys) -> CoordinateSystem | None:
    """The system that Esri's software writes as WKT into a citation."""
    for key in (GeoKey.PROJECTED_CITATION, GeoKey.GT_CITATION):
        if keys.text(key).startswith(_ESRI):
            return CoordinateSystem(pyproj.CRS.from_wkt(keys.text(key).removeprefix(_ESRI)))
    return None


@lru_cache(maxsize=64)
def _system_of_code(code: int) -> CoordinateSystem:
    """A system of the registry; files of an archive share one, and each look into the registry takes milliseconds."""
    return CoordinateSystem(pyproj.CRS.from_epsg(code), f"EPSG:{code}")


@lru_cache(maxsize=64)
def _current_system(code: int) -> CoordinateSystem:
    """A system of the registry, or the one that has taken its place."""
    registered = _system_of_code(code)
    instead = registered.crs.get_non_deprecated() if registered.crs.is_deprecated else []
    return _system_of_code(int(instead[0].to_authority()[1])) if len(instead) == 1 else registered


def _above(keys: GeoKeys, horizontal: CoordinateSystem, *, own: bool = False) -> CoordinateSystem:
    """A system with the vertical one of the keys (`own`: from datum and unit), where there is one and it is not in it."""
    vertical = read_vertical_keys(keys)
    vertical = vertical._replace(system=USER_DEFINED) if own else vertical
    if not vertical.given or len(horizontal.crs.axis_info) > 2:
        return horizontal
    crs = with_heights(keys, vertical, horizontal.crs)
    if crs is None:
        return replace(horizontal, left_out=f"no vertical system has the code {vertical.system}")
    both = CoordinateSystem(crs)
    return both if keys.minor > 0 else _of_old_keys(horizontal, both)


def _of_old_keys(horizontal: CoordinateSystem, both: CoordinateSystem) -> CoordinateSystem:
    """A system without its vertical part: GeoTIFF 1.0 has codes for those that nobody agreed on; GDAL keeps the unit."""
    name = both.crs.sub_crs_list[-1].name
    reason = f"{name} in keys of GeoTIFF 1.0; write the file with GEOTIFF_VERSION=1.1 to keep it"
    return replace(horizontal, left_out=reason, unit_left_out=both.height_unit)


def _shifted(keys: GeoKeys, geodetic: Geodetic, system: CoordinateSystem, *, known: bool) -> CoordinateSystem:
    """A system with the shift of its datum to WGS 84 (GeoKey 2062); that of a registered datum is for the registry."""
    shift = keys.numbers(GeoKey.TO_WGS84)
    if not shift or (known and not stands_above(read_vertical_keys(keys))):  # GDAL keeps it below a vertical system
        return system
    if geodetic.keyed != 1:
        raise CrsError("a shift to WGS 84 (GeoKey 2062) with angles that are not in degrees: readers take it or not")
    if len(shift) not in (3, 7) or not all(map(math.isfinite, shift)):
        raise CrsError(f"the shift to WGS 84 has {len(shift)} numbers (GeoKey 2062): must be 3 or 7")
    transformation = ToWGS84Transformation(system.crs, *shift)
    return CoordinateSystem(BoundCRS(system.crs, pyproj.CRS.from_epsg(4326), transformation))


def _projected_system(keys: GeoKeys) -> CoordinateSystem:
    code = keys.registered_code(GeoKey.PROJECTED_CRS)
    registered = None if code is None else _registered_projected(code)
    if registered is not None and registered.crs.type_name != "Projected CRS":
        return _other_system(keys, registered)  # some files have the code of a compound system here
    own = None if registered is None or code is None else _base_code(code)
    if registered is not None and not keys.has(*_PARTS):
        horizontal = _with_unit(registered, _unit(keys, registered))
        if ellipsoidal_code(read_vertical_keys(keys), own) is not None:
            return CoordinateSystem(horizontal.crs.to_3d())
        return _above(keys, horizontal)
    if registered is not None and registered.code == f"EPSG:{_WEB_MERCATOR}":
        method = keys.registered_code(GeoKey.PROJ_METHOD)
        if _unit(keys, registered).size != 1 or method not in (None, _MERCATOR):
            raise CrsError("Web Mercator with another method or unit: readers take it for other projections")
        return _above(keys, registered)
    _refuse_zones(keys)
    own_code = keys.has(GeoKey.PROJECTED_CRS) and keys.code(GeoKey.PROJECTED_CRS) != USER_DEFINED
    name = projected_name(keys, general_only=own_code)
    if name.lower() == _GOOGLE and (registered is not None or keys.registered_code(GeoKey.PROJ_METHOD) is not None):
        return _above(keys, _system_of_code(_WEB_MERCATOR))
    mercator = registered is None and keys.code(GeoKey.PROJ_METHOD) == _MERCATOR
    if name.lower() == _WEB_SPHERE and mercator and not read_vertical_keys(keys).given:
        return CoordinateSystem(pyproj.CRS.from_epsg(3785), "EPSG:3785")
    if name.lower() in (*_WEB_NAMES, _WEB_SPHERE, _GOOGLE) and not mercator:
        raise CrsError(f"the citation says {name!r} and the keys another projection")
    geodetic = read_geodetic(keys, own)
    horizontal = _system_of_parts(keys, geodetic, registered, _WEB_NAMES.get(name.lower(), name))
    if not horizontal.code:
        known = geodetic.known or registered is not None
        horizontal = _shifted(keys, geodetic, _usable(horizontal), known=known)
    if ellipsoidal_code(read_vertical_keys(keys), geodetic.code) is not None:
        return replace(horizontal, left_out="heights above the ellipsoid beside keys of the parts of a map")
    return _above(keys, horizontal)


def _other_system(keys: GeoKeys, registered: CoordinateSystem) -> CoordinateSystem:
    """A registered system that is none of a projection alone, if other keys agree with it."""
    if not registered.crs.is_compound:
        if keys.has(*_PARTS):
            raise CrsError(f"{registered.code} is none of a map, and other keys say of which parts one is made")
        return _above(keys, registered)
    _, code = registered.crs.sub_crs_list[0].to_authority()
    horizontal = _system_of_code(int(code))
    base = _base_code(int(code))
    projection = keys.registered_code(GeoKey.PROJECTION) or keys.registered_code(GeoKey.PROJ_METHOD)
    if keys.has(*_PARTS) and (projection or read_geodetic(keys, base).code not in (base, int(code))):
        raise CrsError(f"{registered.code} is {registered.crs.name}, and other keys disagree with it")
    return registered if keys.minor > 0 else _of_old_keys(horizontal, registered)


def _usable(system: CoordinateSystem) -> CoordinateSystem:
    """A projected system, if its parameters make one."""
    try:
        pyproj.Transformer.from_crs(system.crs.geodetic_crs, system.crs)
    except ProjError as error:
        raise CrsError(f"no projection has these parameters: {textwrap.shorten(str(error), 160)}") from error
    return system


def _registered_projected(code: int) -> CoordinateSystem | None:
    try:
        return _current_system(code)
    except CRSError:
        return None


@lru_cache(maxsize=64)
def _base_code(code: int) -> int | None:
    """The code of the geographic system below a registered projected one."""
    base = _system_of_code(code).crs.to_json_dict().get("base_crs", {})
    base_code = base.get("id", {}).get("code")
    return base_code if isinstance(base_code, int) else None


def _refuse_zones(keys: GeoKeys) -> None:
    """Citations whose words count more than keys, for those who know Esri's list of zones."""
    text = keys.text(GeoKey.PROJECTED_CITATION)
    general = keys.text(GeoKey.GT_CITATION)
    named = "Projection Name = " in general and "_StatePlane_" in general
    if keys.registered_code(GeoKey.PROJECTED_CRS) is None and (
        named or "State Plane Zone " in text or ("UTM Zone " in text and "Datum = PSAD56" in text)
    ):
        raise CrsError(f"the zone is named in a citation alone: {textwrap.shorten(text or general, 80)!r}")


def _unit(keys: GeoKeys, registered: CoordinateSystem | None) -> Unit:
    """The unit of projected coordinates."""
    return projected_unit(keys, None if registered is None else _registered_unit(registered))


def _registered_unit(registered: CoordinateSystem) -> Unit:
    axis = registered.crs.axis_info[0]
    return Unit(axis.unit_name, axis.unit_conversion_factor)


def _system_of_parts(
    keys: GeoKeys, geodetic: Geodetic, registered: CoordinateSystem | None, name: str
) -> CoordinateSystem:
    """A projected system from its parts, or the registered one if keys do not change it."""
    method = keys.registered_code(GeoKey.PROJ_METHOD)
    unit = _unit(keys, registered)
    if method is not None:
        length = keyed_length(keys, None if registered is None else _registered_unit(registered)).size / unit.size
        made = _system_of_method(keys, geodetic, unit, length=length, name=name)
        same = registered is not None and made.crs.equals(registered.crs, ignore_axis_order=True)
        return registered if same and registered is not None else made
    if registered is not None:
        base = _base_code(keys.registered_code(GeoKey.PROJECTED_CRS) or 0)
        if geodetic.code is not None and geodetic.code == base:
            return _with_unit(registered, unit)
        return _with_unit(_on_other_base(registered, geodetic), unit)
    conversion = keys.registered_code(GeoKey.PROJECTION)
    if conversion is not None:
        return _with_unit(_registered_conversion(geodetic, conversion, name), unit)
    written = _esri_system(keys)
    if written is None:
        given = keys.code(GeoKey.PROJ_METHOD)
        raise CrsError(f"projection method {given} (GeoKey {int(GeoKey.PROJ_METHOD)}) has no name in WKT 1")
    return written


def _conversion_method(conversion: dict[str, Any]) -> int:
    code = conversion["method"].get("id", {}).get("code", 0)
    return code if isinstance(code, int) else 0


def _check_method(conversion: dict[str, Any], geodetic: Geodetic) -> None:
    """Methods that have no place in GeoTIFF, and Web Mercator on another system, are taken for others or for none."""
    method = _conversion_method(conversion)
    if method not in _KNOWN_METHODS or (method in _WEB_METHODS and geodetic.code != 4326):
        raise CrsError(f"{conversion['name']} on {geodetic.name}: readers take the method {method} for another")


def _on_other_base(registered: CoordinateSystem, geodetic: Geodetic) -> CoordinateSystem:
    """A registered projected system on another geographic one."""
    document = registered.crs.to_json_dict()
    document.pop("id")
    _check_method(document["conversion"], geodetic)
    document["base_crs"] = pyproj.CRS.from_wkt(geodetic.wkt).to_json_dict()
    return CoordinateSystem(pyproj.CRS.from_json_dict(document))


def _with_unit(system: CoordinateSystem, unit: Unit) -> CoordinateSystem:
    """A projected system with coordinates in a unit."""
    crs = system.crs
    if all(math.isclose(axis.unit_conversion_factor, unit.size, rel_tol=1e-14) for axis in crs.axis_info):
        return system
    document = crs.to_json_dict()
    name = "US survey foot" if math.isclose(unit.size, 12 / 39.37, rel_tol=1e-9) else unit.name
    for axis in document["coordinate_system"]["axis"]:
        axis["unit"] = (
            "metre" if unit.size == 1 else {"type": "LinearUnit", "name": name, "conversion_factor": unit.size}
        )
    document.pop("id", None)
    document["name"] += f" ({name})"
    return CoordinateSystem(pyproj.CRS.from_json_dict(document))


def _system_of_method(keys: GeoKeys, geodetic: Geodetic, unit: Unit, *, length: float, name: str) -> CoordinateSystem:
    """A projected system from a method and its parameters."""
    method = keys.code(GeoKey.PROJ_METHOD) or 0
    projection = projection_of(method, keys)
    if projection is None:
        raise CrsError(f"projection method {method} (GeoKey {int(GeoKey.PROJ_METHOD)}) has no name in WKT 1")
    parameters = projection.wkt_parameters(keys, geodetic.keyed, geodetic.unit.size, length)
    east, north = axis_directions(projection.name, dict(parameters))
    texts = "".join(f',PARAMETER["{parameter}",{value!r}]' for parameter, value in parameters)
    wkt = (
        f'PROJCS["{escape_quotes(name or "unnamed")}",{geodetic.wkt},PROJECTION["{projection.name}"]{texts},'
        f'UNIT["{unit.name}",{unit.size!r}],AXIS["Easting",{east}],AXIS["Northing",{north}]]'
    )
    return CoordinateSystem(pyproj.CRS.from_wkt(wkt))


def _registered_conversion(geodetic: Geodetic, code: int, name: str) -> CoordinateSystem:
    """A conversion of the registry (16033: UTM zone 33N) on a geographic system."""
    try:
        conversion = CoordinateOperation.from_epsg(code)
    except CRSError as error:
        raise CrsError(f"the projection {code} (GeoKey {int(GeoKey.PROJECTION)}) is not known") from error
    document = conversion.to_json_dict()
    if document["type"] != "Conversion":
        raise CrsError(f"the projection {code} (GeoKey {int(GeoKey.PROJECTION)}) is none of a map")
    _check_method(document, geodetic)
    geographic = pyproj.CRS.from_wkt(geodetic.wkt)
    name = name or f"{geographic.name} / {conversion.name}"
    return CoordinateSystem(ProjectedCRS(conversion, name, geodetic_crs=geographic))
