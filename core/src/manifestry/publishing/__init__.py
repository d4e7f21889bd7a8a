"""Putting an output in its place whole or not at all.

=========  ======================================================================================
`staging`  files and directories that are written elsewhere and appear at once
`claims`   locks on what is staged, and what killed writers have left
`nesting`  targets inside another output, which are refused
=========  ======================================================================================
"""
