"""From sources to an output in one call: `convert`, and what it is made of.

===============  ==================================================================================
`sources`        paths, URLs, patterns, prefixes and lists as the sources that are meant
`coordinates`    coordinates from names of files and from attributes
`preparing`      what is done to each tree before trees are combined
`batches`        parsing and folding a batch of sources: the task that workers run
`slabs`          batches gathered into what is committed together
`resuming`       which sources an existing output holds already
`pipeline`       one run: slab after slab, parsed, combined, written
`running`        `convert`
`report`         ConvertReport: what became of every source
===============  ==================================================================================
"""
