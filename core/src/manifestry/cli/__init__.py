"""The command line: thin commands over the public functions.

==============  ======================================================================================
`application`   the program: commands found when they are called, errors as messages and exit codes
`arguments`     options that commands share, and ``key=value`` pairs
`output`        results on standard output as tables or JSON, messages on standard error
`progress`      the bar on standard error
`description`   what `inspect` says of a tree, as plain data
`page`          the same as a page of HTML
==============  ======================================================================================

Each of the other modules is the command of its name.
"""

from manifestry.cli.application import main

__all__ = ["main"]
