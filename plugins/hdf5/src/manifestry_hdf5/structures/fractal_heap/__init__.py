"""Fractal heap: objects of any length by their heap IDs (specification, section III.G).

=========  ==============================================================
`header`   the header of a heap
`blocks`   direct and indirect blocks, and the managed objects in them
`objects`  managed, huge and tiny objects by their heap IDs
`filters`  what blocks and huge objects went through (IV.A.2.l)
=========  ==============================================================
"""
