"""Trees into one: `concat`, `stack` and `merge`, on the columns of the model.

===============  =====================================================================================
`concatenate`    one after the other along a dimension they have
`stacking`       one after the other along a new dimension
`dimensions`     arrays with one dimension more or less
`merging`        different variables beside each other
`options`        CombineOptions: what to do where trees differ
`compatibility`  whether the bytes of two arrays mean the same
`chunking`       arrays of different lengths in one chunk grid
`index`          the coordinate of the combined dimension
`constants`      arrays that must be the same in every source
`filling`        variables that some sources lack
`harmonise`      small arrays stored anew as the first source stores them
`times`          CF time numbers in other units
`manifests`      operations on chunk grids
`values`         reading and encoding small arrays
`trees`          trees side by side
===============  =====================================================================================
"""

from manifestry.combine.concatenation import concat
from manifestry.combine.merging import merge
from manifestry.combine.options import CombineOptions
from manifestry.combine.stacking import stack
from manifestry.combine.values import inline_array

__all__ = ["CombineOptions", "concat", "inline_array", "merge", "stack"]
