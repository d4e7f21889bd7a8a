"""The xarray engine: any file that manifestry parses, opened lazily."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from manifestry.errors import OptionError
from manifestry.model.tree import VirtualGroup
from manifestry.reading import parse_source, trusting
from manifestry.storage.access import Access
from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.storage.source import Source
from manifestry.xarray_bridge.decoding import attributes_for_xarray
from manifestry.xarray_bridge.naming import base_group, group_at, named_arrays
from manifestry.zarr_store import ManifestStore

__all__ = ["ManifestryBackend"]


class ManifestryBackend(BackendEntrypoint):
    """``xr.open_dataset(path, engine="manifestry")``.

    Never chosen by xarray itself: it is there for those who ask for it.
    """

    description: ClassVar[str] = "Open any archive that manifestry parses, as virtual Zarr"
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj", "drop_variables", "mask_and_scale", "decode_times", "concat_characters", "decode_coords",
        "use_cftime", "decode_timedelta", "group", "format", "stores", "on_unsupported", "allow", "untrusted", "options",
    )  # fmt: skip

    def guess_can_open(self, filename_or_obj: Any) -> bool:  # noqa: ARG002 xarray's signature
        """No."""
        return False

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        format: str | None = None,  # noqa: A002 as in manifestry.parse
        stores: Stores = None,
        on_unsupported: Any = "raise",
        allow: Sequence[str] | None = None,
        untrusted: bool = False,
        options: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> xr.Dataset:
        """One group of a file.

        Parameters
        ----------
        filename_or_obj
            Path, URL, `Source`, or a tree that was parsed already.
        group
            Path of the group; of a pyramid without it, the level of highest resolution.
        format, stores, on_unsupported, allow, untrusted
            As for `manifestry.parse`.
        options
            Options by name, as `manifestry.parse` takes them as keywords.
        drop_variables, mask_and_scale, decode_times, concat_characters, decode_coords, use_cftime, decode_timedelta
            As for `xarray.open_dataset`.

        Raises
        ------
        OptionError
            Another keyword is given: what is not xarray's goes into `options`.
        """
        _refuse(unknown)
        options = {**(options or {}), **trusting(allow, untrusted=untrusted)}
        tree = _tree(filename_or_obj, format, stores, on_unsupported, options)
        stores = _registry(stores, options)
        decoding = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "concat_characters": concat_characters,
            "decode_coords": decode_coords,
            "use_cftime": use_cftime,
            "decode_timedelta": decode_timedelta,
        }
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        return _open(tree, base_group(tree, (group or "").strip("/")), dropped, decoding, stores)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        format: str | None = None,  # noqa: A002 as in manifestry.parse
        stores: Stores = None,
        on_unsupported: Any = "raise",
        allow: Sequence[str] | None = None,
        untrusted: bool = False,
        options: Mapping[str, Any] | None = None,
        **decoding: Any,
    ) -> dict[str, xr.Dataset]:
        """Every group of a file by its path; the parameters are those of `open_dataset`."""
        _refuse({name: value for name, value in decoding.items() if name not in self.open_dataset_parameters})
        options = {**(options or {}), **trusting(allow, untrusted=untrusted)}
        tree = _tree(filename_or_obj, format, stores, on_unsupported, options)
        stores = _registry(stores, options)
        top = (group or "").strip("/")
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        root = group_at(tree, top)
        found = {}
        for path, _ in root.walk():
            name = "/" + path if path else "/"
            found[str(PurePosixPath(name))] = _open(tree, f"{top}/{path}".strip("/"), dropped, decoding, stores)
        return found

    def open_datatree(self, filename_or_obj: Any, **parameters: Any) -> xr.DataTree:
        """A file with all its groups; the parameters are those of `open_dataset`."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **parameters))


def _refuse(unknown: Mapping[str, Any]) -> None:
    """Say where keywords belong that neither xarray nor this engine has."""
    if unknown:
        known = ManifestryBackend.open_dataset_parameters[1:]
        close = [match for name in unknown for match in difflib.get_close_matches(name, known, 1)]
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise OptionError(
            f"the engine 'manifestry' has no keyword {', '.join(map(repr, unknown))}{guess}; options of the format are "
            f"given as options={dict(unknown)!r}"
        )


def _registry(stores: Stores, options: Mapping[str, Any]) -> StoreRegistry:
    """The stores that values are read from, and what the caller allows documents to lead to."""
    return StoreRegistry.of(stores, Access.of(options.get("allow")))


def _tree(given: Any, fmt: str | None, stores: Stores, on_unsupported: Any, options: Mapping[str, Any]) -> VirtualGroup:
    if isinstance(given, VirtualGroup):
        return given
    source = given if isinstance(given, Source) else Source(given, stores)
    return parse_source(source, fmt, on_unsupported, options)


def _open(
    tree: VirtualGroup, path: str, dropped: Collection[str], decoding: Mapping[str, Any], stores: Stores
) -> xr.Dataset:
    """A group through zarr, with the typed attributes of the model in place of those that JSON has."""
    node = group_at(tree, path)
    arrays = {name: array for name, array in named_arrays(node).items() if name not in dropped}
    plain = {name: replace(array, metadata=array.metadata.with_(attributes={})) for name, array in arrays.items()}
    store = ManifestStore(VirtualGroup(plain), stores=stores)
    raw = xr.open_dataset(store, engine="zarr", consolidated=False, zarr_format=3, decode_cf=False, chunks=None)  # type: ignore[arg-type]
    for name, array in arrays.items():
        raw[name].attrs = attributes_for_xarray(array.attributes, array.dtype)
    raw.attrs = attributes_for_xarray(node.attributes)
    decoded: xr.Dataset = xr.decode_cf(raw, **decoding)
    decoded.set_close(raw.close)
    return decoded
