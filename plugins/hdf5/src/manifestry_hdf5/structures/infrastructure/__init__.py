"""Level 1 of the format: trees, tables and heaps (specification, chapter III).

==================  ================================================================  ================
`btree_v1`          version 1 B-tree of chunks                                        III.A.1
`btree_v2`          version 2 B-tree, and that of chunks                              III.A.2
`key_order`         whether the keys of a B-tree are where a search finds them        III.A
`symbol_table`      links of groups of the old kind                                   III.A.1 to III.C
`local_heap`        names of groups of the old kind                                   III.D
`global_heap`       where variable-length data is                                     III.E
`virtual_mappings`  what virtual datasets show of others                              III.F
`dense_storage`     links and attributes that are not in an object header             III.A.2, III.G
`shared_messages`   the table of shared messages, and what they stand for             III.I
==================  ================================================================  ================
"""
