"""From sources to an output in one call: `convert`, and what it is made of.

=============  =========================================================================
`api`          `convert`: the arguments of a run checked, and the run started
`sources`      paths, URLs, patterns, prefixes and lists as the sources that are meant
`coordinates`  coordinates from names of files and from attributes
`preparation`  what is done to each tree before trees are combined
`batches`      the task of a worker: parse a batch of sources, fold their trees into one
`slabs`        batches gathered into what is committed together
`existing`     which sources an existing output holds already
`order`        which elements of which source go where along the dimension
`kinds`        sources that lie beside each other: other variables, or further dimensions
`covering`     whether an output refers to all of a source, or only to a part of it
`output`       where slabs go, one commit after the other
`pipeline`     one run: slab after slab, parsed, combined, written
`report`       ConvertReport: what became of every source
=============  =========================================================================
"""
