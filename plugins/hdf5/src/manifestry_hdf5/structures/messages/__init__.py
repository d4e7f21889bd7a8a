"""Messages of object headers that describe the elements of a dataset (specification, section IV.A.2).

=========================  =============================================  ===============
`datatype_message`         what elements are                              IV.A.2.d
`datatype`                 datatypes as plain records                     IV.A.2.d
`fill_value_message`       what they are before they are written          IV.A.2.e, f
`filter_pipeline_message`  how chunks of them are encoded                 IV.A.2.l
`external_files_message`   other files that have them                     IV.A.2.h
`virtual_layout`           other datasets that have them                  IV.A.2.i, III.E
`dataspace_selection`      which elements of a dataset are meant          VIII.B
`selected_elements`        where those are in a dataset of some shape
`references`               what elements that are references point to     VIII.C
`fields`                   the fields of a message, one by one
=========================  =============================================  ===============
"""
