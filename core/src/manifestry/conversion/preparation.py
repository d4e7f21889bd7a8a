"""What is done to each tree before trees are combined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from manifestry.combine.dimensions import lengths_along
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
    others
        Further dimensions: a coordinate of the name of one runs along it, and makes it where a source has it not.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    preprocess: Callable[[VirtualGroup], VirtualGroup] | None = None
    coords: tuple[CoordinateRule, ...] = ()
    dim: str | None = None
    others: tuple[str, ...] = ()

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
        """One step of each dimension that a source has as a scalar coordinate only."""
        for dim in () if self.dim is None else (*self.others[::-1], self.dim):
            scalar = tree.arrays.get(dim)
            if scalar is not None and not scalar.shape:
                used = any(dim in (array.dims or ()) for _, array in tree.walk_arrays())
                tree = tree if used else expand(tree, dim)
        return tree

    def _with_coordinates(self, tree: VirtualGroup, url: str) -> VirtualGroup:
        if self.dim is None or not self.coords:
            return tree
        for dim in (*self.others[::-1], self.dim):
            rules = [rule for rule in self.coords if (rule.name if rule.name in self.others else self.dim) == dim]
            tree = self._with_coordinates_along(dim, rules, tree, url) if rules else tree
        return tree

    @staticmethod
    def _with_coordinates_along(
        dim: str, rules: Sequence[CoordinateRule], tree: VirtualGroup, url: str
    ) -> VirtualGroup:
        lengths = set(lengths_along(tree, dim))
        if not lengths and any(rule.name == dim for rule in rules):
            tree = expand(tree, dim)
        elif lengths != {1}:
            shown = ", ".join(map(str, sorted(lengths))) or "no"
            raise OptionError(
                f"{url}: coords give one value for each source, but the dimension {dim} has the length {shown}"
            )
        added = {rule.name: rule.array(url, tree, dim) for rule in rules}
        taken = sorted(added.keys() & tree.arrays.keys())
        if taken:
            name = taken[0]
            way = f"exclude it (--exclude /{name})" if name == dim else f"rename it (--rename {name}=NEW)"
            raise OptionError(f"{url}: there is an array {name!r} already; {way}")
        return tree.with_(arrays={**tree.arrays, **added})
