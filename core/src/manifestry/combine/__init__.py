"""Trees into one: `concat`, `stack` and `merge`, on the columns of the model.

===============  ====================================================================
`concatenation`  `concat`: trees one after the other along a dimension that they have
`stacking`       `stack`: trees one after the other along a new dimension
`merging`        `merge`: trees with different variables as one tree
`options`        CombineOptions: what to do where trees differ
`comparison`     the trees of a run side by side: what differs, and whether it matters
`compatibility`  what must agree for arrays to be one, and what is made to agree
`hints`          options that would help, each tried before it is advised
`trees`          what trees are called, and trees made of paths
`index`          the coordinate of the combined dimension, and its order
`filling`        variables that some sources lack, as missing chunks
`placement`      append and region: where each array goes in what is stored
`stored`         what an output holds already, and whether a tree continues it
`chunking`       arrays of different lengths in one chunk grid
`dimensions`     arrays with one dimension more or less
`manifests`      operations on chunk grids, whole columns at a time
`values`         reading and encoding the values of small arrays
===============  ====================================================================
"""

from manifestry.combine.concatenation import concat
from manifestry.combine.merging import merge
from manifestry.combine.options import CombineOptions
from manifestry.combine.stacking import stack
from manifestry.combine.values import inline_array

__all__ = ["CombineOptions", "concat", "inline_array", "merge", "stack"]
