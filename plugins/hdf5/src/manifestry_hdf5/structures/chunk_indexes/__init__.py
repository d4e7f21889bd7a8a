"""Where the chunks of a dataset are (specification, section III.A and chapter VII).

==================  =====================================================  ==========
`chunks`            the index of one dataset as a table of chunks
`fixed_array`       fixed array, paged or not                              VII.C
`extensible_array`  extensible array, with its super blocks and pages      VII.D
`array_elements`    what both hold for a chunk                             VII.C, VII.D
`small_indexes`     fixed arrays and B-trees of many datasets at once      VII.C, VII.E
==================  =====================================================  ==========

Single chunks (VII.A), implicit indexes (VII.B) and what B-trees hold (VII.E) are made tables in `chunks`.
"""
