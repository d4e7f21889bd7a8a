"""The command line: thin commands over the public functions.

=============  ======================================================================================
`application`  the program: commands imported when they are called, errors as messages and exit codes
`arguments`    options that several commands share, and ``key=value`` pairs
`completion`   what the shell offers for arguments and options
`output`       results on standard output as tables or JSON, messages on standard error
`progress`     the bar on standard error
`convert`      `manifestry convert`: archives into a virtual store
`verify`       `manifestry verify`: whether an output still says what its sources hold
`inspect`      `manifestry inspect`: what is in a source, and how it is stored
`description`  what `inspect` says of a tree, as plain data
`systems`      coordinate reference systems by code and name
`page`         the same as one page of HTML
`identify`     `manifestry identify`: which format sources have
`formats`      `manifestry formats`: what can be read and written, and with which options
`plugins`      `manifestry plugins`: what is installed, and what is wrong with what does not work
`info`         `manifestry info`: versions and platform, for a report of a defect
=============  ======================================================================================
"""

from manifestry.cli.application import main

__all__ = ["main"]
