"""Messages of object headers that describe the elements of a dataset (specification, section IV.A.2).

=========================  ======================================  ===========
`datatype_message`         what elements are                       IV.A.2.d
`datatype`                 datatypes as plain records              IV.A.2.d
`fill_value_message`       what they are before they are written   IV.A.2.e, f
`filter_pipeline_message`  how chunks of them are encoded          IV.A.2.l
`fields`                   the fields of a message, one by one
=========================  ======================================  ===========
"""
