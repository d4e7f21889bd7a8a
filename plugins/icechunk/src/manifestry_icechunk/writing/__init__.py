"""Trees on their way into a repository.

================  ===========================================================================
`staging`         trees into a transaction: documents, native chunks, references
`transactions`    from opening a repository for writing to the commit
`caller_session`  the caller's session instead, which the caller commits
`references`      virtual references of an array in few calls, with the checksum of each file
`splitting`       how many references one manifest file holds
`checks`          what of a tree a repository cannot hold
================  ===========================================================================
"""
