"""Files beside a TIFF that GDAL reads together with it, where the option ``sidecars`` asks for them.

=================  ===================================================================================
`files`            which files there are, and what is said where they are not read
`pam`              ``.aux.xml``: metadata in GDAL's persistent auxiliary metadata (PAM)
`world_file`       ``.tfw``, ``.wld``: the transform in six lines
`images`           ``.ovr`` and ``.msk``: overviews and masks as levels of the image
=================  ===================================================================================
"""
