"""The kit with which plugin authors test their parsers and writers; needs the extra ``manifestry[testing]``.

================  =====================================================================================
`conformance`     ParserTests and WriterTests: what every plugin must keep, as test classes to subclass
`parser_tests`    the tests of parsers
`stranger_tests`  what documents of strangers may not do, for every parser
`writer_tests`    the tests of writers
`comparing`       arrays compared to the bit
`trees`           small named trees over real local bytes, with the values that they must read as
`cf_trees`        those of them that show what the CF conventions lay over plain numbers
`codec_trees`     those of them that show codecs, by family
`building`        trees made of numpy arrays, their chunks encoded into local files
`strategies`      hypothesis strategies for everything in the model
`servers`         a counting HTTP range server
`refusing`        refusals as tests expect them
================  =====================================================================================
"""
