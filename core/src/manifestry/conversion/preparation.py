"""What is done to each tree before trees are combined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from manifestry.combine.stacking import expand
from manifestry.conversion.coordinates import CoordinateRule
from manifestry.errors import OptionError
from manifestry.formats.plugin_errors import PluginCall
from manifestry.model.tree import VirtualGroup

__all__ = ["Preparation"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """Rename, preprocess, add coordinates: in this order.

    Attributes
    ----------
    rename
        See `VirtualGroup.rename`.
    preprocess
        A function of the tree; workers must be able to import it.
    coords
        Coordinates along `dim`.
    dim
        The dimension that trees are combined along, or None. A tree without it gets it as a new first dimension when
        one of `coords` has its name.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    preprocess: Callable[[VirtualGroup], VirtualGroup] | None = None
    coords: tuple[CoordinateRule, ...] = ()
    dim: str | None = None

    def __post_init__(self) -> None:
        if self.coords and self.dim is None:
            raise OptionError("coords need a concat_dim: the dimension that they run along (--concat-dim)")

    @property
    def changes_nothing(self) -> bool:
        """Whether trees stay as they are parsed, but for a dimension that they have as a scalar."""
        return not self.rename and self.preprocess is None and not self.coords

    def apply(self, tree: VirtualGroup, url: str) -> VirtualGroup:
        """The prepared tree.

        Raises
        ------
        OptionError
            A name to rename does not exist, or a coordinate does already.
        UnsupportedFeatureError
            The source has no value for a coordinate.
        PluginError
            `preprocess` failed.
        """
        if self.rename:
            try:
                tree = tree.rename(self.rename)
            except (KeyError, ValueError) as error:
                raise OptionError(f"{url}: rename: {error.args[0]}") from error
        if self.preprocess is not None:
            with PluginCall(f"{url}: preprocess"):
                tree = self.preprocess(tree)
                if not isinstance(tree, VirtualGroup):
                    raise TypeError(f"it returned {type(tree).__name__}, not VirtualGroup")
        return self._with_coordinates(self._with_dimension(tree), url)

    def _with_dimension(self, tree: VirtualGroup) -> VirtualGroup:
        """One step of the dimension where a source has it as a scalar coordinate only."""
        scalar = None if self.dim is None else tree.arrays.get(self.dim)
        if self.dim is None or scalar is None or scalar.shape:
            return tree
        used = any(self.dim in (array.dims or ()) for _, array in tree.walk_arrays())
        return tree if used else expand(tree, self.dim)

    def _with_coordinates(self, tree: VirtualGroup, url: str) -> VirtualGroup:
        if self.dim is None or not self.coords:
            return tree
        lengths = {
            n for _, a in tree.walk_arrays() for dim, n in zip(a.dims or (), a.shape, strict=False) if dim == self.dim
        }
        if not lengths and any(rule.name == self.dim for rule in self.coords):
            tree = expand(tree, self.dim)
        elif lengths != {1}:
            shown = ", ".join(map(str, sorted(lengths))) or "no"
            raise OptionError(
                f"{url}: coords give one value for each source, but the dimension {self.dim} has the length {shown}"
            )
        added = {rule.name: rule.array(url, tree, self.dim) for rule in self.coords}
        taken = sorted(added.keys() & tree.arrays.keys())
        if taken:
            name = taken[0]
            way = f"exclude it (--exclude /{name})" if name == self.dim else f"rename it (--rename {name}=NEW)"
            raise OptionError(f"{url}: there is an array {name!r} already; {way}")
        return tree.with_(arrays={**tree.arrays, **added})
