"""The kit with which plugin authors test their parsers and writers; needs the extra ``manifestry[testing]``.

===============  ====================================================================================
`conformance`    ParserTests and WriterTests: what every plugin must keep, as test classes to subclass
`trees`          small named trees over real local bytes, with the values that they must read as
`building`       trees made of numpy arrays, their chunks encoded into local files
`strategies`     hypothesis strategies for everything in the model
`servers`        a counting HTTP range server
===============  ====================================================================================
"""
