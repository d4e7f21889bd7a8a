"""From sources to an output in one call: `convert`, and what it is made of.

============  ==================================================================================
`sources`     paths, URLs, patterns, prefixes and lists as the sources that are meant
`preparing`   what is done to each tree before trees are combined
`batches`     parsing and folding a batch of sources: the task that workers run
`resuming`    which sources an existing output holds already
`running`     `convert`: slab after slab, parsed, combined, written, reported
`report`      ConvertReport: what became of every source
============  ==================================================================================
"""
