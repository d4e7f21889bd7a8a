"""From where the elements of datasets are stored to references.

=================  ========================================================================
`chunked`          references to the chunks of chunked datasets
`contiguous`       references to contiguous elements, in the file or in raw files beside it
`virtual`          references to the chunks of the sources of virtual datasets
`virtual_sources`  which parts of which sources a virtual dataset shows, and its length
`lengthening`      what is beyond the end of a dataset that netCDF-4 reads as longer
`copying`          values copied where there are no references
`copying_ahead`    what they are made of, from remote files, all together
`elements`         the elements that are copied, read from wherever they are
`chunk_bytes`      chunks behind their filters, and through them again
=================  ========================================================================
"""
