"""Datasets and attributes, and what they consist of.

============  ====================================================================
`datasets`    what the header of one dataset says
`messages`    where the messages are that say what elements are
`datatypes`   datatype message → element type of an array
`fill`        fill value message → fill value
`filters`     filter pipeline message → codecs
`attributes`  attribute messages → typed attributes
`dimensions`  dimension scales and netCDF-4's conventions → dimension names
`values`      values as libhdf5 gives them → elements, and those → bytes of chunks
============  ====================================================================
"""
