"""Datasets and attributes, and what they consist of.

==================  ====================================================================
`datasets`          what the header of one dataset says
`messages`          where the messages are that say what elements are
`datatypes`         datatype message → element type of an array
`fill`              fill value message → fill value
`filters`           filter pipeline message → codecs
`attributes`        attribute messages → typed attributes
`attribute_values`  the value of one attribute from its bytes
`dimensions`        dimension scales and netCDF-4's conventions → dimension names
`stored_values`     stored bytes → elements of an array
`stored_numbers`    stored bytes → integers and floats of any fields
`texts`             what bytes of texts stand for, and where they end
`values`            values as libhdf5 gives them → elements, and those → bytes of chunks
==================  ====================================================================
"""
