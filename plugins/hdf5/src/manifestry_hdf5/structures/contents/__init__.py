"""What objects hold that need not be in their headers: links, attributes, and messages that objects share.

===================  ======================================================  ===============================
`group_links`        the links of a group, wherever they are
`link_message`       a link                                                  IV.A.2.g
`symbol_table`       links of groups of the old kind                         III.A.1, III.B, III.C, IV.A.2.r
`local_heap`         names of groups of the old kind                         III.D
`object_attributes`  the attribute messages of an object, wherever they are
`info_messages`      where links and attributes are that are elsewhere       IV.A.2.c, IV.A.2.v
`dense`              the heap and the B-trees that have them                 III.A.2, III.G
`shared_messages`    the table of shared messages, and what they stand for   III.H, IV.A.2.p
===================  ======================================================  ===============================
"""
