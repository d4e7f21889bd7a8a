"""Structures of the file format that are read from the bytes of the file.

libhdf5 offers chunk addresses one by one, through a callback, and for one kind of index with wrong coordinates; it takes
a dozen calls to read an attribute, and believes what groups say of themselves. The structures are simple and dense, so
they are read here directly, as the HDF5 File Format Specification (version 3.0, and 4.0 for layout version 5) describes
them:

===================  ==================================================================  =============================
`superblock`         base address and sizes of addresses                                 II.A
`object_header`      the messages of an object                                           IV.A.1
`contents`           links, attributes and shared messages: a package                    III.A to III.D, III.H, IV.A.2
`fractal_heap`       objects of any length by their IDs: a package                       III.G
`messages`           types, fill values and filters of datasets: a package               IV.A.2
`attribute_message`  attributes of the usual types                                       IV.A.2.m
`dataspace`          dimensions                                                          IV.A.2.b
`global_heap`        where variable-length data is                                       III.E
`layout`             data layout message: which index, where                             IV.A.2.i
`btree_v1`           version 1 B-tree of chunks                                          III.A.1
`btree_v2`           version 2 B-tree, and that of chunks                                III.A.2
`fixed_array`        fixed array, paged or not                                           VII.C
`extensible_array`   extensible array, with its super blocks and pages                   VII.D
`array_elements`     what fixed and extensible arrays hold for a chunk                   VII.C, VII.D
`checksum`           signatures and checksums of version 2 of the format                 Appendix C
`chunks`             the index of one dataset as a table of chunks
`order`              whether the keys of a B-tree are where a search finds them
`batched_reads`      reading many indexes at once, one round trip for each level of all
===================  ==================================================================  =============================

A reader of many places is a generator: it yields the blocks it needs next and is sent their bytes. So one piece of code
reads a memory-mapped file without waiting and a remote one with all datasets' requests together.
"""
