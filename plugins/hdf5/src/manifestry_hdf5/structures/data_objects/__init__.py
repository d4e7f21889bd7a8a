"""Level 2 of the format: objects (specification, chapter IV).

=========================  ============================================================  ===================
`object_header`            the messages of an object                                     IV.A.1
`dataspace_message`        dimensions                                                    IV.A.2.b
`info_messages`            where links and attributes are that are elsewhere             IV.A.2.c, IV.A.2.v
`datatype`                 types as plain values
`datatype_message`         types of all classes                                          IV.A.2.d
`fill_value_message`       what elements are before they are written                     IV.A.2.e, IV.A.2.f
`link_message`             a link                                                        IV.A.2.g
`external_files_message`   raw files with the elements of a dataset                      IV.A.2.h
`data_layout_message`      where the elements of a dataset are                           IV.A.2.i
`filter_pipeline_message`  what chunks went through                                      IV.A.2.l
`attribute_message`        an attribute                                                  IV.A.2.m
`group_links`              the links of a group, wherever they are
`object_attributes`        the attribute messages of an object, wherever they are
=========================  ============================================================  ===================
"""
