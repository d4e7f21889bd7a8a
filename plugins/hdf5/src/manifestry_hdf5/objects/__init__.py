"""Datasets and attributes, and what they consist of.

======================  =============================================================
`object_table`          the objects of a file by the addresses of their headers
`reading_ahead`         what of a remote file will be asked for next
`object_paths`          paths of objects: what references point at
`datasets`              what the header of one dataset says
`record_fields`         fields of records as arrays of their own
`datatypes`             datatype message → element type of an array
`fill`                  fill value message → fill value
`filters`               filter pipeline message → codecs
`attributes`            attribute messages → typed attributes
`attribute_values`      the value of one attribute
`dimensions`            dimension scales and netCDF-4's conventions → dimension names
`unlimited_dimensions`  how long unlimited dimensions of netCDF-4 are
`stored_values`         elements as the file has them → elements of an array
`stored_numbers`        integers and floats of any form among them
`texts`                 what the bytes of a text stand for, and where they end
`values`                elements of an array → bytes of chunks
======================  =============================================================
"""
