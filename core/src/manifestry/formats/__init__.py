"""Formats and who speaks them.

===============  =======================================================================
`descriptors`    what a plugin says of its formats, without importing anything heavy
`hookspecs`      the two hooks that a plugin implements
`contracts`      what a parser and a writer are given and must return
`targets`        where an output goes, and what may happen to what exists there
`options`        typed options: one definition for Python, the command line and the docs
`loading`        finding plugins, isolated from each other
`plugin_errors`  the one place where whatever foreign code raises is caught
`isolation`      work in a process of its own, with limits
`detection`      which format a source has
`opening`        the line of Python that opens what was written
`report`         WriteReport: what was written
===============  =======================================================================
"""

from manifestry.formats.hookspecs import hookimpl

__all__ = ["hookimpl"]
