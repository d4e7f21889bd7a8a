"""Virtual trees as xarray objects, and any supported file as an xarray engine.

============  ================================================================
`duck_array`  VirtualDuckArray: what variables of virtual datasets hold
`indexing`    which selections of whole chunks there are
`datasets`    a tree as a virtual Dataset or DataTree, and back
`accessor`    ``ds.manifestry``: write a virtual dataset, or take it as a tree
`decoding`    attributes as xarray decodes by them
`naming`      names for dimensions that have none, since xarray needs some; groups by their paths
`engine`      ``xr.open_dataset(path, engine="manifestry")``
============  ================================================================
"""

from manifestry.xarray_bridge import accessor as _registers_the_accessors  # noqa: F401 importing it is the purpose
from manifestry.xarray_bridge.datasets import (
    from_virtual_dataset,
    from_virtual_datatree,
    to_datatree,
    to_xarray,
)
from manifestry.xarray_bridge.duck_array import VirtualDuckArray

__all__ = [
    "VirtualDuckArray",
    "from_virtual_dataset",
    "from_virtual_datatree",
    "to_datatree",
    "to_xarray",
]
